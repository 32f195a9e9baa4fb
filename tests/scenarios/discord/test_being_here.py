"""The bot arrives; members have defaults of their own, and see and erase what is kept of them."""

import json
from pathlib import Path

from bot.surfaces.discord.surface import READY
from tests.scenarios.discord.simulated import simulated


async def test_a_server_is_greeted_once_with_what_to_set_first(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (s, _):
        greeted = s.mod.at(s.arrivals)
        (welcome,) = greeted.reads
        for word in ("/imagine", "/settings", "Flagged pictures", "Log", "Limits"):
            assert word in welcome.text
        assert welcome.calls == []
        await s.restart()
        await s.env.settle()
        assert [one.id for one in greeted.reads] == [welcome.id]
        assert s.ana.reads == []


async def test_members_have_defaults_of_their_own(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (s, _):
        panel = (await s.ana.slash("defaults")).card
        assert panel.private
        await s.ana.choose(panel, "Pictures at once: 2")
        await s.ana.choose(panel, "Size: square_hd, 1024x1024")
        card = await s.drawn(s.ana)
        assert len(card.pictures) == 2
        assert str((await s.newest(s.ana)).request.image_size) == "1024x1024"
        assert len((await s.drawn(s.ben)).pictures) == 1

        form = await s.ana.click(panel, "Preset or exact size")
        await form.fill({"Preset": "lantern", "Size": ""})
        assert "lantern@1" in (await s.drawn(s.ana)).text
        await s.ana.choose(panel, "All of mine")
        assert len((await s.drawn(s.ana)).pictures) == 1

        await s.ana.click(panel, "Ping me when done")
        await s.drawn(s.ana)
        ping = s.ben.reads[-1]
        assert READY in ping.said
        assert ping.calls == [s.ana.id]
        await s.ana.click(panel, "Show results to me alone")
        before = len(s.ben.reads)
        assert (await s.drawn(s.ana)).private
        assert len(s.ben.reads) == before


async def test_what_is_kept_of_somebody_is_given_to_them_and_erased(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (s, _):
        card = await s.drawn(s.ana, "a secret cat")
        other = await s.drawn(s.ben, "a dog")
        privacy = await s.ana.slash("privacy")
        assert privacy.private
        export = await s.ana.click(privacy.card, "Export")
        assert export.private
        kept = json.loads(await export.card.read_file())
        assert "a secret cat" in json.dumps(kept)
        assert "a dog" not in json.dumps(kept)

        sure = await s.ana.click(privacy.card, "Erase")
        assert await s.app.jobs.history("discord", str(s.ana.id), before=None, limit=9)
        erased = await s.ana.click(sure.card, "Erase everything")
        assert "Erased: 1 job" in erased.text
        assert not await s.app.jobs.history("discord", str(s.ana.id), before=None, limit=9)
        await s.ana.click(card, "Delete")
        assert card.gone
        assert (await s.ben.click(other, "Recipe")).private
