"""Sharing presets in a workspace: approved, drawn with, reported, hidden, pinned, ruled."""

import functools
import uuid
from dataclasses import replace
from pathlib import Path

from bot.commands.curation import Card, Inbox
from bot.commands.preset_rules import House, NamedInstall, NamedRule
from bot.commands.presets import Details, UsedLora
from bot.communities import Change
from bot.permissions import Requester
from bot.surfaces.slack import (
    clicks,
    curation,
    imagine,
    preset_card,
    preset_changes,
    preset_history,
    preset_inbox,
    preset_rules,
    preset_rules_panel,
    preset_use,
    presets,
    saving,
)
from bot.surfaces.slack.answers import Shown
from lora_registry.curating import Act, Installed, Listing, Policy
from lora_registry.models import PresetBody, PresetLora, TextVariable
from lora_registry.moderation import Report, Waiting
from lora_registry.permissions import PUBLIC, Place, PlaceKind, Publishing, Rule, State
from lora_registry.revisions import Preset, Revision
from lora_registry.store import Standing
from tests.bot.surfaces.slack.stage import Stage, stage
from tests.bot.surfaces.slack.test_presets import asked, heard, own, sent, told
from tests.fakes.slack import Message, Seen, User, rules


async def people(s: Stage) -> tuple[User, User]:
    """Mia is an admin of the workspace, Cleo is not."""
    mia, cleo = s.slack.user("Mia", admin=True), s.slack.user("Cleo")
    s.general.members |= {mia, cleo}
    return mia, cleo


async def card(s: Stage, user: User, preset: str) -> Message:
    return (await asked(s, user, f"show {preset}")).private[-1]


def holds(line: str, message: Message) -> bool:
    return line in str(message.blocks)


def sight(s: Stage, user: User, message: Message) -> Seen:
    return s.slack.sight(user, message)


