import io
import json
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from backends.base import ImageSize, Verdict
from bot.commands.prompt import parse, parse_size
from bot.recipe import Recipe, RecipeLora
from bot.surfaces.terminal import spool
from bot.surfaces.terminal.view import ProgressBar, command, print_done, print_json

RECIPE = Recipe(
    model="flux-1",
    weights="Atelier demo",
    prompt="a [bold]cat[/]",
    seed=7,
    width=128,
    height=96,
    requested=ImageSize(width=1024, height=768),
    steps=28,
    guidance=3.5,
    loras=(RecipeLora(name="ghibli", sha256="0" * 64, scale=0.8),),
)


def done(*verdicts: Verdict, path: Path | None = Path("/home/me/[x].png")) -> spool.Done:
    return spool.Done(
        pictures=tuple(
            spool.WrittenPicture(path=path, verdict=verdict, score=0.93, recipe=RECIPE)
            for verdict in verdicts
        ),
        seconds=4.25,
        timings={"denoise": 4.0},
        hint="It knows [shapes] only.",
    )


@pytest.fixture
def paper() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def console(paper: io.StringIO) -> Console:
    return Console(file=paper, width=60)


def test_a_picture_is_shown_with_what_repeats_it(console: Console, paper: io.StringIO) -> None:
    print_done(console, done(Verdict.CLEAR), ("A [note].",))

    where, facts, seconds, note, hint, again = paper.getvalue().splitlines()
    assert where == "/home/me/[x].png"
    assert facts == (
        "  128×96 (asked for 1024×768) · seed 7 · 28 steps · guidance 3.5 · flux-1 · Atelier demo"
    )
    assert seconds == "  4.2 s"
    assert (note, hint) == ("A [note].", "It knows [shapes] only.")
    assert again.startswith("Again: atelier imagine 'a [bold]cat[/]' --model flux-1")


def test_what_a_picture_has_cost_stands_beside_the_time(
    console: Console, paper: io.StringIO
) -> None:
    paid = done(Verdict.CLEAR).model_copy(update={"cost": 0.035})
    print_done(console, paid, ())
    assert "  4.2 s · $0.035" in paper.getvalue().splitlines()


@pytest.mark.parametrize(
    ("verdict", "told"),
    [
        (Verdict.FLAGGED, "The safety checker flagged this picture (0.93)."),
        (Verdict.UNCHECKED, "No safety checker has looked at this picture."),
    ],
)
def test_a_picture_that_is_not_clear_says_so(
    console: Console, paper: io.StringIO, verdict: Verdict, told: str
) -> None:
    print_done(console, done(verdict), ())

    assert told in paper.getvalue()


def test_a_picture_that_is_withheld_has_no_place(console: Console, paper: io.StringIO) -> None:
    print_done(console, done(Verdict.FLAGGED, path=None), ())

    assert paper.getvalue().startswith("withheld by the rule of this instance")


@pytest.mark.parametrize(
    ("end", "state", "keys"),
    [
        (
            done(Verdict.CLEAR),
            "done",
            {"id", "state", "pictures", "seconds", "timings", "hint", "cost", "notes"},
        ),
        (spool.NotDone(sentence="It broke."), "failed", {"id", "state", "error", "notes"}),
        (
            spool.NotDone(sentence="Stopped.", cancelled=True),
            "cancelled",
            {"id", "state", "error", "notes"},
        ),
    ],
)
def test_json_is_one_line_with_the_same_keys_every_time(
    console: Console,
    paper: io.StringIO,
    end: spool.Done | spool.NotDone,
    state: str,
    keys: set[str],
) -> None:
    print_json(console, "job-1", end, ("A [note].",))

    (line,) = paper.getvalue().splitlines()
    answer = json.loads(line)
    assert (answer["id"], answer["state"], answer["notes"]) == ("job-1", state, ["A [note]."])
    assert set(answer) == keys


TEXT = st.text(st.characters(exclude_categories=("C", "Z")) | st.just(" "), min_size=1)


@given(
    prompt=TEXT.filter(str.strip).map(lambda text: " ".join(text.split())),
    scale=st.integers(-400, 400).map(lambda hundredths: hundredths / 100),
    guidance=st.integers(0, 350).map(lambda tenths: tenths / 10),
    seed=st.integers(0, 2**53),
    images=st.integers(1, 4),
)
def test_the_command_that_is_shown_asks_for_the_same_again(
    prompt: str, scale: float, guidance: float, seed: int, images: int
) -> None:
    lora = RecipeLora(name="ghibli", sha256="0" * 64, scale=scale)
    recipe = RECIPE.model_copy(
        update={"prompt": prompt, "guidance": guidance, "seed": seed, "loras": (lora,)}
    )
    program, verb, text, *rest = shlex.split(command(recipe, images))
    given = dict(zip(rest[::2], rest[1::2], strict=True))

    assert (program, verb) == ("atelier", "imagine")
    assert parse(text).prompt == prompt
    assert parse_size(given["--size"]) == recipe.requested
    assert (int(given["--steps"]), int(given["--seed"])) == (28, seed)
    assert (float(given["--guidance"]), given["--model"]) == (guidance, "flux-1")
    assert float(given["--lora"].removeprefix("ghibli:")) == scale
    assert int(given.get("--images", 1)) == images


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        (spool.Waiting(ahead=0), "Next"),
        (spool.Waiting(ahead=3, eta=200.0), "In the queue, 3 ahead about 3 min left"),
        (spool.Preparing(what="loading [x]"), "Loading [x]"),
        (
            spool.Drawing(step=7, steps=28, rate=3.5, eta=6.0),
            "Drawing 7/28 · 3.5 steps/s · about 6 s left",
        ),
    ],
)
def test_the_bar_says_what_is_going_on(
    state: spool.State, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper = io.StringIO()
    console = Console(file=paper, width=120, force_terminal=True, color_system=None)
    monkeypatch.setattr("bot.surfaces.terminal.view.Console", lambda stderr: console)
    with ProgressBar() as bar:
        bar.show(state)

    text = " ".join(paper.getvalue().replace("━", "").replace("╸", "").replace("╺", "").split())
    assert shown in text


def test_where_nobody_looks_no_bar_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar() as bar:
        bar.show(spool.Drawing(step=1, steps=2))

    assert capsys.readouterr() == ("", "")
