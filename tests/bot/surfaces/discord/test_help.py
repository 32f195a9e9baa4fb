"""`/help`: short, and something to try at once."""

from pathlib import Path

import pytest

from bot.commands.trying import LONGEST, SCENES, SHAPES, examples
from bot.communities import Change
from bot.permissions import Requester
from tests.bot.surfaces.discord.stage import stage

OWNER = Requester("owner", owner=True)


async def test_examples_draw_at_once_by_the_same_rules_as_imagine(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        help_ = await s.discord.slash(s.ana, s.general, "help")
        assert help_.ephemeral
        assert SCENES[0] in help_.text
        answer = await s.discord.click(s.ana, help_.message, f"v1:try:draw:{SCENES[2]}")
        await answer.message.until(lambda m: m.pictures)
        assert s.general.public == [answer.message]
        assert (await s.newest(s.ana)).request.prompt == SCENES[2]

        form = (await s.discord.click(s.ana, help_.message, "Write my own")).modal
        answer = await s.discord.submit(form, {"Prompt": "a dog --steps 3 --private"})
        await answer.message.until(lambda m: m.pictures)
        assert answer.ephemeral
        assert (await s.newest(s.ana)).request.num_inference_steps == 3
        wrong = await s.discord.submit(form, {"Prompt": "a dog --sed 7"})
        assert "did you mean --seed" in (await wrong.settled()).text
        presets = await s.discord.click(s.ana, help_.message, "Presets")
        assert "**comic**" in presets.text

        pause = Change({"paused": {"reason": "Back at noon."}})
        await s.app.communities.change(str(s.home.id), pause, base=0, by=OWNER)
        refused = await s.discord.click(s.ana, help_.message, "Draw this")
        assert "Back at noon." in (await refused.settled()).text
        assert len(s.general.public) == 1


@pytest.mark.parametrize("prompt", [*SHAPES, *SCENES])
def test_an_example_fits_a_button(prompt: str) -> None:
    assert len(prompt) <= LONGEST


def test_the_demo_model_is_offered_what_it_draws() -> None:
    assert examples("demo") == SHAPES
    assert examples("local") == examples("fal") == SCENES
