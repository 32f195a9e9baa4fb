"""The Home tab, as members see it."""

import asyncio
from pathlib import Path

from slack_sdk.models.views import View as Shown
from slack_sdk.web.async_client import AsyncWebClient

from bot.communities import Change
from bot.jobs.job import JobState
from bot.permissions import Requester
from bot.surfaces.slack import cards
from bot.surfaces.slack.homes import MOST, Homes
from lora_registry.models import PresetBody, Viewer
from tests.bot.surfaces.slack.stage import stage
from tests.fakes.slack import FakeSlack, Fault, User, View

OWNER = Requester("owner", owner=True)


async def looked_at(slack: FakeSlack, user: User) -> View:
    await slack.open_home(user)
    return await slack.home(user)


async def test_a_look_at_home_shows_quota_jobs_and_something_to_try(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        home = await looked_at(s.slack, s.ana)
        assert "You have asked for 0 jobs today" in home.text
        assert "You have not asked for anything yet." in home.text
        assert "Draw this" in home.buttons
        assert "Settings" not in home.buttons

        boss = s.slack.user("Boss", admin=True)
        bosses = await looked_at(s.slack, boss)
        assert (await s.slack.click(boss, bosses, "Settings")).has_modal
        await s.app.communities.change(
            s.slack.team.id, Change({"requester_per_day": 3}), base=0, by=OWNER
        )
        await s.drawn(s.ana, "steps=2 a cat")
        await home.until(lambda v: "used 1 of your 3 jobs of today" in v.text)
        await home.until(lambda v: "look at it" in v.text)
        [result] = s.general.posted
        address = f"archives/{s.general.id}/p{result.ts.replace('.', '')}|look at it>"
        assert address in home.text
        assert "a cat" not in bosses.text


async def test_what_is_asked_for_at_home_comes_as_a_direct_message(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        maker = Viewer(s.slack.team.id, s.ben.id)
        await s.app.registry.presets.create(maker, "dreamy", PresetBody(title="Soft", steps=3))
        home = await looked_at(s.slack, s.ben)
        assert "*dreamy*: Soft" in home.text
        assert "dreamy" not in (await looked_at(s.slack, s.ana)).text  # it is Ben's own
        await s.slack.click(s.ben, home, "Try it")
        await home.until(lambda v: {"Again", "Cancel"} & set(v.buttons))
        conversation = s.slack.conversation(s.ben)
        await s.slack.posted(conversation, lambda m: "Share" in m.buttons)
        job = await s.newest(s.ben)
        assert (job.preset, job.request.num_inference_steps) == (f"@{s.ben.id.lower()}/dreamy@1", 3)

        form = (await s.slack.click(s.ben, home, "Imagine")).modal
        await s.slack.submit(s.ben, form, {"Prompt": "steps=2 a dog"})
        await s.slack.until(
            lambda: sum("Share" in m.buttons for m in conversation.posted) == 2,
        )
        await home.until(lambda v: "a dog" in v.text and v.text.count("look at it") == 2)
        assert s.general.posted == []


async def test_windows_open_over_home_and_change_in_place(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        home = await looked_at(s.slack, s.ana)
        defaults = (await s.slack.click(s.ana, home, "My defaults")).modal
        assert defaults.title == "Your defaults"
        await s.slack.close(s.ana, defaults)
        privacy = (await s.slack.click(s.ana, home, "Privacy")).modal
        await s.slack.click(s.ana, privacy, "Erase")
        await privacy.until(lambda v: "Erase everything" in v.buttons)
        await s.slack.click(s.ana, privacy, "Erase everything")
        await privacy.until(lambda v: "Erased: 0 jobs" in v.text)
        await s.slack.close(s.ana, privacy)
        help_ = (await s.slack.click(s.ana, home, "Help")).modal
        await s.slack.click(s.ana, help_, "Write my own")
        await help_.until(lambda v: "Prompt" in v.fields)
        await s.slack.submit(s.ana, help_, {"Prompt": "a cat"})
        await s.slack.posted(s.slack.conversation(s.ana), lambda m: "Again" in m.buttons)


async def test_jobs_that_went_wrong_can_be_tried_fetched_or_ended_at_home(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        home = await looked_at(s.slack, s.ana)
        await s.slack.slash(s.ana, s.general, "/imagine", "hang")
        await home.until(lambda v: "being drawn" in v.text)
        await s.slack.click(s.ana, home, "Cancel")
        await home.until(lambda v: "Draw it after all" in v.buttons)
        await s.slack.slash(s.ana, s.general, "/imagine", "fail")
        await home.until(lambda v: "Try again" in v.buttons)
        await s.slack.slash(s.ana, s.general, "/imagine", "steps=2 pause=0.3 a cat")
        await s.slack.posted(s.general, lambda m: "Cancel" in m.buttons)
        s.general.refusal = "restricted_action"
        assert (await s.until(await s.newest(s.ana))).state is JobState.UNDELIVERABLE
        await home.until(lambda v: "could not be shown" in v.text)
        await s.slack.click(s.ana, home, "Send to me")
        await s.slack.posted(s.slack.conversation(s.ana), lambda m: "Again" in m.buttons)


async def test_trouble_with_home_slows_no_job_and_is_made_good(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        s.slack.api.faults.append(Fault("views.publish", status=429, times=2))
        await s.slack.open_home(s.ana)
        await s.drawn(s.ana, "steps=2 a cat")
        home = await s.slack.home(s.ana)
        await home.until(lambda v: "look at it" in v.text)
        s.slack.api.faults.append(Fault("views.publish", error="internal_error"))
        before = len(s.slack.api.made("views.publish"))
        await s.drawn(s.ana, "steps=2 a dog")
        await s.slack.until(lambda: len(s.slack.api.made("views.publish")) > before)
        assert "a dog" not in home.text
        await s.slack.open_home(s.ana)
        await home.until(lambda v: "a dog" in v.text)


async def test_only_who_has_looked_lately_is_kept_up_to_date_and_once_for_many_changes() -> None:
    async with FakeSlack() as slack:
        ana, ben = slack.user("Ana"), slack.user("Ben")
        client = AsyncWebClient(slack.bot_token, base_url=slack.api_url, retry_handlers=[])
        now, drawn = 0.0, list[str]()

        async def draw(user: str, team: str) -> Shown:
            drawn.append(user)
            return Shown(type="home", blocks=[cards.section(team)])

        async def shortly(seconds: float) -> None:
            await asyncio.sleep(0)

        homes = Homes(client, clock=lambda: now, sleep=shortly)
        keeping = asyncio.create_task(homes.keep(draw))
        homes.looked_at(ana.id, slack.team.id)
        homes.changed(ben.id)
        homes.changed(ana.id)
        homes.changed(ana.id)
        await slack.home(ana)
        assert drawn == [ana.id]
        now = 3600.0
        homes.changed(ana.id)
        homes.looked_at(ben.id, slack.team.id)
        homes.changed(ben.id)
        await slack.home(ben)
        assert drawn == [ana.id, ben.id]
        for number in range(MOST):
            homes.looked_at(f"U{number}", slack.team.id)
        homes.changed(ben.id)
        homes.looked_at(ana.id, slack.team.id)
        homes.changed(ana.id)
        await slack.until(lambda: len(drawn) == 3)
        assert drawn[2] == ana.id
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
