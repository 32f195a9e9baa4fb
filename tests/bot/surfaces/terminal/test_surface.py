"""The drawing process's side, and the file between it and the terminal."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from backends.base import Verdict
from bot.jobs.job import Job, JobState, Place, Receipt, Result, StoredPicture
from bot.policy import Treatment
from bot.recipe import Recipe
from bot.surfaces.base import (
    DeliveredPicture,
    Done,
    Drawing,
    NotDone,
    Preparing,
    Progress,
    SurfaceGone,
    Waiting,
)
from bot.surfaces.terminal import spool
from bot.surfaces.terminal.surface import TerminalSurface, output_paths, receipt
from tests.fakes.jobs import JOB


def picture(data: bytes, seed: int = 7, treatment: Treatment = Treatment.SHOW) -> DeliveredPicture:
    recipe = Recipe(
        model="flux-1",
        weights="stub",
        prompt="a cat",
        seed=seed,
        width=64,
        height=32,
        steps=4,
        guidance=3.5,
    )
    verdict = Verdict.CLEAR if treatment is Treatment.SHOW else Verdict.FLAGGED
    stored = StoredPicture(
        key=f"pictures/{seed}.png",
        format="png",
        width=64,
        height=32,
        seed=seed,
        verdict=verdict,
        score=0.25,
        recipe=recipe,
    )
    return DeliveredPicture(stored, data, treatment)


def job(pictures: Sequence[DeliveredPicture] = ()) -> Job:
    result = Result(
        pictures=tuple(picture.stored for picture in pictures),
        prompt="a cat",
        weights="stub",
        seconds=1.5,
        timings={"denoise": 1.0},
        hint="a hint",
    )
    return replace(
        JOB,
        id="1",
        surface="cli",
        requester="owner",
        place=Place(private=True),
        state=JobState.RENDERED,
        receipt=None,
        result=result if pictures else None,
        ended_at=0.0,
    )


@pytest.fixture
def place(tmp_path: Path) -> Receipt:
    return receipt(tmp_path / "terminal" / "1.json", tmp_path / "cat.png")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def spooled(place: Receipt) -> spool.State | None:
    return spool.read(Path(str(place["spool"])))


async def test_progress_reaches_the_terminal(place: Receipt) -> None:
    surface = TerminalSurface()
    states: list[tuple[Progress, spool.State]] = [
        (Waiting(2, 9.5), spool.Waiting(ahead=2, eta=9.5)),
        (Preparing("loading x", 0.5), spool.Preparing(what="loading x", fraction=0.5)),
        (
            Drawing(3, 28, eta=2.0, rate=4.0, preview=b"x"),
            spool.Drawing(step=3, steps=28, eta=2.0, rate=4.0),
        ),
    ]
    for shown, told in states:
        pause = await surface.progress(job(), place, shown)
        assert pause is not None
        assert 0 < pause < 0.5
        assert spooled(place) == told


async def test_a_job_without_a_receipt_has_no_terminal() -> None:
    with pytest.raises(SurfaceGone):
        await TerminalSurface().start(job())


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (NotDone("It broke."), spool.NotDone(sentence="It broke.")),
        (NotDone("Stopped.", cancelled=True), spool.NotDone(sentence="Stopped.", cancelled=True)),
    ],
)
async def test_an_end_without_a_picture_is_told(
    place: Receipt, end: NotDone, told: spool.NotDone
) -> None:
    await TerminalSurface().finish(job(), place, end)

    assert spooled(place) == told


async def test_pictures_are_written_and_doing_it_again_changes_nothing(
    place: Receipt, tmp_path: Path
) -> None:
    pictures = (picture(b"one", 7), picture(b"two", 8))
    for _ in range(2):
        await TerminalSurface().finish(job(pictures), place, Done(pictures))

        assert (tmp_path / "cat-1.png").read_bytes() == b"one"
        assert (tmp_path / "cat-2.png").read_bytes() == b"two"
        end = spooled(place)
        assert isinstance(end, spool.Done)
        assert [p.path for p in end.pictures] == [tmp_path / "cat-1.png", tmp_path / "cat-2.png"]
        assert [p.recipe.seed for p in end.pictures] == [7, 8]
        assert (end.seconds, end.hint, end.timings) == (1.5, "a hint", {"denoise": 1.0})
        assert names(tmp_path) == ["cat-1.png", "cat-2.png", "terminal"]
        assert names(tmp_path / "terminal") == ["1.json"]


async def test_a_picture_that_the_rule_withholds_is_not_written(
    place: Receipt, tmp_path: Path
) -> None:
    pictures = (picture(b"one", 7), picture(b"two", 8, Treatment.WITHHOLD))
    await TerminalSurface().finish(job(pictures), place, Done(pictures))

    end = spooled(place)
    assert isinstance(end, spool.Done)
    assert [p.path for p in end.pictures] == [tmp_path / "cat-1.png", None]
    assert end.pictures[1].verdict is Verdict.FLAGGED
    assert not (tmp_path / "cat-2.png").exists()


async def test_a_place_that_is_gone_ends_the_delivery_and_says_where_the_picture_is(
    place: Receipt, tmp_path: Path
) -> None:
    lost = {**place, "output": str(tmp_path / "gone" / "cat.png")}
    with pytest.raises(SurfaceGone):
        await TerminalSurface().finish(job([picture(b"x")]), lost, Done((picture(b"x"),)))

    end = spooled(place)
    assert isinstance(end, spool.NotDone)
    assert str(tmp_path / "gone" / "cat.png") in end.sentence
    assert "no such file or directory" in end.sentence
    assert "pictures/7.png" in end.sentence


def test_several_pictures_are_numbered_before_the_suffix() -> None:
    assert output_paths(Path("/a/b.c.png"), 1) == [Path("/a/b.c.png")]
    assert output_paths(Path("/a/b.c.png"), 2) == [Path("/a/b.c-1.png"), Path("/a/b.c-2.png")]


async def test_a_reader_sees_whole_states_only(tmp_path: Path) -> None:
    file = tmp_path / "terminal" / "1.json"
    assert spool.read(file) is None

    async def write() -> None:
        for step in range(200):
            await spool.write(file, spool.Drawing(step=step, steps=200))

    writing = asyncio.create_task(write())
    steps = []
    while not writing.done():
        state = await asyncio.to_thread(spool.read, file)
        if state is not None:
            assert isinstance(state, spool.Drawing)
            steps.append(state.step)
    await writing
    assert steps == sorted(steps)
    assert names(file.parent) == ["1.json"]


@pytest.mark.parametrize("text", ["", "{", '{"kind": "unheard of"}', '{"kind": "done", "x": 1}'])
def test_what_is_no_state_is_read_as_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "1.json"
    file.write_text(text)

    assert spool.read(file) is None