async def test_ana_shares_an_admin_approves_and_cleo_draws(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        mia, cleo = await people(s)
        log = s.slack.channel("log", s.ana)
        by, change = Requester("owner", owner=True), Change({"log_channel": log.id})
        await s.app.communities.change(s.slack.team.id, change, base=0, by=by)
        await own(s, s.ana, "dreamy", template="{prompt} on blue", title="Soft light")
        own_card = await card(s, s.ana, "dreamy")
        assert list(own_card.buttons) == [
            "Draw with it", "Like", "Edit", "Share here", "Share with everybody",
        ]  # fmt: skip
        assert "There is no preset" in (await asked(s, cleo, "show @ana/dreamy")).text
        await s.slack.click(s.ana, own_card, "Share here")
        await own_card.until(lambda m: "waits until a curator approves it" in str(m.blocks))
        assert "Share here" not in own_card.buttons
        assert "Withdraw here" in own_card.buttons

        refusal = await asked(s, cleo, "waiting")
        assert refusal.text == "Only a curator of this community decides that."
        [waiting] = (await asked(s, mia, "waiting")).private
        assert "@ana/dreamy" in sight(s, mia, waiting).text
        look = await told(await s.slack.click(mia, waiting, "Look"))
        assert "{prompt} on blue" in look.text
        decision = look.private[-1]
        assert list(decision.buttons) == ["Approve", "Reject"]
        await s.slack.click(mia, waiting, "Approve")
        await waiting.until(lambda m: "Nothing waits" in str(m.blocks))
        late = await told(await s.slack.click(mia, decision, "Approve"))
        assert "Revision 1 of dreamy waits no more" in late.text

        shared = await card(s, cleo, "dreamy")
        assert "open to everybody in this workspace" in sight(s, cleo, shared).text
        assert list(shared.buttons) == ["Draw with it", "Like", "Copy", "Report"]
        form = (await s.slack.click(cleo, shared, "Draw with it")).modal
        await s.slack.submit(cleo, form, {"Prompt": "a cat"})
        await s.slack.posted(s.general, lambda m: "Again" in m.buttons)
        assert (await s.newest(cleo)).request.prompt == "a cat on blue"
        await s.slack.click(s.ana, own_card, "Withdraw here")
        await own_card.until(lambda m: "is no longer open" in str(m.blocks))
        stale = await told(await s.slack.click(cleo, shared, "Draw with it"))
        assert "There is no preset @ana/dreamy@1 here" in stale.text
        assert not stale.has_modal

        for line in (
            "ana asks to share @ana/dreamy, revision 1; it waits for approval (`/preset waiting`)",
            "mia approved @ana/dreamy, revision 1",
            "ana withdrew @ana/dreamy",
        ):
            await s.slack.posted(log, functools.partial(holds, line))


async def test_reports_are_settled_and_presets_rejected_hidden_shown_and_pinned(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as s:
        mia, cleo = await people(s)
        here, by = s.slack.team.id, Requester("owner", owner=True)
        change = Change({"moderators": [s.ben.id]})
        await s.app.communities.change(here, change, base=0, by=by)
        await own(s, s.ana, "dreamy")
        await s.slack.click(s.ana, await card(s, s.ana, "dreamy"), "Share here")
        [waiting] = (await asked(s, mia, "waiting")).private
        form = (await s.slack.click(mia, waiting, "Reject")).modal
        inbox = await sent(s, mia, form, {"Why": "Too *bright*"})
        assert "@ana/dreamy is rejected." in inbox.text
        assert "Nothing waits" in inbox.text
        own_card = await card(s, s.ana, "dreamy")
        assert "a curator has said no: Too" in sight(s, s.ana, own_card).text
        await s.slack.click(s.ana, own_card, "Share here")
        await s.slack.click(mia, await card(s, mia, "@ana/dreamy"), "Approve")

        form = (await s.slack.click(cleo, await card(s, cleo, "dreamy"), "Report")).modal
        thanks = await sent(s, cleo, form, {"Why": "It draws <me>"})
        assert "The curators here will look at @ana/dreamy." in thanks.text
        [inbox_message] = (await asked(s, mia, "waiting")).private
        assert "It draws &lt;me&gt;" in sight(s, mia, inbox_message).text
        await s.slack.click(mia, inbox_message, "Settle")
        await inbox_message.until(lambda m: "Nothing waits" in str(m.blocks))

        shown = await card(s, mia, "dreamy")
        await s.slack.click(mia, shown, "Pin")
        await shown.until(lambda m: "comes first now" in str(m.blocks))
        assert "📌 *dreamy*" in (await asked(s, cleo, "list")).text
        form = (await s.slack.click(mia, shown, "Hide")).modal
        hidden = await sent(s, mia, form, {"Why": "For now"})
        assert "is hidden; only its owner can still draw with it." in hidden.text
        assert "There is no preset" in (await asked(s, cleo, "show dreamy")).text
        await s.slack.click(mia, hidden.message, "Show again")
        await hidden.message.until(lambda m: "is shown again" in str(m.blocks))
        assert "revision 1" in (await asked(s, cleo, "show dreamy")).text

        moderated = await card(s, s.ben, "dreamy")
        form = (await s.slack.click(s.ben, moderated, "Hide")).modal
        change = Change({"moderators": []})
        await s.app.communities.change(here, change, base=1, by=by)
        refused = await s.slack.submit(s.ben, form, {"Why": "spam"})
        assert refused.errors == {"reason": "Only a curator of this community decides that."}
        late = await told(await s.slack.click(s.ben, moderated, "Unpin"))
        assert late.text.endswith("Only a curator of this community decides that.")


async def test_admins_rule_what_is_published_and_drawn_with(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        mia, cleo = await people(s)
        refused = await asked(s, cleo, "rules")
        assert refused.text == "Only a manager of this community decides that."
        [panel] = (await asked(s, mia, "rules")).private
        assert "Everybody publishes once a curator approves" in sight(s, mia, panel).text
        await s.slack.select(mia, panel, "Who may publish", "Everybody publishes at once")
        await panel.until(lambda m: "Now: everybody publishes at once" in str(m.blocks))
        await s.slack.select(mia, panel, "The highest NSFW level", "1")
        await panel.until(lambda m: "NSFW up to level 1, suggestive" in str(m.blocks))
        await own(s, s.ana, "dreamy", tags=["soft"])
        await s.slack.click(s.ana, await card(s, s.ana, "dreamy"), "Share here")
        await s.slack.until(
            lambda: "is now open" in str(s.slack.seen_by(s.ana, s.general)[-1].text)
        )

        form = (await s.slack.click(mia, panel, "Add a rule")).modal
        values = {"What to do": "Deny it", "What it is about": "Every preset with a tag"}
        nothing = await s.slack.submit(
            mia, form, values | {"What it is about": "A preset", "Which": "nothing"}
        )
        assert "There is no preset nothing here" in str(nothing.errors)
        answer = await s.slack.submit(mia, form, values | {"Which": "soft", "Why": "Not here"})
        ruled = await heard(s, mia, answer)
        assert "Denied now: the tag soft." in ruled.text
        assert "deny the tag soft: Not here" in ruled.text
        assert "Not here" in (await asked(s, cleo, "show dreamy")).text
        menu = "Take a rule back"
        await s.slack.select(mia, ruled.message, menu, "deny the tag soft")
        await ruled.message.until(lambda m: "No longer denied: the tag soft." in str(m.blocks))
        assert "Soft" not in (await asked(s, cleo, "show dreamy")).text

        form = (await s.slack.click(mia, panel, "Install")).modal
        installed = await sent(s, mia, form, {"Which": "@atelier/lantern"})
        assert "Installed: the preset @atelier/lantern" in installed.text
        menu, chosen = "Install no longer", "the preset @atelier/lantern"
        await s.slack.select(mia, installed.message, menu, chosen)
        await installed.message.until(lambda m: "No longer installed: " in str(m.blocks))


# --- How much a message takes -----------------------------------------------------------------

WORDS = "_" * 250
AT = Place.community("1")


def longest_card() -> Card:
    loras = tuple(
        PresetLora(sha256=f"{number:064x}", name=f"{'l' * 37}{number:02d}") for number in range(16)
    )
    names = tuple(f"{'v' * 29}{letter}" for letter in "abcdefghij")
    body = PresetBody(
        title="*" * 120,
        description="&" * 4000,
        loras=loras,
        template="{prompt}" + "*" * 2000 + "".join(f"{{{name}}}" for name in names),
        variables=tuple(TextVariable(name=name, default="&" * 100) for name in names),
        tags=tuple(f"{'t' * 38}{number:x}" for number in range(16)),
        licence="*" * 120,
    )
    preset = Preset(1, str(uuid.uuid4()), "1", "h" * 39, "n" * 39, 9999, None, None, 9, 9, 0.0)
    revision = Revision(preset, 9999, "a" * 64, body, "1", "", 0.0)
    used = tuple(UsedLora(lora, ("*" * 80,) * 5, known=False) for lora in loras)
    place, name = PlaceKind.COMMUNITY, revision.reference
    details = Details(name, revision, place, 4, used, name, place, (name,) * 20)
    standing = Standing(AT, State.APPROVED, 9999, 9999, WORDS, pinned=True)
    listings = tuple(
        Listing(one, replace(standing, place=one), frozenset(Act)) for one in (AT, PUBLIC)
    )
    return Card(details, own=True, obstacle=WORDS, listings=listings)


def fits(shown: Shown) -> None:
    assert not rules.of_blocks(shown.blocks)
    assert len(shown.text) <= 4000


def test_the_longest_card_list_and_panel_fit_into_a_message() -> None:
    card = longest_card()
    preset = card.details.revision.preset
    waiting = Waiting(preset.id, preset.reference, 9999, AT, card.details.revision.body)
    report = Report(1, preset.id, preset.reference, 9999, AT, "U" * 11, WORDS, 0.0)
    rule = NamedRule(Rule("deny", "lora", "a" * 64, AT, WORDS), f"the LoRA {'l' * 39}")
    denied = tuple(replace(rule, rule=replace(rule.rule, value=f"{n:064x}")) for n in range(500))
    chosen = tuple(
        NamedInstall(Installed("preset", f"{n:036}"), f"the preset {preset.reference}")
        for n in range(200)
    )
    house = House(AT, Policy(Publishing.REVIEWED, 4), 1, denied, denied, chosen)
    reports = tuple(replace(report, number=number) for number in range(200))
    many = tuple(replace(waiting, preset=f"{number:036}") for number in range(200))
    fits(preset_card.view(card, said=WORDS))
    fits(preset_inbox.listed(Inbox(AT, many, reports), said=WORDS))
    fits(preset_inbox.listed(Inbox(AT, many, ())))
    fits(preset_inbox.listed(Inbox(AT, (), reports)))
    panel = preset_rules_panel.panel(house, page=3, said=WORDS)
    fits(panel)
    assert [one["text"]["text"] for one in panel.blocks[-1]["elements"]] == [
        "Add a rule", "Install", "Earlier rules", "Later rules",
    ]  # fmt: skip
    form = preset_use.form(card.details.revision, {"channel": "C" * 11, "thread": "1" * 17})
    assert not rules.of_view(form.to_dict())


def test_no_two_tables_answer_one_verb() -> None:
    tables = (clicks, imagine, presets, saving)
    verbs = [verb for table in tables for verb in table.HANDLERS]
    assert len(set(verbs)) == len(verbs)
    parts = (preset_card, preset_changes, preset_history, curation, preset_rules)
    assert len(presets.HANDLERS) == 1 + sum(len(part.HANDLERS) for part in parts)
