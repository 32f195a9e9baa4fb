"""`/settings`: what managers of a server see and change, click by click."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bot.commands.settings import Entry, Overview
from bot.commands.settings_fields import FOR_ROLES, PAGES, SETTINGS, Kind
from bot.communities import INSTANCE, Change, CommunitySettings, SettingsDamaged, effective
from bot.permissions import Requester
from bot.policy import FlaggedRule
from bot.surfaces.discord.settings_forms import value_form, words_form
from bot.surfaces.discord.settings_ids import HISTORY, LIST, ROLE, Spot, read
from bot.surfaces.discord.settings_lists import PER_PAGE, draw
from bot.surfaces.discord.settings_panel import Scene
from bot.surfaces.ids import read as read_id
from tests.bot.surfaces.discord.stage import Stage, running, stage
from tests.fakes.discord import Answer, FakeDiscord, May, Message, Modal, Refused, User, rules
from tests.fakes.discord.state import Channel

OWNER = Requester("owner", owner=True)


@dataclass
class Panel:
    """An open panel in somebody's hands. Parts are named by a piece of their custom id."""

    discord: FakeDiscord
    who: User
    message: Message

    @classmethod
    async def opened(cls, discord: FakeDiscord, who: User, channel: Channel) -> "Panel":
        answer = await discord.slash(who, channel, "settings")
        return cls(discord, who, await answer.settled())

    @property
    def text(self) -> str:
        return self.message.text

    @property
    def said(self) -> str:
        """The last line: what has just happened."""
        return self.text.splitlines()[-1]

    def part(self, piece: str) -> Any:
        return next(p for p in self.message.parts() if piece in p.get("custom_id", ""))

    def has(self, piece: str) -> bool:
        return any(piece in p.get("custom_id", "") for p in self.message.parts())

    async def press(self, piece: str) -> Answer:
        return await self.discord.click(self.who, self.message, self.part(piece)["custom_id"])

    async def pick(self, piece: str, *values: Any) -> Answer:
        menu = self.part(piece)["custom_id"]
        return await self.discord.select(self.who, self.message, menu, list(values))

    async def go(self, page: str) -> None:
        await self.pick(":go:", page)

    async def form(self, piece: str) -> Modal:
        return (await self.press(piece)).modal

    async def type(self, piece: str, text: str) -> Answer:
        form = await self.form(piece)
        return await self.discord.submit(form, {"value": text})


async def settings(s: Stage) -> CommunitySettings:
    return (await s.app.communities.effective(str(s.home.id))).settings


