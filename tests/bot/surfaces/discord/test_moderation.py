"""What moderators do with the pictures of others, from a report and from their panel."""

import asyncio
from pathlib import Path

from bot import wording
from bot.surfaces.discord import moderation
from bot.surfaces.discord.clicks import NOT_YOURS
from bot.surfaces.discord.surface import CARD_GONE, CARD_OUT_OF_REACH
from tests.bot.surfaces.discord.stage import Stage, stage
from tests.bot.surfaces.discord.test_reports import report, report_channel, set_up
from tests.fakes.discord import Answer, Channel, Fault, May, Message, User

HIDDEN = "Behind a spoiler because a moderator hid it."
REVEALED = "A moderator has looked at it and revealed it."


def moderator(s: Stage) -> User:
    """Somebody with a role that the community's settings name."""
    mod, role = s.discord.user("Mod"), s.discord.role(s.home, "mods")
    s.discord.join(s.home, mod, role)
    return mod


async def named(s: Stage, mod: User, **values: object) -> None:
    roles = [str(role.id) for role in s.home.members[mod.id].roles]
    await set_up(s.app, s.home, moderator_roles=roles, **values)


async def log_channel(s: Stage) -> Channel:
    channel = s.discord.text(s.home, "log")
    await set_up(s.app, s.home, log_channel=str(channel.id))
    return channel


async def said(s: Stage, answer: Answer, text: str) -> None:
    """Wait for a private sentence that follows a click."""
    told = answer.interaction.follow_ups
    await s.discord.until(lambda: any(text == one.text for one in told))
    assert all(one.ephemeral for one in told)


async def changed(message: Message, versions: int) -> None:
    """Wait until a message has more than so many versions."""
    await message.until(lambda m: len(m.versions) > versions)


def spoilers(card: Message) -> list[bool]:
    return [picture.spoiler for picture in card.pictures]


