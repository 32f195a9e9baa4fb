"""Members report pictures, and moderators decide about them."""

from pathlib import Path

from simcord import ChannelHandle

from bot import wording
from bot.surfaces.discord.menus import NO_CARD
from bot.surfaces.discord.reports import NO_CHANNEL, NO_MODERATORS, THANKS
from tests.scenarios.discord.simulated import Simulated, simulated


async def reports_channel(s: Simulated) -> ChannelHandle:
    """Mo names a channel for reports in the panel."""
    channel = s.home.create_text_channel("reports")
    panel = (await s.mod.slash("settings")).card
    await s.mod.choose(panel, "Channels")
    await s.mod.pick(panel, "report_channel", channel)
    return channel


async def test_a_report_reaches_the_moderators_who_veil_the_picture(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (s, _):
        card = await s.drawn(s.ana, "a cat")
        assert (await s.ben.click(card, "Report")).text == NO_CHANNEL
        desk = s.mod.at(await reports_channel(s))

        form = await s.ben.click(card, "Report")
        assert list(form.form) == ["What is it?", "What is wrong with it?"]
        thanked = await form.fill(
            {"What is it?": "A real person", "What is wrong with it?": "This is *my* cat"}
        )
        assert (thanked.private, thanked.text) == (True, THANKS)
        (report,) = desk.reads
        assert "**Report** · A real person" in report.text
        assert f"<@{s.ben.id}> reports [a picture]" in report.text
        assert f"that <@{s.ana.id}> asked for" in report.text
        assert "> This is \\*my\\* cat" in report.text
        assert [one.spoiler for one in report.pictures] == [True]
        assert report.calls == []
        assert not (await s.ben.click(card, "Report")).result.modal  # once is enough

        await desk.click(report, "Veil")
        await card.becomes(lambda c: [one.spoiler for one in c.pictures] == [True])
        assert "Behind a spoiler because a moderator hid it." in card.text
        assert f"**Veiled** by <@{s.mod.id}>" in report.text
        assert (report.buttons, report.pictures) == ([], [])


async def test_a_moderator_decides_without_a_report_as_well(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (s, _):
        card = await s.drawn(s.ana, "flagged")
        panel = await s.mod.menu("Report", card)
        assert panel.private
        assert "The checker flagged it." in panel.text
        await s.mod.click(panel.card, "Reveal")
        await card.becomes(lambda c: [one.spoiler for one in c.pictures] == [False])
        assert "A moderator has revealed it." in panel.text

        sure = await s.mod.click(panel.card, "Block member")
        await sure.fill({"Why": "Not here"})
        refused = await s.ana.slash("imagine", prompt="a cat")
        assert refused.private
        assert "blocked" in refused.text
        await s.mod.click(panel.card, "Delete")
        assert card.gone
        assert "Deleted." in panel.text


async def test_nobody_else_decides_and_nobody_reports_where_there_are_no_moderators(
    tmp_path: Path,
) -> None:
    async with simulated(tmp_path) as (s, _):
        public = await reports_channel(s)  # where Ben looks in as well
        card = await s.drawn(s.ana, "a cat")
        form = await s.ben.click(card, "Report")
        await form.fill({"What is wrong with it?": "It is mine"})
        (report,) = s.ben.at(public).reads
        for label in ("Veil", "Reveal", "Delete", "Block member", "Dismiss"):
            refused = await s.ben.at(public).click(report, label)
            assert refused.told == wording.MODERATORS_ONLY
        assert [one.spoiler for one in card.pictures] == [False]
        await s.mod.at(public).click(report, "Dismiss")
        assert "**Dismissed**" in report.text

        ana = s.ana.in_private
        own = await s.drawn(ana)
        assert (await ana.click(own, "Report")).text == NO_MODERATORS


async def test_the_menu_of_a_message_reads_recipes_and_saves_presets(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (s, _):
        card = await s.drawn(s.ana, "a cat", seed=7, steps=5)
        form = await s.ben.menu("Use recipe", card)
        assert (form.form["Prompt"], form.form["Seed"]) == ("a cat", "7")
        same = await form.fill({})
        await same.card.finished()
        assert (await s.newest(s.ben)).request == (await s.newest(s.ana)).request

        form = await s.ben.menu("Save as preset", card)
        assert form.form["Template"] == "{prompt}"
        made = await form.fill({"Name": "quick"})
        assert made.private
        drawn = await s.drawn(s.ben, "a dog", preset="quick")
        assert "5 steps" in drawn.text

        talk = await s.ben.says("hello")
        for name in ("Use recipe", "Save as preset", "Report"):
            answer = await s.ana.menu(name, talk)
            assert answer.private
            assert "no picture" in answer.text
        assert (await s.ana.menu("Report", talk)).text == NO_CARD
