"""Whoever manages the server sets what Atelier does in it."""

from pathlib import Path

import pytest
from simcord import SetupError

from tests.scenarios.discord.seen import eventually
from tests.scenarios.discord.simulated import simulated


async def test_what_is_set_in_the_panel_holds_from_the_next_picture_on(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (s, _):
        with pytest.raises(SetupError, match="not visible to this user"):
            await s.ana.slash("settings")
        opened = await s.mod.slash("settings")
        assert opened.private
        panel = opened.card
        assert "behind a spoiler, everywhere *(default)*" in panel.text
        await s.mod.choose(panel, "Withheld everywhere: a sentence stands in their place")
        assert "✅" in panel.text
        assert (await s.drawn(s.ana, "flagged")).pictures == []

        await s.restart()  # the panel stays open meanwhile
        await s.mod.choose(panel, "Flagged pictures")  # in the menu that sets back
        assert "behind a spoiler, everywhere *(default)*" in panel.text
        assert [one.spoiler for one in (await s.drawn(s.ana, "flagged")).pictures] == [True]

        form = await s.mod.click(panel, "Pause …")
        await form.fill({"Reason": "Cleaning up"})
        refused = await s.ana.slash("imagine", prompt="a cat")
        assert refused.private
        assert "Cleaning up" in refused.text
        await s.mod.click(panel, "Resume")
        await s.drawn(s.ana)

        await s.mod.choose(panel, "Changes")
        assert panel.text.count(f"<@{s.mod.id}>") == 4


async def test_limits_hold_for_everybody_but_for_roles_with_more(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (s, _):
        patrons = s.home.create_role("Patrons")
        kim = s.newcomer("Kim", patrons)
        panel = (await s.mod.slash("settings")).card
        await s.mod.choose(panel, "Pictures")
        form = await s.mod.click(panel, "Change …", beside="Most pictures at once")
        await form.fill({"Most pictures at once": "2"})
        await s.mod.choose(panel, "Roles")
        await s.mod.pick(panel, "Choose any role", patrons)
        form = await s.mod.click(panel, "Change …", beside="Most pictures at once")
        await form.fill({"Most pictures at once": "4"})
        assert len((await s.drawn(kim, images=4)).pictures) == 4
        refused = await s.ana.slash("imagine", prompt="a cat", images=4)
        assert refused.private
        assert "2" in refused.text

        wrong = await s.mod.click(panel, "Change …", beside="Most pictures at once")
        before = (await s.newest(kim)).number
        await wrong.fill({"Most pictures at once": "many"})
        assert "⚠️ Nothing was saved." in panel.text
        await s.drawn(kim, images=4)
        assert (await s.newest(kim)).number > before


async def test_blocked_words_are_added_and_taken_away(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (s, _):
        panel = (await s.mod.slash("settings")).card
        await s.mod.click(panel, "Open", beside="Blocked words")
        await (await s.mod.click(panel, "Add …")).fill({"Words and phrases": "owl, grey cat"})
        refused = await s.ana.slash("imagine", prompt="an Owl in a tree")
        assert refused.private
        await s.drawn(s.ana, "a bowl")
        await s.mod.choose(panel, "2. owl")
        await s.drawn(s.ana, "an Owl in a tree")


async def test_two_who_change_the_same_setting_do_not_overwrite_each_other(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (s, _):
        max_ = s.newcomer("Max", s.home.roles["Moderators"])
        one, other = (await s.mod.slash("settings")).card, (await max_.slash("settings")).card
        await s.mod.choose(one, "Withheld everywhere: a sentence stands in their place")
        await max_.choose(other, "Behind a spoiler in age-restricted channels, withheld elsewhere")
        assert f"<@{s.mod.id}>" in other.text
        assert "**Flagged pictures**: withheld everywhere" in other.text
        await max_.choose(other, "Behind a spoiler in age-restricted channels, withheld elsewhere")
        assert "**Flagged pictures**: behind a spoiler in age-restricted channels" in other.text


async def test_a_log_channel_hears_of_changes_and_deletions(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (s, _):
        channel = s.home.create_text_channel("log")
        log = s.mod.at(channel)
        panel = (await s.mod.slash("settings")).card
        await s.mod.choose(panel, "Channels")
        await s.mod.pick(panel, "log_channel", channel)
        card = await s.drawn(s.ana)
        await s.mod.click(card, "Delete")
        await eventually(lambda: len(log.reads) == 2)
        changed, deleted = (line.text for line in log.reads)
        assert changed == f"<@{s.mod.id}> has changed settings: Log."
        assert deleted.startswith(f"A picture of <@{s.ana.id}> was deleted by <@{s.mod.id}>")
        assert [line.calls for line in log.reads] == [[], []]