async def test_a_report_is_decided_once_and_says_by_whom(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        mod, reports = moderator(s), await report_channel(s)
        await named(s, mod)
        card = await s.drawn(s.ana, "a cat", images=2)
        await report(s, card)
        (told,) = reports.public

        refusal = await s.discord.click(s.ben, told, "Veil")
        await said(s, refusal, wording.MODERATORS_ONLY)
        assert spoilers(card) == [False, False]

        await s.discord.click(mod, told, "Veil")
        await told.until(lambda m: not m.buttons)
        assert spoilers(card) == [True, True]
        assert HIDDEN in card.text
        assert str(mod.id) not in card.text
        assert f"**Veiled** by <@{mod.id}>" in told.text
        assert f"<@{s.ben.id}> reports" in told.text
        assert (told.pictures, told.attachments) == ([], [])
        assert s.general.public == [card]


async def test_the_panel_reveals_what_the_checker_flagged_and_veils_it_again(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as s:
        mod = moderator(s)
        await named(s, mod)
        card = await s.drawn(s.ana, "flagged")
        job = await s.newest(s.ana)
        assert spoilers(card) == [True]
        panel = (await s.discord.click(mod, card, "Report")).message
        assert "The checker flagged it." in panel.text

        await s.discord.click(mod, panel, "Reveal")
        await panel.until(lambda m: "Revealed." in m.text)
        assert (spoilers(card), REVEALED in card.text) == ([False], True)

        for _ in range(2):  # clicked twice, it changes nothing more
            seen = len(panel.versions)
            await s.discord.click(mod, panel, "Veil")
            await changed(panel, seen)
            assert "Veiled." in panel.text
            assert (spoilers(card), HIDDEN in card.text) == ([True], True)
        assert s.discord.fetch(card.pictures[0].url.partition("?")[0])
        now = await s.app.jobs.get(job.id)
        assert now is not None
        assert now.moderated == "flagged"


async def test_where_the_rule_withholds_a_veil_takes_the_picture_away(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        mod = moderator(s)
        await named(s, mod, flagged="withhold")
        card = await s.drawn(s.ana, "a cat")
        panel = (await s.discord.click(mod, card, "Report")).message
        await s.discord.click(mod, panel, "Veil")
        await card.until(lambda m: not m.pictures)
        assert card.attachments == []
        assert "A picture is withheld: a moderator hid it" in card.text
        await panel.until(lambda m: "Veiled." in m.text)
        await s.discord.click(mod, panel, "Reveal")
        await card.until(lambda m: m.pictures)
        assert spoilers(card) == [False]


async def test_a_card_that_could_not_be_changed_is_changed_by_the_next_click(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as s:
        mod = moderator(s)
        await named(s, mod)
        card = await s.drawn(s.ana)
        panel = (await s.discord.click(mod, card, "Report")).message
        s.discord.rest.faults.append(Fault("PATCH", rf"/messages/{card.id}", status=400))
        answer = await s.discord.click(mod, panel, "Veil")
        await said(s, answer, moderation.NOT_REDRAWN)
        assert spoilers(card) == [False]
        await s.discord.click(mod, panel, "Veil")
        await card.until(lambda m: m.pictures and m.pictures[0].spoiler)

        s.discord.clock.move(3600)
        s.discord.allow(s.general, s.discord.bot, deny=int(May.VIEW_CHANNEL))
        answer = await s.discord.click(mod, panel, "Reveal")
        await said(s, answer, CARD_OUT_OF_REACH)
        s.discord.allow(s.general, s.discord.bot)
        await s.discord.click(mod, panel, "Reveal")
        await card.until(lambda m: not m.pictures[0].spoiler)

        s.discord.remove(s.discord.owner, card)
        await s.discord.click(mod, panel, "Veil")
        await panel.until(lambda m: CARD_GONE in m.text)
        assert s.general.public == []  # nothing is posted anew


async def test_of_two_moderators_at_once_the_card_shows_whose_word_holds(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        mod = moderator(s)
        await named(s, mod)
        card = await s.drawn(s.ana)
        job = await s.newest(s.ana)
        panel = (await s.discord.click(mod, card, "Report")).message
        s.discord.rest.faults.append(Fault("PATCH", rf"/messages/{card.id}", delay=0.3))
        drawn = len(card.versions)
        await asyncio.gather(*(s.discord.click(mod, panel, one) for one in ("Veil", "Reveal")))
        await card.until(lambda m: len(m.versions) >= drawn + 2)
        now = await s.app.jobs.get(job.id)
        assert now is not None
        hidden = now.moderated == "flagged"
        await card.until(lambda m: m.pictures and m.pictures[0].spoiler is hidden)


async def test_deleting_from_a_report_takes_message_and_picture(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        mod, reports = moderator(s), await report_channel(s)
        await named(s, mod)
        card = await s.drawn(s.ana)
        result = (await s.newest(s.ana)).result
        assert result is not None
        await report(s, card)
        (told,) = reports.public
        await s.discord.click(mod, told, "Delete")
        await told.until(lambda m: not m.buttons)
        assert card.deleted
        assert not await s.app.pictures.exists(result.pictures[0].key)
        assert f"**Deleted** by <@{mod.id}>" in told.text
        assert told.attachments == []


async def test_a_crash_between_the_picture_and_its_message_is_healed_by_another_click(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as s:
        mod, reports = moderator(s), await report_channel(s)
        await named(s, mod)
        cards = [await s.drawn(s.ana), await s.drawn(s.ana)]
        first, second = (await s.app.jobs.history("discord", str(s.ana.id), before=None, limit=2))[
            ::-1
        ]
        await report(s, cards[1])
        for job in (first, second):
            await s.app.jobs.erase(job.id)
        assert (await s.discord.click(s.ben, cards[0], "Delete")).text == wording.NO_SUCH_JOB
        await s.discord.click(s.ana, cards[0], "Delete")
        await cards[0].until(lambda m: m.deleted)
        await s.discord.click(mod, reports.public[0], "Delete")
        await cards[1].until(lambda m: m.deleted)

        panel = await s.discord.click(mod, await s.drawn(s.ana), "Report")
        await s.app.jobs.forget(2**40)
        await s.discord.click(mod, panel.message, "Veil")
        await panel.message.until(lambda m: moderation.GONE in m.text)


async def test_blocking_asks_once_more_and_stays_until_a_manager_undoes_it(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as s:
        mod, reports, log = moderator(s), await report_channel(s), await log_channel(s)
        await named(s, mod)
        card = await s.drawn(s.ana)
        await report(s, card)
        (told,) = reports.public
        form = (await s.discord.click(mod, told, "Block member")).modal
        assert f"<@{s.ana.id}> can draw nothing here" in form.text
        refused = await s.discord.slash(s.ana, s.general, "imagine", prompt="a cat")
        await refused.message.until(lambda m: m.pictures)  # not yet
        await s.discord.submit(form, {"Why": "*spam*"})
        await told.until(lambda m: f"**Member blocked** by <@{mod.id}>" in m.text)
        blocked = await s.discord.slash(s.ana, s.general, "imagine", prompt="a cat")
        assert "blocked you" in blocked.text
        await s.discord.click(mod, card, "Delete")
        await s.discord.until(lambda: "deleted by" in "".join(m.text for m in log.public))
        link = f"https://discord.com/channels/{s.home.id}/{s.general.id}/{card.id}"
        assert "\n".join(m.text for m in log.public).splitlines() == [
            f"A picture of <@{s.ana.id}> was reported by <@{s.ben.id}>: {link}",
            f"<@{s.ana.id}> ({s.ana.id}) was blocked by <@{mod.id}> ({mod.id}): \\*spam\\*",
            f"A picture of <@{s.ana.id}> was deleted by <@{mod.id}>: {link}",
        ]
        record = (await s.app.communities.history(str(s.home.id)))[0]
        assert (record.by, record.fields) == (str(mod.id), ("blocked_members",))


async def test_who_is_no_moderator_any_more_decides_nothing(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        mod = moderator(s)
        await named(s, mod)
        card = await s.drawn(s.ana)
        panel = (await s.discord.click(mod, card, "Report")).message
        form = (await s.discord.click(mod, panel, "Block member")).modal
        s.discord.join(s.home, mod)  # the role is taken away
        for button in ("Veil", "Reveal", "Delete"):
            answer = await s.discord.click(mod, panel, button)
            await said(s, answer, wording.MODERATORS_ONLY)
        block = await s.discord.click(mod, panel, "Block member")
        assert block.text == wording.MODERATORS_ONLY
        late = await s.discord.submit(form)
        await late.settled()
        here = await s.app.communities.effective(str(s.home.id))
        assert here.settings.blocked_members == frozenset()
        assert (spoilers(card), card.deleted) == ([False], False)
        refusal = await s.discord.click(mod, card, "Delete")
        assert refusal.text == NOT_YOURS


async def test_a_veiled_picture_is_withheld_where_its_file_is_lost(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        mod = moderator(s)
        await named(s, mod)
        card = await s.drawn(s.ana)
        result = (await s.newest(s.ana)).result
        assert result is not None
        await s.app.pictures.delete(result.pictures[0].key)
        panel = (await s.discord.click(mod, card, "Report")).message
        await s.discord.click(mod, panel, "Veil")
        await card.until(lambda m: not m.pictures)
        answer = await s.discord.click(mod, panel, "Reveal")
        await said(s, answer, wording.PICTURE_GONE)
