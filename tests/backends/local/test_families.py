"""Model folders, their cards and the sizes that are drawn."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from backends.base import ImageSize
from backends.errors import ModelUnavailable
from backends.local.demo import vocabulary
from backends.local.families import (
    CARD_NAME,
    FLUX_1,
    ModelCard,
    RendererSettings,
    check_folder,
    drawn_size,
    find_weights,
    missing_files,
    read_card,
)

NATIVE = ((128, 128), (128, 96), (96, 128), (128, 80), (64, 64))


def size(width: int, height: int) -> ImageSize:
    return ImageSize(width=width, height=height)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder with every file that is needed and nothing in them."""
    index = {
        "_class_name": "FluxPipeline",
        "transformer": ["diffusers", "FluxTransformer2DModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "image_encoder": [None, None],
    }
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    for part in ("transformer", "vae", "tokenizer"):
        (tmp_path / part).mkdir()
    for part in ("transformer", "vae"):
        (tmp_path / part / "config.json").write_text("{}")
        (tmp_path / part / "model.safetensors").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("asked", "drawn"),
    [
        ((72, 100), (64, 96)),
        ((1024, 768), (1024, 768)),
        ((1023, 777), (1008, 768)),
        ((1, 15), (16, 16)),
    ],
)
def test_without_native_sizes_both_sides_are_rounded_down_to_whole_patches(
    asked: tuple[int, int], drawn: tuple[int, int]
) -> None:
    assert drawn_size(size(*asked)) == size(*drawn)


@pytest.mark.parametrize(
    ("asked", "drawn"),
    [
        ((1024, 768), (128, 96)),
        ((768, 1024), (96, 128)),
        ((1024, 576), (128, 80)),
        ((512, 512), (128, 128)),
        ((70, 70), (64, 64)),
        ((2048, 100), (128, 80)),
    ],
)
def test_a_native_size_of_the_nearest_aspect_then_the_nearest_area_is_drawn(
    asked: tuple[int, int], drawn: tuple[int, int]
) -> None:
    assert drawn_size(size(*asked), native=NATIVE) == size(*drawn)


def test_a_complete_folder_lacks_nothing(folder: Path) -> None:
    assert missing_files(folder) == ()
    check_folder(folder)
    assert find_weights(str(folder)) == folder


def test_every_missing_file_of_a_folder_is_named(folder: Path) -> None:
    (folder / "vae" / "model.safetensors").unlink()
    (folder / "tokenizer").rmdir()
    (folder / "transformer" / "model.safetensors").unlink()
    shards = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    (folder / "transformer" / "model.safetensors.index.json").write_text(json.dumps(shards))
    (folder / "transformer" / "one.safetensors").touch()
    assert missing_files(folder) == (
        "transformer/two.safetensors",
        "vae/*.safetensors",
        "tokenizer",
    )
    assert find_weights(str(folder)) is None
    with pytest.raises(ModelUnavailable, match=r"transformer/two\.safetensors and 2 more"):
        check_folder(folder)


def test_an_empty_folder_lacks_its_index(tmp_path: Path) -> None:
    assert missing_files(tmp_path) == ("model_index.json",)


@pytest.mark.parametrize("index", ["", "[1]", "[" * 100_000])
def test_an_index_that_cannot_be_read_is_said_so(folder: Path, index: str) -> None:
    (folder / "model_index.json").write_text(index)
    with pytest.raises(ModelUnavailable, match=r"model_index\.json .* cannot be read"):
        check_folder(folder)


def test_a_folder_of_another_family_is_refused_by_name(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    index["_class_name"] = "Flux2Pipeline"
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ModelUnavailable, match=r"Flux2Pipeline, but flux-1 .* FluxPipeline"):
        check_folder(folder, FLUX_1)


def test_weights_that_are_nowhere_are_not_found() -> None:
    assert find_weights("no such folder") is None
    assert find_weights("") is None


def test_a_folder_without_a_card_gets_the_defaults(folder: Path) -> None:
    assert read_card(folder) == ModelCard()
    assert ModelCard().max_sequence_length == 512


def test_a_card_is_read_whole(folder: Path) -> None:
    card = {
        "name": "demo",
        "native_sizes": [[128, 96]],
        "max_sequence_length": 20,
        "preview": [[0, 0, 0], [1, 1, 1]],
        "safety": "../safety",
        "hint": "demo",
    }
    (folder / CARD_NAME).write_text(json.dumps(card))
    assert read_card(folder).model_dump(mode="json") == card


def test_the_hint_is_for_prompts_outside_of_the_vocabulary_only() -> None:
    card = ModelCard(hint="demo")
    assert card.hint_for("a small red star on a blue background") is None
    assert card.hint_for("a cat") == vocabulary.HINT
    assert ModelCard().hint_for("a cat") is None


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ("{", "cannot be used"),
        ('{"max_sequence_length": 900}', "at max_sequence_length"),
        ('{"native_sizes": [[1, 2, 3]]}', "at native_sizes.0"),
        ('{"preview": [[1, 2]]}', "at preview.0"),
        ('{"native": []}', "at native"),
        ('{"hint": "os:system"}', "at hint"),
    ],
)
def test_a_wrong_card_says_where_it_is_wrong(folder: Path, card: str, said: str) -> None:
    (folder / CARD_NAME).write_text(card)
    with pytest.raises(ModelUnavailable, match=said):
        read_card(folder)


def test_settings_travel_as_json_and_hide_the_token() -> None:
    settings = RendererSettings(model="a/b", hf_token="hf_secret")
    assert RendererSettings.model_validate(json.loads(settings.model_dump_json())) == settings
    assert "hf_secret" not in repr(settings)


def test_families_and_settings_load_no_torch() -> None:
    code = "import sys, backends.local.families; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
