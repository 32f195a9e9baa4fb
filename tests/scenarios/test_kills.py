"""Whatever line a bot is killed at, nothing is lost, doubled or paid for twice."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from bot import wording
from bot.jobs.limits import Limits
from bot.jobs.supervisor import MOST_TAKE_UPS
from tests.fakes.killing import KILLED, End, Rampage, Victims, aftermath
from tests.fakes.scale import memory_folder
from tests.fakes.surface import RecordingSurface
from tests.fakes.victim import WRITES, Life, Sent


@pytest.fixture(scope="module")
def victims() -> Iterator[Victims]:
    with Victims() as victims:
        yield victims


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory: whoever is killed loses nothing that the kernel has."""
    with memory_folder() as folder:
        yield folder


def around(*calls: str) -> list[str]:
    return [f"{call}:{when}" for call in calls for when in ("before", "after")]


JOB: Final = "6f1d4a3e-98f4-4a53-9d4b-0a4f3a1f2c11"


def asked(prompt: str = "steps=2", backend: str = "stub", **how: object) -> Life:
    sent = Sent(id=JOB, prompt=prompt, seed=7, backend=backend)
    return Life.model_validate({"folder": "", "submit": (sent,), **how})


TRIPS: Final = {
    "plain": asked(),
    "paid": asked(backend="service"),
    "failing": asked("fail"),
    "flaky": asked("flaky=1"),
    "message gone": asked("gone"),
    "surface away": asked("away=1"),
    "cancelled in the queue": asked("hang", limits={"requester_running": 0}, cancel=(JOB,)),
    "cancelled": asked("hang", interrupt=(JOB,)),
    "cancelled, paid": asked("hang", backend="service", interrupt=(JOB,)),
    "stopped": asked("steps=4 pause=0.03", drain=True),
    "stopped, paid": asked("steps=4 pause=0.03", backend="service", drain=True),
}

SHOWN: Final = [
    "surface.start:before",
    "surface.started",
    "surface.start:after",
    *around("store.save_receipt"),
]
DRAWN: Final = ["backend.step", "backend.step 2", "backend.rendered"]
KEPT: Final = [
    "pictures.put:before",
    "disk.flush",
    "disk.flush 2",
    "disk.flush 3",
    "disk.flush 4",
    "pictures.put:after",
    *around("store.render"),
]
TOLD: Final = ["surface.finish:before", "surface.finished", "surface.finish:after"]
DELIVERED: Final = [*around("pictures.get"), *TOLD, *around("store.deliver")]
REPORTED: Final = [*TOLD, *around("store.report")]
UNSURE: Final = [
    "store.submitting:after",
    "service.submit",
    "service.paid",
    "store.submitted:before",
]
"""Whoever dies here does not know whether the request was paid for."""


@dataclass(frozen=True)
class Case:
    """A trip with the points at which one bot after the other is killed, and the job's end."""

    trip: str
    kills: tuple[str, ...]
    end: End

    def __str__(self) -> str:
        return f"{self.trip}, {' then '.join(self.kills)}"


def cases(trip: str, end: End, points: list[str], first: str | None = None) -> Iterator[Case]:
    """One case a point; with `first`, they are points of the bot that takes up the work."""
    for point in points:
        yield Case(trip, (point,) if first is None else (first, point), end)


