"""The kills of tests/scenarios/test_kills.py, by the thousand."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.fakes.killing import KILLED, End, Rampage, Victims, aftermath
from tests.scenarios.test_kills import JOB, TRIPS, reached

pytestmark = pytest.mark.soak

ENDS: Final = {
    "plain": {End.DRAWN},
    "paid": {End.DRAWN, End.UNKNOWN},
    "failing": {End.FAILED},
    "flaky": {End.DRAWN, End.GAVE_UP},
    "message gone": {End.GONE},
    "surface away": {End.DRAWN},
    "cancelled in the queue": {End.CANCELLED},
    "cancelled": {End.CANCELLED},
    "cancelled, paid": {End.CANCELLED, End.UNKNOWN},
    "stopped": {End.DRAWN},
    "stopped, paid": {End.DRAWN, End.UNKNOWN},
}


@pytest.fixture(scope="module")
def victims() -> Iterator[Victims]:
    with Victims() as victims:
        yield victims


@pytest.mark.parametrize("number", range(40))
async def test_a_thousand_bots_are_killed_at_any_time_and_nothing_is_lost(
    victims: Victims, tmp_path: Path, number: int
) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")  # shown when the test fails
    rampage = Rampage(victims, tmp_path, seed)
    await rampage.kill(25)
    await rampage.rest()


@pytest.mark.parametrize("trip", TRIPS)
async def test_two_bots_are_killed_one_after_the_other_at_every_third_pair_of_points(
    victims: Victims, tmp_path: Path, trip: str
) -> None:
    for first in range(1, 100):
        for second in range(1 + first % 3, 100, 3):
            folder = tmp_path / f"{first}-{second}"
            life = TRIPS[trip].model_copy(update={"folder": str(folder)})
            later = life.model_copy(update={"submit": (), "drain": False})
            if victims.live(life.model_copy(update={"kill": f"#{first}"})) != KILLED:
                return  # that was behind the last point
            died = victims.live(later.model_copy(update={"kill": f"#{second}"})) == KILLED
            assert victims.live(later) == 0, (folder / "bot.log").read_text()
            ends = await aftermath(folder, life.submit)
            assert ends[JOB] in ENDS[trip] | {End.NOTHING}, reached(folder)
            if not died:
                break
