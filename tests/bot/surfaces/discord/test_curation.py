"""Sharing presets in a server: shown as cards, approved, drawn with, reported, hidden, ruled."""

import hashlib
import uuid
from dataclasses import replace
from pathlib import Path

from discord.ui import LayoutView

from backends.base import GenerationRequest
from bot.commands.curation import Card, Inbox
from bot.commands.preset_rules import House, NamedInstall, NamedRule
from bot.commands.presets import Details, UsedLora
from bot.communities import Change
from bot.permissions import Requester
from bot.surfaces.discord import preset_card, preset_inbox, preset_rules_panel, preset_use
from lora_registry.curating import Act, Installed, Listing, Policy
from lora_registry.models import (
    ChoiceVariable,
    Example,
    NumberVariable,
    PresetBody,
    PresetLora,
    TextVariable,
    Viewer,
)
from lora_registry.moderation import Report, Waiting
from lora_registry.permissions import PUBLIC, Place, PlaceKind, Publishing, Rule, State
from lora_registry.revisions import Preset, Revision
from lora_registry.store import Standing
from tests.bot.surfaces.discord.stage import Stage, stage
from tests.fakes.discord import Answer, May, User
from tests.lora_registry import world

INK = world.lora("ink")
OWNER = Requester("owner", owner=True)


async def presets_of_ana(s: Stage, name: str = "dreamy", **body: object) -> None:
    viewer = Viewer(str(s.home.id), str(s.ana.id))
    await s.app.registry.presets.create(viewer, name, PresetBody.model_validate(body), handle="ana")


async def moderators(s: Stage) -> User:
    """Ben moderates and manages; Cleo does neither."""
    mods = s.discord.role(s.home, "mods", int(May.MANAGE_GUILD))
    s.discord.join(s.home, s.ben, mods)
    cleo = s.discord.user("Cleo")
    s.discord.join(s.home, cleo)
    return cleo


async def show(s: Stage, user: User, preset: str) -> Answer:
    answer = await s.discord.slash(user, s.general, "preset show", preset=preset)
    await answer.settled()
    assert answer.ephemeral
    return answer