CASES: Final = [
    Case("plain", ("store.submit:before",), End.NOTHING),
    *cases("plain", End.DRAWN, ["store.submit:after", *SHOWN, *around("store.begin")]),
    *cases("plain", End.DRAWN, [*DRAWN, *KEPT, *DELIVERED]),
    *cases("plain", End.DRAWN, SHOWN, first="store.submit:after"),
    *cases(
        "plain",
        End.DRAWN,
        [*around("store.take_up", "store.requeue", "store.begin"), "backend.rendered"],
        first="backend.step",
    ),
    *cases("plain", End.DRAWN, KEPT, first="disk.flush 2"),
    *cases("plain", End.DRAWN, DELIVERED, first="store.render:after"),
    Case("plain", ("backend.step",) * 3, End.GAVE_UP),
    Case("plain", ("backend.step", "backend.step", "surface.finished"), End.DRAWN),
    *cases("paid", End.DRAWN, ["store.begin:after", "store.submitting:before"]),
    *cases("paid", End.UNKNOWN, UNSURE),
    *cases("paid", End.DRAWN, ["store.submitted:after", "service.step", "service.rendered"]),
    *cases("paid", End.DRAWN, around("store.render", "store.deliver")),
    *cases(
        "paid",
        End.DRAWN,
        [*around("store.take_up"), "service.step", *around("store.render")],
        first="service.step 2",
    ),
    Case("paid", ("service.step",) * 6, End.DRAWN),
    *cases(
        "paid",
        End.UNKNOWN,
        [*around("store.take_up", "store.fail"), *REPORTED],
        first="service.paid",
    ),
    *cases("failing", End.FAILED, [*around("store.fail"), *REPORTED]),
    *cases("flaky", End.DRAWN, [*around("store.requeue"), "store.begin:before 2"]),
    *cases("flaky", End.DRAWN, ["store.begin:after 2", "backend.step"]),
    *cases("message gone", End.GONE, ["surface.finish:before", *around("store.give_up")]),
    *cases("surface away", End.DRAWN, [*around("store.delivery_failed"), "pictures.get:before 2"]),
    *cases("surface away", End.DRAWN, ["surface.finish:before 2", "surface.finished"]),
    *cases("cancelled in the queue", End.CANCELLED, [*around("store.request_cancel"), *REPORTED]),
    *cases(
        "cancelled",
        End.CANCELLED,
        [*around("store.request_cancel", "store.cancel"), *REPORTED],
    ),
    *cases(
        "cancelled",
        End.CANCELLED,
        [*around("store.take_up", "store.cancel"), *REPORTED],
        first="store.request_cancel:after",
    ),
    *cases("cancelled, paid", End.CANCELLED, ["service.cancel", "service.cancelled"]),
    *cases("cancelled, paid", End.CANCELLED, around("store.request_cancel", "store.cancel")),
    *cases(
        "cancelled, paid",
        End.CANCELLED,
        [*around("store.take_up", "store.cancel"), "service.cancel", "service.cancelled"],
        first="store.request_cancel:after",
    ),
    *cases("stopped", End.DRAWN, around("store.requeue")),
]


def reached(folder: Path) -> list[str]:
    return (folder / "points.log").read_text().splitlines()


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_wherever_a_bot_is_killed_people_see_one_right_end(
    victims: Victims, folder: Path, case: Case
) -> None:
    life = TRIPS[case.trip].model_copy(update={"folder": str(folder)})
    sent = life.submit
    for kill in case.kills:
        code = victims.live(life.model_copy(update={"kill": kill}))
        assert code == KILLED, f"{kill} was not reached: {reached(folder)}"
        life = life.model_copy(update={"submit": (), "drain": False})
    assert victims.live(life) == 0, (folder / "bot.log").read_text()
    assert await aftermath(folder, sent) == {JOB: case.end}


def test_bots_are_killed_at_every_place_that_touches_the_outside(
    victims: Victims, folder: Path
) -> None:
    places = {point.partition(" ")[0] for case in CASES for point in case.kills}
    assert places.issuperset(around(*(f"store.{name}" for name in WRITES)))
    for name, trip in TRIPS.items():
        assert victims.live(trip.model_copy(update={"folder": str(folder / name)})) == 0
        seen = {point.partition(" ")[0] for point in reached(folder / name)} - {"---"}
        assert seen <= places, "a place without a case"


async def test_a_job_that_kills_its_bot_three_times_fails_and_the_others_do_not(
    victims: Victims, folder: Path
) -> None:
    die, other = Sent(id=JOB, prompt="steps=4 die", seed=1), Sent(id=f"{JOB[:-1]}2", seed=2)
    life = Life(folder=str(folder), submit=(die, other), limits=Limits(requester_running=1))
    codes = [victims.live(life) for _ in range(4)]
    assert codes == [KILLED, KILLED, KILLED, 0]
    assert await aftermath(folder, life.submit) == {die.id: End.GAVE_UP, other.id: End.DRAWN}
    sentence = RecordingSurface(folder / "surface").message(die.id)["state"]
    assert sentence == wording.gave_up(3, wording.STOPPED_WITH_ATELIER)


async def test_a_paid_job_that_kills_every_bot_that_takes_it_up_is_called_off(
    victims: Victims, folder: Path
) -> None:
    life = Life(
        folder=str(folder), submit=(Sent(id=JOB, prompt="steps=4 die", backend="service", seed=1),)
    )
    codes = [victims.live(life) for _ in range(MOST_TAKE_UPS + 1)]
    assert codes == [KILLED] * MOST_TAKE_UPS + [0]
    assert await aftermath(folder, life.submit) == {JOB: End.GAVE_UP}
    assert (folder / "service" / "cancelled-1-0").exists()


async def test_twenty_bots_are_killed_at_any_time_and_nothing_is_lost(
    victims: Victims, folder: Path
) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")  # shown when the test fails
    rampage = Rampage(victims, folder, seed)
    await rampage.kill(20)
    await rampage.rest()
