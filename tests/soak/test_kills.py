"""The kills of tests/scenarios/test_kills.py, by the thousand."""

import random
from pathlib import Path
from typing import Final

import pytest

from tests.fakes.killing import KILLED, End, Rampage, Victims, aftermath
from tests.scenarios.test_kills import JOB, TRIPS, folder, reached, victims

pytestmark = pytest.mark.soak
__all__ = ["folder", "victims"]  # the fixtures

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


@pytest.mark.parametrize("number", range(40))
async def test_a_thousand_bots_are_killed_at_any_time_and_nothing_is_lost(
    victims: Victims, folder: Path, number: int
) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")  # shown when the test fails
    rampage = Rampage(victims, folder, seed)
    await rampage.kill(25)
    await rampage.rest()


@pytest.mark.parametrize("trip", TRIPS)
async def test_two_bots_are_killed_one_after_the_other_at_every_fifth_pair_of_points(
    victims: Victims, folder: Path, trip: str
) -> None:
    for first in range(1, 100):
        for second in range(1 + first % 5, 100, 5):
            here = folder / f"{first}-{second}"
            life = TRIPS[trip].model_copy(update={"folder": str(here)})
            later = life.model_copy(update={"submit": (), "drain": False})
            if victims.live(life.model_copy(update={"kill": f"#{first}"})) != KILLED:
                return  # that was behind the last point
            died = victims.live(later.model_copy(update={"kill": f"#{second}"})) == KILLED
            assert victims.live(later) == 0, (here / "bot.log").read_text()
            ends = await aftermath(here, life.submit)
            assert ends[JOB] in ENDS[trip] | {End.NOTHING}, reached(here)
            if not died:
                break
