"""LoRAs by name: what a folder offers, and that no name leads out of it."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from backends.base import LoraRef, ModelName
from bot.jobs.supervisor import LoraUnavailable
from bot.lora_folder import LoraFolder, UnknownLora
from tests.lora_registry.loras import Layers, factors, flux1, flux2, only, write

FLUX_1 = only(flux1(), "transformer_blocks.0.attn.to_q", "transformer_blocks.0.attn.add_q")
FLUX_2 = only(flux2(), "transformer_blocks.0.attn.to_q", "transformer_blocks.0.ff.")
SDXL = {"down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k": (2048, 640)}


def save(path: Path, layers: Layers = FLUX_1, metadata: Mapping[str, str] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write(path, factors(layers, rank=4), metadata)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A LoRA folder with a secret beside it."""
    save(tmp_path / "secret.safetensors")
    save(tmp_path / "loras" / "Ghibli.safetensors")
    save(tmp_path / "loras" / "styles" / "ink.v2.safetensors")
    save(tmp_path / "loras" / "locked.safetensors").chmod(0)
    return tmp_path / "loras"


@pytest.fixture
def loras(folder: Path) -> LoraFolder:
    return LoraFolder([folder])


class Reports:
    """What `prepare` says while it works."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def __call__(self, what: str, fraction: float | None) -> None:
        self.said.append(what)


async def digest(loras: LoraFolder, name: str, reports: Reports) -> str:
    return (await loras.prepare(LoraRef(path=name), "flux-1", reports)).sha256


# --- Names ------------------------------------------------------------------------------------


def test_a_name_is_the_path_in_the_folder_without_the_suffix(loras: LoraFolder) -> None:
    assert set(loras.files()) == {"Ghibli", "locked", "styles/ink.v2"}


@pytest.mark.parametrize(
    "name",
    ["Ghibli", "ghibli", "GHIBLI", "Ghibli.safetensors", "styles/ink.v2", "Styles/INK.V2"],
)
async def test_a_lora_is_found_in_any_case_and_with_or_without_the_suffix(
    loras: LoraFolder, name: str
) -> None:
    await loras.check(name, "flux-1")
    file = await loras.prepare(LoraRef(path=name), "flux-1", Reports())
    assert file.path.stem.lower() == name.lower().removesuffix(".safetensors").rpartition("/")[2]


async def test_of_two_names_that_differ_in_case_the_exact_one_is_meant(folder: Path) -> None:
    save(folder / "GHIBLI.safetensors", metadata={"ss_output_name": "the other"})
    loras = LoraFolder([folder])
    for name in ("GHIBLI", "Ghibli"):
        prepared = await loras.prepare(LoraRef(path=name), "flux-1", Reports())
        assert prepared.path == folder / f"{name}.safetensors"


def test_the_first_folder_wins_where_two_have_the_same_name(folder: Path, tmp_path: Path) -> None:
    save(tmp_path / "demo" / "Ghibli.safetensors")
    save(tmp_path / "demo" / "glow.safetensors")
    files = LoraFolder([folder, tmp_path / "demo"]).files()
    assert files["Ghibli"].parent == folder
    assert files["glow"].parent == tmp_path / "demo"


def test_hidden_files_pipes_and_other_kinds_of_file_are_not_offered(folder: Path) -> None:
    before = set(LoraFolder([folder]).files())
    save(folder / ".hidden.safetensors")
    save(folder / "readme.txt")
    (folder / "a folder.safetensors").mkdir()
    os.mkfifo(folder / "pipe.safetensors")  # opening it would wait for ever
    assert set(LoraFolder([folder]).files()) == before


def test_a_folder_that_is_not_there_offers_nothing(tmp_path: Path) -> None:
    assert LoraFolder([tmp_path / "nowhere"]).files() == {}


async def test_a_misspelt_name_is_answered_with_the_nearest_ones(loras: LoraFolder) -> None:
    with pytest.raises(UnknownLora) as caught:
        await loras.check("gibli", "flux-1")
    assert caught.value.near == ("Ghibli",)
    assert str(caught.value) == "There is no LoRA “gibli”. Did you mean Ghibli?"


async def test_a_name_like_no_other_is_answered_with_the_command_that_lists_them(
    loras: LoraFolder,
) -> None:
    with pytest.raises(UnknownLora, match="`atelier lora list` lists those that are here"):
        await loras.check("watercolour", "flux-1")


async def test_an_empty_folder_is_answered_with_where_files_go(tmp_path: Path) -> None:
    with pytest.raises(UnknownLora, match=r"put \.safetensors files into the LoRA folder"):
        await LoraFolder([tmp_path]).check("ghibli", "flux-1")


# --- Ways out of the folder -------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "../secret.safetensors",
        "styles/../../secret",
        "../../../../etc/passwd",
        "/etc/passwd",
        "{tmp}/secret.safetensors",
        "{tmp}/loras/Ghibli.safetensors",
        "styles/../Ghibli",
        "./Ghibli",
        "styles//ink.v2",
        "styles\\ink.v2",
        "~/Ghibli",
        "file:///etc/passwd",
        "https://example.com/Ghibli.safetensors",
        "Ghibli\0",
        "",
        ".",
        "*",
    ],
)
async def test_only_names_that_the_folder_lists_lead_to_a_file(
    loras: LoraFolder, tmp_path: Path, name: str
) -> None:
    with pytest.raises(UnknownLora) as caught:
        await loras.check(name.format(tmp=tmp_path), "flux-1")
    assert "\0" not in str(caught.value)


async def test_a_link_that_the_owner_has_put_there_is_followed(
    folder: Path, tmp_path: Path
) -> None:
    (folder / "linked.safetensors").symlink_to(tmp_path / "secret.safetensors")
    prepared = await LoraFolder([folder]).prepare(LoraRef(path="linked"), "flux-1", Reports())
    assert prepared.sha256 == sha256(tmp_path / "secret.safetensors")


def test_linked_folders_are_not_entered_so_that_a_loop_ends(folder: Path, tmp_path: Path) -> None:
    before = set(LoraFolder([folder]).files())
    (folder / "up").symlink_to(tmp_path)
    (folder / "round").symlink_to(folder)
    assert set(LoraFolder([folder]).files()) == before


def test_a_link_to_nothing_is_not_offered_and_hides_nothing(folder: Path) -> None:
    before = set(LoraFolder([folder]).files())
    (folder / "gone.safetensors").symlink_to(folder / "nowhere.safetensors")
    assert set(LoraFolder([folder]).files()) == before


# --- What is wrong with a file ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "architecture", "label"),
    [
        (FLUX_2, "flux-1", "FLUX.2 [dev]"),
        (FLUX_1, "flux-2", "FLUX.1"),
        (SDXL, "flux-1", "Stable Diffusion XL"),
        ({"transformer.h.0.mlp": (768, 3072)}, "flux-1", "an unknown model"),
    ],
)
async def test_a_lora_for_another_model_is_refused_before_it_is_queued(
    folder: Path, layers: Layers, architecture: ModelName, label: str
) -> None:
    save(folder / "other.safetensors", layers)
    with pytest.raises(LoraUnavailable) as caught:
        await LoraFolder([folder]).check("other", architecture)
    assert str(caught.value) == (
        f"The LoRA other is for {label}; this would be drawn with {architecture}. "
        "Choose another LoRA or model."
    )


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html><title>Sign in</title>", b"\xff" * 64])
async def test_a_broken_file_is_named_with_what_is_wrong(folder: Path, content: bytes) -> None:
    (folder / "broken.safetensors").write_bytes(content)
    with pytest.raises(LoraUnavailable, match=r"^The LoRA broken cannot be used\. \w.*\.$"):
        await LoraFolder([folder]).check("broken", "flux-1")


@pytest.fixture
def somebody_else(folder: Path) -> Iterator[None]:
    """Root reads everything, so it becomes somebody else, who may pass through the folders."""
    above = [place for place in folder.parents if place.stat().st_uid == os.geteuid()]
    modes = {place: place.stat().st_mode for place in above}
    for place, mode in modes.items():
        place.chmod(mode | 0o011)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)
    yield
    os.seteuid(user)
    for place, mode in modes.items():
        place.chmod(mode)


@pytest.mark.usefixtures("somebody_else")
async def test_a_file_that_may_not_be_read_is_a_sentence_too(loras: LoraFolder) -> None:
    with pytest.raises(LoraUnavailable, match=r"cannot be read \(permission denied\)"):
        await loras.check("locked", "flux-1")


# --- Prepared files ---------------------------------------------------------------------------


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def test_a_prepared_file_has_its_hash_its_scale_and_the_name_that_was_typed(
    loras: LoraFolder, folder: Path
) -> None:
    path = folder / "styles" / "ink.v2.safetensors"
    file = await loras.prepare(LoraRef(path="Styles/ink.v2", scale=-0.5), "flux-1", Reports())
    assert (file.name, file.scale, file.path) == ("Styles/ink.v2", -0.5, path)
    assert (file.sha256, file.public_url) == (sha256(path), None)


async def test_a_file_is_hashed_once_until_it_changes(loras: LoraFolder, folder: Path) -> None:
    reports = Reports()
    first = await digest(loras, "Ghibli", reports)
    assert await digest(loras, "ghibli", reports) == first
    assert reports.said == ["reading the LoRA Ghibli"]
    changed = save(folder / "Ghibli.safetensors", metadata={"ss_output_name": "retrained"})
    assert await digest(loras, "Ghibli", reports) == sha256(changed) != first
    assert len(reports.said) == 2


async def test_a_file_put_in_the_place_of_another_is_another_even_with_its_size_and_time(
    loras: LoraFolder, folder: Path
) -> None:
    path = folder / "Ghibli.safetensors"
    first, times = await digest(loras, "Ghibli", Reports()), path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.with_name("new").write_bytes(data)
    path.with_name("new").replace(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert await digest(loras, "Ghibli", Reports()) == sha256(path) != first


async def test_a_file_that_became_a_lora_for_another_model_is_noticed(
    loras: LoraFolder, folder: Path
) -> None:
    await loras.check("Ghibli", "flux-1")
    save(folder / "Ghibli.safetensors", FLUX_2)
    with pytest.raises(LoraUnavailable, match=r"is for FLUX\.2"):
        await loras.check("Ghibli", "flux-1")