async def test_ana_shares_ben_approves_and_cleo_draws(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        cleo = await moderators(s)
        log = s.discord.text(s.home, "log")
        change = Change({"log_channel": str(log.id)})
        await s.app.communities.change(str(s.home.id), change, base=0, by=OWNER)
        variables = (
            ChoiceVariable(name="ground", choices=("blue", "black"), default="blue"),
            NumberVariable(name="moons", low=0, high=3, default=1, whole=True),
        )
        template = "{prompt} on a {ground} background, {moons} moons"
        await presets_of_ana(s, template=template, variables=variables, title="Soft light")

        card = (await show(s, s.ana, "dreamy")).message
        assert list(card.buttons) == [
            "Draw with it", "Like", "Edit", "Share here", "Share with everybody",
        ]  # fmt: skip
        assert "There is no preset" in (await show(s, cleo, "@ana/dreamy")).text
        await s.discord.click(s.ana, card, "Share here")
        await card.until(lambda m: "waits until a curator approves it" in m.text)
        assert "Share here" not in card.buttons
        assert "Withdraw here" in card.buttons
        assert "There is no preset" in (await show(s, cleo, "@ana/dreamy")).text

        refusal = await s.discord.slash(cleo, s.general, "preset waiting")
        assert refusal.text == "Only a curator of this community decides that."
        waiting = (await s.discord.slash(s.ben, s.general, "preset waiting")).message
        assert "@ana/dreamy" in waiting.text
        look = await s.discord.click(s.ben, waiting, "Look")
        await look.settled()
        assert "{moons} moons" in look.text
        assert list(look.message.buttons) == ["Approve", "Reject"]
        await s.discord.click(s.ben, waiting, "Approve")
        await waiting.until(lambda m: "Nothing waits" in m.text)
        late = await s.discord.click(s.ben, look.message, "Approve")
        assert "Revision 1 of dreamy waits no more" in (await late.follow_up()).text

        card = (await show(s, cleo, "dreamy")).message
        assert "open to everybody in this server" in card.text
        assert list(card.buttons) == ["Draw with it", "Like", "Copy", "Report"]
        form = (await s.discord.click(cleo, card, "Draw with it")).modal
        assert (form.value("Ground"), form.value("Moons")) == (["blue"], "1")
        wrong = await s.discord.submit(form, {"Prompt": "a cat", "Moons": "7"})
        await wrong.settled()
        assert wrong.ephemeral
        assert "moons" in wrong.text
        drawn = await s.discord.submit(form, {"Prompt": "steps=2 a cat", "Ground": "black"})
        await drawn.message.until(lambda m: m.pictures)
        assert not drawn.ephemeral
        job = await s.newest(cleo)
        assert job.request.prompt == "steps=2 a cat on a black background, 1 moons"
        assert job.preset == "@ana/dreamy@1"
        await s.discord.click(cleo, card, "Like")
        assert "1 like" in (again := await show(s, cleo, "dreamy")).text
        assert "Unlike" in again.message.buttons

        lines = "asks to share @ana/dreamy", "approved @ana/dreamy, revision 1"
        await s.discord.changes.until(
            lambda: all(any(line in m.text for m in log.public) for line in lines), 15.0
        )


async def test_reports_are_settled_and_what_is_hidden_is_gone_for_others(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        cleo = await moderators(s)
        await presets_of_ana(s)
        ana = (await show(s, s.ana, "dreamy")).message
        await s.discord.click(s.ana, ana, "Share here")
        await ana.until(lambda m: "waits" in m.text)
        waiting = (await s.discord.slash(s.ben, s.general, "preset waiting")).message
        await s.discord.click(s.ben, waiting, "Approve")
        await waiting.until(lambda m: "Nothing waits" in m.text)

        card = (await show(s, cleo, "dreamy")).message
        form = (await s.discord.click(cleo, card, "Report")).modal
        await s.discord.submit(form, {"Why": "not *mine* <@1>"})
        await card.until(lambda m: "The curators here will look" in m.text)
        waiting = (await s.discord.slash(s.ben, s.general, "preset waiting")).message
        assert "not \\*mine\\* \\<@1\\>" in waiting.text
        await s.discord.click(s.ben, waiting, "Settle")
        await waiting.until(lambda m: "Nothing waits" in m.text)

        theirs = (await show(s, s.ben, "dreamy")).message
        assert list(theirs.buttons) == ["Draw with it", "Like", "Copy", "Hide", "Pin"]
        await s.discord.click(s.ben, theirs, "Pin")
        await theirs.until(lambda m: "Unpin" in m.buttons)
        form = (await s.discord.click(s.ben, theirs, "Hide")).modal
        await s.discord.submit(form, {"Why": "spam"})
        await theirs.until(lambda m: "Show again" in m.buttons)
        assert "There is no preset dreamy" in (await show(s, cleo, "dreamy")).text
        gone = await s.discord.click(cleo, card, "Draw with it")
        assert "There is no preset" in gone.text
        own = await show(s, s.ana, "dreamy")
        assert "hidden by a curator: spam" in own.text
        assert "Withdraw here" not in own.message.buttons
        stale = await s.discord.click(s.ana, ana, "Withdraw here")
        assert "is hidden there by a curator" in (await stale.follow_up()).text
        await s.discord.click(s.ben, theirs, "Show again")
        await theirs.until(lambda m: "Hide" in m.buttons)
        assert "Draw with it" in (await show(s, cleo, "dreamy")).message.buttons

        s.discord.join(s.home, s.ben)  # he moderates no more
        refusal = await s.discord.click(s.ben, theirs, "Hide")
        refusal = await s.discord.submit(refusal.modal, {})
        assert "Only a curator of this community" in (await refusal.follow_up()).text
        assert "Draw with it" in (await show(s, cleo, "dreamy")).message.buttons
        s.discord.join(s.home, s.ben, s.home.roles[-1])

        await s.discord.click(s.ana, ana, "Withdraw here")
        await ana.until(lambda m: "no longer open to everybody in this community" in m.text)
        assert "There is no preset dreamy" in (await show(s, cleo, "dreamy")).text

        await s.discord.click(s.ana, ana, "Share here")
        await ana.until(lambda m: "waits until" in m.text)
        waiting = (await s.discord.slash(s.ben, s.general, "preset waiting")).message
        form = (await s.discord.click(s.ben, waiting, "Reject")).modal
        await s.discord.submit(form, {"Why": "too plain"})
        await waiting.until(lambda m: "Nothing waits" in m.text)
        assert "a curator has said no: too plain" in (await show(s, s.ana, "dreamy")).text


async def test_rules_of_a_server_hold_at_once(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        cleo = await moderators(s)
        await s.app.registry.loras.put(INK, by="owner")
        lora = PresetLora(sha256=INK.sha256, name=INK.name)
        await presets_of_ana(s, loras=(lora,), tags=("calm",))

        refusal = await s.discord.slash(cleo, s.general, "preset rules")
        assert refusal.text == "Only a manager of this community decides that."
        panel = (await s.discord.slash(s.ben, s.general, "preset rules")).message
        assert "Everybody publishes once a curator approves. NSFW up to level 4" in panel.text
        await s.discord.select(s.ben, panel, "Who may publish", ["Everybody publishes at once"])
        await panel.until(lambda m: "Everybody publishes at once. NSFW" in m.text)
        await s.discord.select(s.ben, panel, "The highest NSFW level", ["1"])
        await panel.until(lambda m: "up to level 1, suggestive" in m.text)

        ana = (await show(s, s.ana, "dreamy")).message
        await s.discord.click(s.ana, ana, "Share here")
        await ana.until(lambda m: "is now open to everybody in this community" in m.text)
        card = (await show(s, cleo, "dreamy")).message
        form = (await s.discord.click(cleo, card, "Draw with it")).modal

        rule = (await s.discord.click(s.ben, panel, "Add a rule")).modal
        wrong = await s.discord.submit(
            rule,
            {"What to do": "deny", "What it is about": "lora", "Which": "inc", "Why": ""},
        )
        assert "Did you mean ink?" in (await wrong.follow_up()).text
        await s.discord.submit(
            rule,
            {"What to do": "deny", "What it is about": "lora", "Which": "ink", "Why": "stolen"},
        )
        await panel.until(lambda m: "deny the LoRA ink: stolen" in m.text)

        drawn = await s.discord.submit(form, {"Prompt": "a cat"})
        await drawn.settled()
        assert drawn.ephemeral
        why = f"A LoRA of it ({INK.sha256[:12]}…) is denied in this community: stolen."
        assert why in drawn.text
        assert why in (await show(s, cleo, "dreamy")).text
        own = await show(s, s.ana, "dreamy")
        assert why in own.text
        assert "Draw with it" not in own.message.buttons

        await s.discord.select(s.ben, panel, "Take a rule back", ["deny the LoRA ink"])
        await panel.until(lambda m: "No longer denied: the LoRA ink" in m.text)
        assert "Draw with it" in (await show(s, cleo, "dreamy")).message.buttons

        install = (await s.discord.click(s.ben, panel, "Install")).modal
        await s.discord.submit(install, {"Which": "@ana"})
        await panel.until(lambda m: "Installed: everything of @ana" in m.text)
        await s.discord.select(s.ben, panel, "Install no longer", ["everything of @ana"])
        await panel.until(lambda m: "No longer installed: everything of @ana" in m.text)


async def test_a_preset_is_renamed_and_its_old_name_still_works(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await presets_of_ana(s)
        await presets_of_ana(s, "taken")
        rename = "preset rename"
        refusal = await s.discord.slash(s.ana, s.general, rename, preset="dreamy", name="taken")
        assert "choose another name" in refusal.text
        done = await s.discord.slash(s.ana, s.general, rename, preset="dreamy", name="misty")
        assert "@ana/dreamy is now @ana/misty" in done.text
        assert "@ana/misty" in (await show(s, s.ana, "dreamy")).text
        others = await s.discord.slash(
            s.ben, s.general, rename, preset="@ana/misty", name="mine-now"
        )
        assert "There is no preset" in others.text


async def test_many_blanks_share_a_field_and_examples_are_shown(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await s.drawn(s.ana, "steps=2 a dog")
        result = (await s.newest(s.ana)).result
        assert result is not None
        data = await s.app.pictures.get(result.pictures[0].key)
        names = ("alpha", "beta", "gamma", "delta", "epsilon")
        await presets_of_ana(
            s,
            template="{prompt} " + " ".join(f"{{{name}}}" for name in names),
            variables=tuple(TextVariable(name=name, default=name[0]) for name in names),
            examples=(Example(picture=hashlib.sha256(data).hexdigest(), caption="A dog"),),
        )
        card = (await show(s, s.ana, "dreamy")).message
        [picture] = card.pictures
        assert (picture.alt, picture.spoiler) == ("A dog", False)
        form = (await s.discord.click(s.ana, card, "Draw with it")).modal
        assert list(form.fields) == ["Prompt", "Alpha", "Beta", "Gamma", "More blanks"]
        drawn = await s.discord.submit(
            form, {"Prompt": "steps=2 a cat", "Beta": "B", "More blanks": "epsilon=E"}
        )
        await drawn.message.until(lambda m: m.pictures)
        request: GenerationRequest = (await s.newest(s.ana)).request
        assert request.prompt == "steps=2 a cat a B g d E"


# --- How much a message takes -----------------------------------------------------------------

LONG = "*" * 4000
WORDS = "_" * 250
AT = Place.community("1")


def sizes(view: LayoutView) -> tuple[int, int]:
    """Characters and components of a message."""
    return view.content_length(), view.total_children_count


def longest_card() -> Card:
    loras = tuple(
        PresetLora(sha256=f"{number:064x}", name=f"{'l' * 37}{number:02d}") for number in range(16)
    )
    names = tuple(f"{'v' * 29}{letter}" for letter in "abcdefghij")
    body = PresetBody(
        title="*" * 120,
        description=LONG,
        loras=loras,
        template="{prompt}" + "*" * 2000 + "".join(f"{{{name}}}" for name in names),
        variables=tuple(TextVariable(name=name, default="*" * 100) for name in names),
        tags=tuple(f"{'t' * 38}{number:x}" for number in range(16)),
        licence="*" * 120,
    )
    preset = Preset(1, str(uuid.uuid4()), "1", "h" * 39, "n" * 39, 9999, None, None, 9, 9, 0.0)
    revision = Revision(preset, 9999, "a" * 64, body, "1", "", 0.0)
    used = tuple(UsedLora(lora, ("*" * 80,) * 5, known=False) for lora in loras)
    place = PlaceKind.COMMUNITY
    name = revision.reference
    details = Details(name, revision, place, 4, used, name, place, (name,) * 20)
    standing = Standing(AT, State.APPROVED, 9999, 9999, WORDS, pinned=True)
    listings = tuple(
        Listing(one, replace(standing, place=one), frozenset(Act)) for one in (AT, PUBLIC)
    )
    return Card(details, own=True, obstacle=WORDS, listings=listings)


def test_the_longest_card_list_and_panel_fit_into_a_message() -> None:
    card = longest_card()
    preset = card.details.revision.preset
    waiting = Waiting(preset.id, preset.reference, 9999, AT, card.details.revision.body)
    report = Report(1, preset.id, preset.reference, 9999, AT, "1" * 19, WORDS, 0.0)
    rule = NamedRule(Rule("deny", "lora", "a" * 64, AT, WORDS), f"the LoRA {'l' * 39}")
    chosen = NamedInstall(Installed("preset", preset.id), f"the preset {preset.reference}")
    rules = tuple(replace(rule, rule=replace(rule.rule, value=f"{n:064x}")) for n in range(500))
    installed = tuple(
        replace(chosen, installed=Installed("preset", f"{n:036}")) for n in range(200)
    )
    house = House(AT, Policy(Publishing.REVIEWED, 4), 1, rules, rules, installed)
    reports = tuple(replace(report, number=number) for number in range(200))
    many = tuple(replace(waiting, preset=f"{number:036}") for number in range(200))
    for view in (
        preset_card.view(card, said=WORDS),
        preset_inbox.listed(Inbox(AT, many, reports)),
        preset_inbox.listed(Inbox(AT, many, ())),
        preset_inbox.listed(Inbox(AT, (), reports)),
        preset_rules_panel.panel(house, page=3, said=WORDS),
    ):
        characters, components = sizes(view)
        assert characters <= 4000
        assert components <= 40
    labels = [
        getattr(one, "label", "") for one in preset_rules_panel.panel(house, 3).walk_children()
    ]
    assert labels[-2:] == ["Earlier rules", "Later rules"]
    form = preset_use.form(card.details.revision)
    assert len(form.children) == 5


def test_the_owner_reads_why_a_later_revision_was_refused() -> None:
    card = longest_card()
    standing = Standing(AT, State.APPROVED, 1, None, "too dark")
    here = replace(card, listings=(Listing(AT, standing, frozenset()),))
    texts = [getattr(one, "content", "") for one in preset_card.view(here).walk_children()]
    said = "-# In this server: revision 1 is shown, a curator has said no to a later one: too dark"
    assert said in "\n".join(texts)
