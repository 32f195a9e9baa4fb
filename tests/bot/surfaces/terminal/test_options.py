import os
from pathlib import Path

import pytest

from backends.base import ImageSize, parse_request
from bot.commands.imagine import Refused
from bot.commands.prompt import NamedLora, PromptError, Wish
from bot.surfaces.terminal.options import Options, output_file, wish

CAT = parse_request({"prompt": "a cat", "num_images": 1, "output_format": "png"})
CATS = CAT.model_copy(update={"num_images": 2})


def test_options_become_a_wish() -> None:
    options = Options(
        "a cat",
        output=Path("cat.webp"),
        loras=("ghibli:0.8", "ink"),
        size="640x480",
        steps=12,
        guidance=2.5,
        seed=0,
        images=2,
        model="flux-2",
        speed="high",
        expand=False,
    )
    assert wish(options) == Wish(
        "a cat",
        loras=(NamedLora("ghibli", 0.8), NamedLora("ink")),
        size=ImageSize(width=640, height=480),
        steps=12,
        guidance=2.5,
        seed=0,
        images=2,
        model="flux-2",
        speed="high",
        expand=False,
        format="webp",
    )


def test_nothing_said_is_nothing_wished() -> None:
    assert wish(Options("a cat")) == Wish("a cat")


def test_flags_in_the_prompt_count_and_options_win_over_them() -> None:
    said = wish(Options("a cat --steps 12 --seed 3 <lora:ink:0.5>", steps=20, loras=("ghibli",)))

    assert (said.prompt, said.steps, said.seed) == ("a cat", 20, 3)
    assert [lora.name for lora in said.loras] == ["ink", "ghibli"]


def test_a_shape_is_a_size() -> None:
    size = wish(Options("a cat", ar="16:9")).size

    assert size is not None
    assert 1.7 < size.width / size.height < 1.85


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (Options("a cat", size="square", ar="1:1"), "--size and --ar"),
        (Options("a cat", model="flux-9"), "--model is “flux-9”; use flux-1, flux-2"),
        (Options("a cat", speed="warp"), "--speed is “warp”"),
        (Options("a cat", output_format="gif"), "--format is “gif”"),
        (Options("a cat", output=Path("a/cat.gif")), "The file “cat.gif” ends in no known format"),
        (Options("a cat", output=Path("cat")), "The file “cat” ends in no known format"),
        (Options("a cat", output=Path("cat.png"), output_format="webp"), "--format is webp"),
        (Options("a cat", model="\x1b[31m" + "x" * 99), "--model is “�[31mxxx"),
    ],
)
def test_what_contradicts_or_does_not_exist_is_refused(options: Options, told: str) -> None:
    with pytest.raises(Refused, match="^" + told.replace("[", r"\[")) as refused:
        wish(options)
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize("options", [Options(" "), Options("a cat", size="huge")])
def test_what_cannot_be_understood_is_the_grammars_error(options: Options) -> None:
    with pytest.raises(PromptError):
        wish(options)


def test_a_file_that_was_named_stays_and_another_is_named_after_its_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    jpeg = CAT.model_copy(update={"output_format": "jpeg"})

    assert output_file(Options("a cat", output=Path("x.png")), CAT, "1234567890") == (
        tmp_path / "x.png"
    )
    assert output_file(Options("a cat"), jpeg, "1234567890") == tmp_path / "atelier-12345678.jpg"


def test_places_that_cannot_be_written_are_refused_before_anything_is_drawn(
    tmp_path: Path,
) -> None:
    (tmp_path / "cat-2.png").mkdir()
    output = tmp_path / "cat.png"

    assert output_file(Options("a cat", output=output), CAT, "1") == output
    with pytest.raises(Refused, match=r"cat-2\.png is a folder"):
        output_file(Options("a cat", output=output), CATS, "1")
    with pytest.raises(Refused, match="does not exist"):
        output_file(Options("a cat", output=tmp_path / "nowhere" / "cat.png"), CAT, "1")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(Refused, match="cannot be written"):
        output_file(Options("a cat", output=tmp_path / "cat.png"), CAT, "1")
