"""What moderators do with the pictures of others, from a report and from their window."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

from bot import wording
from bot.surfaces.slack import cards, moderation
from bot.surfaces.slack.clicks import NOT_YOURS
from bot.surfaces.slack.notes import Note, Notes
from bot.surfaces.slack.redrawing import CARD_GONE
from tests.bot.surfaces.slack.stage import Stage, stage
from tests.bot.surfaces.slack.test_reports import report, report_channel, set_up, told
from tests.fakes.slack import Channel, Fault, Message, Seen, User, View

HIDDEN = "Hidden because a moderator hid it."


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.surfaces.ledger.PAUSE_S", 0.0)


async def moderator(s: Stage, **values: object) -> User:
    """Somebody whom the settings name."""
    mod = s.slack.user("Mod")
    s.general.members.add(mod)
    await set_up(s, moderators=[mod.id], **values)
    return mod


async def log_channel(s: Stage) -> Channel:
    channel = s.slack.channel("log", s.ben)
    await set_up(s, log_channel=channel.id)
    return channel


async def panel(s: Stage, mod: User, card: Message) -> View:
    return (await s.slack.click(mod, card, "Report")).modal


async def press(s: Stage, mod: User, window: View, button: str, said: str) -> None:
    """Click, and wait for what the window says of it."""
    before = window.hash
    await s.slack.click(mod, window, button)
    await window.until(lambda v: v.hash != before)
    assert said in window.text


def only(s: Stage) -> Seen:
    """What Ben sees of the one message in the channel."""
    [message] = s.general.posted
    return s.slack.sight(s.ben, message)


async def test_hiding_and_showing_openly_put_one_message_in_the_place_of_another(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as s:
        mod, log = await moderator(s), await log_channel(s)
        card = await s.drawn(s.ana, "a cat --images 2")
        [first, second] = s.slack.files_of(s.ben, s.general)
        window = await panel(s, mod, card)
        assert "The checker found it clear." in window.text
        for _ in range(2):  # clicked twice, it changes nothing more
            await press(s, mod, window, "Hide", "Hidden.")
            assert card.deleted
            assert [picture.collapsed for picture in only(s).pictures] == [True, True]
            assert (HIDDEN in only(s).text, mod.id in only(s).text) == (True, False)
            assert only(s).notification == cards.NEUTRAL
            assert {first.state, second.state} == {"deleted"}
        hidden = only(s).message
        assert card.versions[-1]["text"] == cards.SHOWN_ANEW
        assert len(s.general.posted) == 1

        await press(s, mod, window, "Show openly", "Shown openly.")
        assert (len(only(s).open_pictures), hidden.deleted) == (2, True)
        assert cards.REVEALED in only(s).text
        assert len(s.slack.files_of(s.ben, s.general)) == 2
        assert "Again" in only(s).buttons
        await s.slack.until(lambda: "shown openly by" in str([m.text for m in log.posted]))
        assert f"was hidden by Mod ({mod.id}): https://home.slack.com/archives/" in str(
            [m.text for m in log.posted]
        )


async def test_a_moderator_who_closes_the_window_hears_of_it_all_the_same(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        mod = await moderator(s)
        window = await panel(s, mod, await s.drawn(s.ana))
        s.slack.api.faults.append(Fault("views.update", error="not_found"))
        await s.slack.click(mod, window, "Hide")
        await told(s, mod, "Hidden.")


async def test_in_a_thread_it_stays_there(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        mod = await moderator(s)
        root = await s.slack.write(s.ben, s.general, "look")
        await s.slack.mention(s.ana, s.general, "a cat", root)
        card = await s.slack.posted(s.general, lambda m: "Again" in m.buttons)
        await s.until(await s.newest(s.ana))
        await press(s, mod, await panel(s, mod, card), "Hide", "Hidden.")
        hidden = await s.slack.posted(s.general, lambda m: m.thread_ts and HIDDEN in str(m.blocks))
        assert (card.deleted, hidden.thread_ts) == (True, root.ts)


@pytest.mark.parametrize(("rule", "offered"), [("withhold", False), ("private", True)])
async def test_where_the_rule_withholds_hiding_takes_the_picture_away(
    tmp_path: Path, rule: str, offered: bool
) -> None:
    async with stage(tmp_path) as s:
        mod = await moderator(s, flagged=rule)
        window = await panel(s, mod, await s.drawn(s.ana))
        await press(s, mod, window, "Hide", "Hidden.")
        assert "A picture is withheld: a moderator hid it" in only(s).text
        assert (only(s).pictures, s.slack.files_of(s.ben, s.general)) == ((), [])
        assert ("Send to me" in only(s).buttons) is offered
        await press(s, mod, window, "Show openly", "Shown openly.")
        assert only(s).open_pictures


async def test_a_report_is_decided_once_and_says_by_whom(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        mod, channel = await moderator(s), await report_channel(s)
        channel.members |= {mod, s.ben}
        card = await s.drawn(s.ana, "flagged")
        await report(s, card)
        shown = await s.slack.posted(channel, lambda m: m.buttons)
        refusal = await s.slack.click(s.ben, shown, "Show openly")
        await refusal.until(lambda a: a.text == wording.MODERATORS_ONLY)
        assert not only(s).open_pictures

        await s.slack.click(mod, shown, "Show openly")
        await shown.until(lambda m: not m.buttons)
        assert only(s).open_pictures
        seen = s.slack.sight(mod, shown)
        assert f"*Shown openly* by Mod ({mod.id})" in seen.text
        assert f"Ben ({s.ben.id}) reports" in seen.text
        await s.slack.until(lambda: not s.slack.files_of(mod, channel))
        assert seen.pictures == ()


async def test_two_reports_of_one_picture_find_the_message_that_shows_it_now(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as s:
        mod, channel = await moderator(s), await report_channel(s)
        channel.members.add(mod)
        card = await s.drawn(s.ana)
        other = s.slack.user("Cara")
        s.general.members.add(other)
        await report(s, card)
        form = (await s.slack.click(other, card, "Report")).modal
        await s.slack.submit(other, form, {"What is wrong with it?": "worse"})
        await s.slack.until(lambda: len(channel.posted) == 2)
        first, second = channel.posted
        await s.slack.click(mod, first, "Hide")
        await first.until(lambda m: not m.buttons)
        await s.slack.click(mod, second, "Show openly")
        await second.until(lambda m: not m.buttons)
        assert only(s).open_pictures


@contextmanager
def dying(point: str) -> Iterator[None]:
    """Break off when a note is first written that says so, as a crash would there."""
    write, done = Notes.write, list[str]()

    async def broken(self: Notes, name: str, note: Note) -> None:
        if "veiled" in name and getattr(note, point) and not done:
            done.append(name)
            raise TimeoutError
        await write(self, name, note)

    with patch.object(Notes, "write", broken):
        yield


@pytest.mark.parametrize("point", ["old_files", "files", "posting", "posted", "cleared"])
async def test_a_crash_between_two_lines_is_healed_by_another_click(
    tmp_path: Path, point: str
) -> None:
    async with stage(tmp_path) as s:
        mod = await moderator(s)
        card = await s.drawn(s.ana)
        window = await panel(s, mod, card)
        with dying(point):
            await press(s, mod, window, "Hide", f"⚠️ {moderation.NOT_REDRAWN}")
        if point != "old_files":
            assert not any(s.slack.sight(s.ben, m).open_pictures for m in s.general.posted)
        # The window may be gone with the process; Report leads back from whatever is shown.
        left = next(m for m in s.general.posted)
        await press(s, mod, await panel(s, mod, left), "Hide", "Hidden.")
        assert [picture.collapsed for picture in only(s).pictures] == [True]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("chat.update", error="fatal_error"),
        Fault("chat.postMessage", cut=True, after=True),
        Fault("files.getUploadURLExternal", status=500),
        Fault("chat.delete", error="fatal_error"),
    ],
    ids=lambda one: one.method,
)
async def test_what_slack_does_not_do_is_done_by_the_next_click(
    tmp_path: Path, fault: Fault
) -> None:
    async with stage(tmp_path) as s:
        mod = await moderator(s)
        window = await panel(s, mod, await s.drawn(s.ana))
        s.slack.api.faults.append(fault)
        found = fault.cut  # a post whose answer is lost is looked for at once
        said = "Hidden." if found else f"⚠️ {moderation.NOT_REDRAWN}"
        await press(s, mod, window, "Hide", said)
        await press(s, mod, window, "Hide", "Hidden.")
        assert [picture.collapsed for picture in only(s).pictures] == [True]


async def test_what_was_left_behind_goes_with_a_click_on_what_took_its_place(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as s:
        mod = await moderator(s)
        card = await s.drawn(s.ana)
        s.slack.api.faults.append(Fault("chat.delete", error="fatal_error"))
        window = await panel(s, mod, card)
        await press(s, mod, window, "Hide", f"⚠️ {moderation.NOT_REDRAWN}")
        [left, hidden] = s.general.posted
        assert left is card
        await press(s, mod, await panel(s, mod, hidden), "Hide", "Hidden.")
        assert s.general.posted == [hidden]


async def test_of_an_old_picture_slack_tells_which_files_it_was(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        mod = await moderator(s)
        card = await s.drawn(s.ana)
        await s.bot.surface.forget((await s.newest(s.ana)).id)
        [file] = s.slack.files_of(s.ben, s.general)
        await press(s, mod, await panel(s, mod, card), "Hide", "Hidden.")
        assert (file.state, only(s).open_pictures) == ("deleted", ())


async def test_what_is_not_stored_any_more_is_hidden_all_the_same(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        mod = await moderator(s)
        card = await s.drawn(s.ana)
        result = (await s.newest(s.ana)).result
        assert result is not None
        await s.app.pictures.delete(result.pictures[0].key)
        window = await panel(s, mod, card)
        await press(s, mod, window, "Hide", "Hidden.")
        assert only(s).pictures == ()
        assert "withheld: a moderator hid it" in only(s).text
        await press(s, mod, window, "Show openly", f"⚠️ {wording.PICTURE_GONE}")


async def test_a_private_picture_that_was_shared_is_hidden_where_it_was_shared(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as s:
        mod = await moderator(s)
        await s.slack.slash(s.ana, s.general, "/imagine", "a cat --private")
        card = await s.slack.posted(s.slack.conversation(s.ana), lambda m: "Share" in m.buttons)
        await s.slack.click(s.ana, card, "Share")
        shared = await s.slack.posted(s.general, lambda m: m.buttons)
        await press(s, mod, await panel(s, mod, shared), "Hide", "Hidden.")
        assert [picture.collapsed for picture in only(s).pictures] == [True]
        await s.slack.click(s.ana, card, "Share")
        assert not only(s).open_pictures


async def test_a_message_that_somebody_has_deleted_stays_away(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        mod = await moderator(s)
        card = await s.drawn(s.ana)
        window = await panel(s, mod, card)
        s.slack.delete(s.slack.user("Boss", admin=True), card)
        await press(s, mod, window, "Show openly", CARD_GONE)
        assert s.general.posted == []

        card = await s.drawn(s.ana)
        window = await panel(s, mod, card)
        s.general.archived = True
        await press(s, mod, window, "Hide", "⚠️ This channel is archived.")


async def test_of_two_moderators_at_once_the_message_shows_whose_word_holds(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as s:
        mod = await moderator(s)
        card = await s.drawn(s.ana)
        job = await s.newest(s.ana)
        windows = [await panel(s, mod, card) for _ in range(2)]
        s.slack.api.faults.append(Fault("chat.update", delay=0.2))
        await asyncio.gather(
            *(
                s.slack.click(mod, window, button)
                for window, button in zip(windows, ("Hide", "Show openly"), strict=True)
            )
        )
        for window in windows:
            await window.until(lambda v: "Hidden." in v.text or "Shown openly." in v.text)
        now = await s.app.jobs.get(job.id)
        assert now is not None
        hidden = now.moderated == "flagged"
        assert [picture.collapsed for picture in only(s).pictures] == [hidden]


async def test_deleting_takes_message_files_and_picture_and_is_noted(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        mod, channel, log = await moderator(s), await report_channel(s), await log_channel(s)
        channel.members.add(mod)
        card = await s.drawn(s.ana)
        result = (await s.newest(s.ana)).result
        assert result is not None
        await report(s, card)
        await told(s, s.ben, "Thank you. The moderators have your report.")
        shown = await s.slack.posted(channel, lambda m: m.buttons)
        s.slack.api.faults.append(Fault("chat.delete", error="fatal_error"))
        answer = await s.slack.click(mod, shown, "Delete")
        await answer.until(lambda a: a.text == moderation.NOT_DELETED)
        await s.slack.click(mod, shown, "Delete")
        await shown.until(lambda m: not m.buttons)
        assert s.general.posted == []
        assert all(file.state == "deleted" for file in s.slack.files.values())
        assert not await s.app.pictures.exists(result.pictures[0].key)

        second = await s.drawn(s.ana)
        stranger = await s.slack.click(s.ben, second, "Delete")
        await stranger.until(lambda a: a.text == NOT_YOURS)
        await s.slack.click(mod, second, "Delete")
        line = f"A picture of Ana ({s.ana.id}) was deleted by Mod ({mod.id})."
        await s.slack.until(lambda: str([m.text for m in log.posted]).count(line) == 2)


async def test_a_blocked_member_draws_no_more_and_moderators_cannot_be_blocked(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as s:
        mod, log = await moderator(s), await log_channel(s)
        window = await panel(s, mod, await s.drawn(s.ana))
        block = window.buttons["Block member"]
        assert "They can draw nothing here any more" in str(block["confirm"])
        for _ in range(2):
            await press(s, mod, window, "Block member", "Member blocked.")
        assert "the moderators have blocked you" in await s.said(s.ana, "a cat")
        line = f"Ana ({s.ana.id}) was blocked by Mod ({mod.id})"
        await s.slack.until(lambda: [m.text for m in log.posted] == [line])

        own = await s.drawn(mod)
        other = s.slack.user("Boss", admin=True)
        s.general.members.add(other)
        window = await panel(s, other, own)
        await s.slack.click(other, window, "Block member")
        await told(s, other, wording.NOT_BLOCKED)


async def test_a_dismissed_report_leaves_the_picture_and_forgets_its_own(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        mod, channel = await moderator(s), await report_channel(s)
        channel.members.add(mod)
        card = await s.drawn(s.ana)
        await report(s, card)
        shown = await s.slack.posted(channel, lambda m: m.buttons)
        await s.slack.click(mod, shown, "Dismiss")
        await shown.until(lambda m: not m.buttons)
        await s.slack.until(lambda: not s.slack.files_of(mod, channel))
        assert only(s).open_pictures
        assert only(s).message is card


async def test_what_was_erased_can_still_be_deleted_where_it_is_seen(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        mod = await moderator(s)
        card = await s.drawn(s.ana)
        window = await panel(s, mod, card)
        await s.app.jobs.erase((await s.newest(s.ana)).id)
        await press(s, mod, window, "Hide", moderation.GONE)
        assert card in s.general.posted


def test_an_argument_says_all_about_a_click() -> None:
    aim = moderation.Target(moderation.REPORT, "1700000000.000100", "U0123456789")
    assert moderation.target(str(aim)) == aim
    assert moderation.target("panel-1.2") == moderation.Target(moderation.PANEL, "1.2")
    for strange in ("", "panel", "panel-x", "elsewhere-1.2"):
        assert moderation.target(strange) is None