async def test_every_setting_is_changed_in_the_panel_that_shows_it(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        boss = s.discord.owner
        panel = await Panel.opened(s.discord, boss, s.general)
        assert panel.message.ephemeral
        assert "Flagged pictures**: behind a spoiler, everywhere *(default)*" in panel.text
        assert "Discord wants adult media in age-restricted channels only" in panel.text
        rules_offered = [o["value"] for o in panel.part(":chosen:flagged")["options"]]
        assert rules_offered == ["spoiler", "spoiler_age_restricted", "withhold"]

        await panel.pick(":chosen:flagged", "withhold")
        assert panel.said.startswith("✅ Saved. Flagged pictures: withheld everywhere")
        assert "*(set here)*" in panel.text

        form = await panel.form(":ask:paused")
        await s.discord.submit(form, {"Reason": "We *move* house"})
        assert (await settings(s)).paused is not None
        assert "Pause**: on, “We \\*move\\* house” *(set here)*" in panel.text
        refused = await s.discord.slash(s.ana, s.general, "imagine", prompt="a cat")
        assert "Generating is paused here. We" in (await refused.settled()).text
        await panel.press(":resume:")
        assert (await settings(s)).paused is None

        await panel.go("pictures")
        await panel.pick(":chosen:models", "flux-1")
        form = await panel.form(":ask:max_megapixels")
        assert form.value("Largest size") == "4.2"
        await panel.type(":ask:max_steps", "30")
        assert "Most steps**: 30 steps *(set here)*" in panel.text

        await panel.go("people")
        await panel.type(":ask:requester_per_day", "12")
        await panel.go("community")
        await panel.type(":ask:daily_budget", "$20")
        assert not panel.has(":ask:community_weight")

        await panel.go("defaults")
        await panel.type(":ask:size", "square_hd")
        assert "Size**: 1024x1024" in panel.text
        before = await settings(s)
        await panel.pick(":chosen:model", "flux-2")
        assert panel.said.startswith("⚠️ Nothing was saved. model is flux-2, which not everyone")
        await panel.type(":ask:preset", "nobody-has-it")
        assert "A default must be a preset that everybody here may use" in panel.said
        assert await settings(s) == before

        now = await settings(s)
        assert now.flagged is FlaggedRule.WITHHOLD
        assert now.models == {"flux-1"}
        assert (now.max_steps, now.requester_per_day, now.daily_budget) == (30, 12, 20)

        await panel.go("pictures")
        assert [o["label"] for o in panel.part(":clear:")["options"]] == ["Models", "Most steps"]
        await panel.pick(":clear:", "Models", "Most steps")
        assert "Most steps: no limit (default)" in panel.said
        assert not panel.has(":clear:")
        assert (await settings(s)).models == {"flux-1", "flux-2"}

        await panel.go(HISTORY)
        assert f"<@{boss.id}>: Most steps, Models" in panel.text
        assert f"<@{boss.id}>: Daily budget" in panel.text


async def test_lists_are_added_to_taken_from_and_paged(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        panel = await Panel.opened(s.discord, s.discord.owner, s.general)
        await panel.press("list-blocked_words:show")
        form = await panel.form(":ask_more:")
        await s.discord.submit(
            form, {"Words and phrases": "\n".join(f"word {n:02}" for n in range(60))}
        )
        assert "Blocked words**: 60" in panel.text
        seen = set()
        for _ in range(3):
            seen |= {one["label"].split(". ")[1] for one in panel.part(":less:")["options"]}
            following = next(p for p in panel.message.parts() if p.get("label") == "Next")
            if not following.get("disabled"):
                await panel.press(following["custom_id"])
        assert seen == {f"word {n:02}" for n in range(60)}

        await panel.pick(":less:", "51. word 50", "60. word 59")
        assert panel.said == "✅ Saved. Blocked words: 58 entries (set here)."
        await panel.type(":ask_less:", "word 51, WORD 52")
        assert "51. word 54" not in panel.text
        words = (await settings(s)).blocked_words
        assert words == {f"word {n:02}" for n in range(60)} - {
            "word 50",
            "word 51",
            "word 52",
            "word 59",
        }
        await panel.type(":ask_less:", "nobody")
        assert panel.said == "⚠️ Nothing was saved. None of these is among the blocked words."

        await panel.press("settings:moderation:show")
        await panel.press("list-moderators:show")
        await panel.pick(":more:", s.ana, s.ben)
        assert (await settings(s)).moderators == {str(s.ana.id), str(s.ben.id)}
        assert f"1. <@{s.ana.id}>" in panel.text
        await panel.pick(":less:", "0")
        assert (await settings(s)).moderators == {str(s.ben.id)}

        role = s.discord.role(s.home, "Curators")
        await panel.press("settings:moderation:show")
        await panel.press("list-moderator_roles:show")
        await panel.pick(":more:", role)
        assert [o["label"] for o in panel.part(":less:")["options"]] == ["1. Curators"]


async def test_roles_get_limits_of_their_own(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        role = s.discord.role(s.home, "Patrons")
        panel = await Panel.opened(s.discord, s.discord.owner, s.general)
        await panel.go("roles")
        await panel.pick(":role:", s.home.everyone)
        assert panel.said.startswith("⚠️ Nothing was saved. @everyone is no role of its own.")
        await panel.pick(":role:", role)
        assert panel.text.count("*(as for everybody)*") == len(FOR_ROLES)
        await panel.type(":ask:max_steps", "77")
        assert panel.said == (
            f"⚠️ Nothing was saved. “Most steps” of <@&{role.id}> cannot take “77”; use 1 to 50 "
            "steps, or none for no limit."
        )
        await panel.type(":ask:max_steps", "40")
        assert panel.said == f"✅ Saved. Most steps of <@&{role.id}>: 40 steps (set for this role)."
        await panel.pick(":chosen:models", "flux-2")
        await panel.press(":roles:show")
        assert f"1. <@&{role.id}>: models: flux-2; most steps: 40 steps" in panel.text
        await panel.pick(":listed_role:", "1. Patrons")
        await panel.pick(":clear:", "Most steps")
        assert (await settings(s)).roles[str(role.id)].model_fields_set == {"models"}
        await panel.press(":drop_role:")
        assert (await settings(s)).roles == {}
        assert "Roles with limits of their own**: 0" in panel.text


async def test_a_channel_in_which_the_bot_may_not_write_is_told_at_once(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        secret = s.discord.text(s.home, "secret")
        s.discord.allow(secret, s.home.everyone, deny=int(May.SEND_MESSAGES | May.VIEW_CHANNEL))
        panel = await Panel.opened(s.discord, s.discord.owner, s.general)
        await panel.go("channels")
        await panel.pick(":chosen:log_channel", s.general)
        await s.discord.until(lambda: s.general.public)
        assert s.general.public[0].text == f"<@{panel.who.id}> has changed settings: Log."
        assert "I lack permissions there" not in panel.text
        await panel.pick(":chosen:report_channel", secret)
        assert (await settings(s)).report_channel == str(secret.id)
        assert "Give me “View Channel”, “Send Messages” and “Attach Files” in" in panel.text
        s.discord.allow(secret, s.home.everyone, deny=int(May.ATTACH_FILES))
        await panel.go("channels")
        assert (
            f"⚠️ I lack permissions there. Give me “Attach Files” in the settings of <#{secret.id}>"
            in (panel.text)
        )
        s.discord.delete_channel(secret)
        panel = await Panel.opened(s.discord, s.discord.owner, s.general)
        await panel.go("channels")
        assert "There is no such channel here any more" in panel.text


async def test_somebody_elses_change_is_not_overwritten(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        s.discord.join(s.home, s.ana, s.discord.role(s.home, "admins", int(May.MANAGE_GUILD)))
        first = await Panel.opened(s.discord, s.discord.owner, s.general)
        second = await Panel.opened(s.discord, s.ana, s.general)
        await first.pick(":chosen:flagged", "withhold")
        await second.pick(":chosen:flagged", "spoiler_age_restricted")
        assert second.said.startswith(
            f"⚠️ Nothing was saved: <@{s.discord.owner.id}> has changed Flagged pictures"
        )
        assert "withheld everywhere" in second.text
        await second.pick(":chosen:flagged", "spoiler_age_restricted")
        assert (await settings(s)).flagged is FlaggedRule.SPOILER_AGE_RESTRICTED


async def test_rights_are_asked_anew_for_every_click_and_form(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        with pytest.raises(Refused, match="lacks the permissions"):
            await s.discord.slash(s.ben, s.general, "settings")
        role = s.discord.role(s.home, "admins", int(May.MANAGE_GUILD))
        s.discord.join(s.home, s.ana, role)
        panel = await Panel.opened(s.discord, s.ana, s.general)
        form = await panel.form(":ask:paused")
        s.discord.join(s.home, s.ana)
        for answer in (
            await panel.press("list-blocked_words:show"),
            await panel.press(":ask:paused"),
            await s.discord.submit(form, {"Reason": "mine"}),
            await panel.pick(":chosen:flagged", "withhold"),
        ):
            said = await answer.settled()
            assert said.ephemeral
            assert said.text == "Only who manages this community changes its settings."
        assert await s.app.communities.history(str(s.home.id)) == ()
        # Admins can show the command to whom they like; Discord then no longer asks for more.
        for command in s.discord.commands.everywhere:
            if command["name"] == "settings":
                assert (command["default_member_permissions"], command["contexts"]) == ("32", [0])
                assert command["integration_types"] == [0]
                command["default_member_permissions"] = None
        shown = await s.discord.slash(s.ben, s.general, "settings")
        assert "Only who manages this community" in (await shown.settled()).text


async def test_what_the_owner_has_set_is_named_and_not_loosened(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        change = Change({"daily_budget": 10, "blocked_words": ["secret"], "flagged": "private"})
        await s.app.communities.change(INSTANCE, change, base=0, by=OWNER)
        panel = await Panel.opened(s.discord, s.discord.owner, s.general)
        assert "behind a spoiler for who asked alone" in panel.text
        await panel.press("list-blocked_words:show")
        assert "Blocked words**: 0 *(and 1 by the owner of this Atelier)*" in panel.text
        assert "secret" not in panel.text
        await panel.go("community")
        await panel.type(":ask:daily_budget", "50")
        assert panel.said == (
            "✅ Saved. Daily budget: $10 a day (set by the owner of this Atelier, and not to be "
            "loosened; here it is set to $50 a day)."
        )


async def test_damaged_settings_name_the_way_out(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        panel = await Panel.opened(s.discord, s.discord.owner, s.general)
        async with s.app.database.write() as connection:
            row = (str(s.home.id), 4, '{"flagged": "no"}')
            await connection.execute("INSERT INTO community_settings VALUES (?, ?, ?)", row)
        with pytest.raises(SettingsDamaged):
            await s.app.communities.effective(str(s.home.id))
        await panel.go("roles")
        again = await s.discord.slash(s.discord.owner, s.general, "settings")
        for text in (panel.text, (await again.settled()).text):
            assert f"atelier settings reset --community {s.home.id}" in text
            assert "flagged holds what it does not take" in text


async def test_an_open_panel_and_an_open_form_outlive_the_process(tmp_path: Path) -> None:
    async with FakeDiscord() as discord:
        home = discord.guild()
        async with running(discord, tmp_path):
            panel = await Panel.opened(discord, discord.owner, home.channel("general"))
            await panel.go("pictures")
            form = await panel.form(":ask:max_steps")
        async with running(discord, tmp_path) as (app, *_):
            await discord.submit(form, {"Most steps": "12"})
            assert panel.said == "✅ Saved. Most steps: 12 steps (set here)."
            await panel.pick(":clear:", "Most steps")
            assert (await app.communities.load(str(home.id))).version == 2


async def test_a_click_is_answered_in_time_however_long_it_takes(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        panel = await Panel.opened(s.discord, s.discord.owner, s.general)
        async with s.app.database.write():
            answer = await panel.pick(":chosen:flagged", "withhold")
            assert not answer.failed
            assert "Saved" not in panel.text
        await panel.message.until(lambda m: "✅ Saved. Flagged pictures" in m.text)


# --- Whatever is in them ----------------------------------------------------------------------


@functools.cache
def crowded() -> Overview:
    """A community that has set everything to as much as there can be."""
    ids = [str(10**18 + n) for n in range(10_000)]
    limits = {
        "models": ["flux-1"],
        "max_megapixels": 199.5,
        "max_steps": 50,
        "max_images": 4,
        "requester_queued": 999_999,
        "requester_running": 999_999,
        "requester_per_day": 999_999,
        "requester_weight": 9.5,
    }
    own = CommunitySettings.model_validate(
        {
            **limits,
            "roles": dict.fromkeys(ids[:100], limits),
            "blocked_words": [f"`*_{n:04}" + "語*" * 46 for n in range(5000)],
            "blocked_members": ids,
            "moderators": ids,
            "moderator_roles": ids,
            "paused": {"reason": "*" * 300},
            "preset": "*" * 100,
            "log_channel": ids[0],
            "report_channel": ids[1],
            "daily_budget": 999_999.99,
            "flagged": "spoiler_age_restricted",
        }
    )
    return Overview(ids[0], 10**6, own, effective(CommunitySettings(), own))


@pytest.mark.parametrize(
    "spot",
    [
        *(Spot(page.key) for page in PAGES),
        *(Spot(LIST, one.name, offset=4975) for one in SETTINGS.values() if one.kind in (
            Kind.WORDS, Kind.MEMBERS, Kind.ROLES)),
        Spot("roles", offset=90),
        Spot(ROLE, str(10**18)),
        Spot(HISTORY),
    ],
    ids=str,
)  # fmt: skip
def test_no_page_is_larger_than_discord_takes(spot: Spot) -> None:
    trail = [Entry(n, str(10**18), 2e9, tuple(SETTINGS)) for n in range(20)]
    view = draw(Scene(crowded(), None, "⚠️ " + "\\*" * 500), spot, trail)
    body = {"components": [one.to_component_dict() for one in view.children], "flags": 1 << 15}
    assert rules.of_message(body, v2=True) == []
    if spot.page == LIST:
        assert f"{4975 + PER_PAGE}. " in str(body)


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=lambda one: one.name)
def test_every_form_is_one_that_discord_takes_and_says_what_it_wants(setting: Any) -> None:
    spot = Spot(ROLE, str(10**18), version=10**6) if setting.for_roles else Spot()
    forms = [value_form(crowded(), spot, setting)]
    if setting.kind is Kind.WORDS:
        forms = [words_form(spot, setting, more=more) for more in (True, False)]
    elif setting.kind not in (Kind.NUMBER, Kind.TEXT, Kind.SIZE, Kind.PAUSE):
        return
    for form in forms:
        body = form.to_dict()
        assert rules.of_modal(body) == []
        assert "…" not in str(body["components"])


def test_a_custom_id_says_all_about_a_click() -> None:
    spot = Spot(ROLE, str(2**63), "chosen", "requester_running", 10**9, 9975)
    custom_id = read_id(str(spot))
    assert custom_id is not None
    assert read(custom_id) == spot
    old = read_id("v1:settings:moderation:of another time")
    assert old is not None
    assert read(old) == Spot()
