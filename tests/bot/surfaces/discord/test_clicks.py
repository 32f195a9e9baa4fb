"""Buttons, menus and forms: what they do, for whom, and for how long."""

from pathlib import Path

import pytest

from bot import wording
from bot.app import CommunityRules
from bot.commands.jobs import Jobs, NoSuchJob
from bot.communities import Change
from bot.jobs.job import JobState, Place
from bot.permissions import Requester
from bot.surfaces.discord.clicks import NOT_YOURS
from tests.bot.surfaces.discord.stage import Stage, running, stage
from tests.fakes.discord import FakeDiscord, May

OWNER = Requester("owner", owner=True)


async def test_again_draws_the_same_with_a_new_seed_as_a_new_message(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        card = await s.drawn(s.ana, seed=7, steps=5)
        answer = await s.discord.click(s.ben, card, "Again")
        again = await answer.message.until(lambda m: m.pictures)
        assert s.general.public == [card, again]
        request = (await s.newest(s.ben)).request
        assert (request.prompt, request.num_inference_steps) == ("steps=2 a cat", 5)
        assert request.seed != 7


async def test_edit_opens_a_form_with_everything_in_it(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        card = await s.drawn(s.ana, seed=7, steps=5)
        form = (await s.discord.click(s.ana, card, "Edit")).modal
        assert form.value("Prompt") == "steps=2 a cat"
        assert form.value("Seed") == "7"
        answer = await s.discord.submit(form, {"Prompt": "steps=2 a dog", "Pictures": "2"})
        await answer.message.until(lambda m: len(m.pictures) == 2)
        request = (await s.newest(s.ana)).request
        assert (request.prompt, request.seed) == ("steps=2 a dog", 7)
        assert request.num_inference_steps == 5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"Seed": "soon"}, "seed is “soon”"),
        ({"Pictures": "9"}, "images"),
        ({"LoRAs": "nobody-knows-this"}, "nobody"),
        ({"Prompt": "a dog --sed 7"}, "did you mean --seed"),
    ],
)
async def test_a_form_with_something_wrong_is_answered_in_private(
    tmp_path: Path, change: dict[str, str], said: str
) -> None:
    async with stage(tmp_path) as s:
        card = await s.drawn(s.ana, seed=7)
        form = (await s.discord.click(s.ana, card, "Edit")).modal
        answer = await s.discord.submit(form, change)
        await answer.settled()
        assert answer.ephemeral
        assert said in answer.text.replace("\\", "")
        assert s.general.public == [card]


async def test_vary_offers_a_little_more_or_less_of_what_there_is(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        card = await s.drawn(s.ana, seed=7, guidance=3.5)
        menu = await s.discord.click(s.ana, card, "Vary")
        assert menu.ephemeral
        answer = await s.discord.select(
            s.ana, menu.message, "What to change; seed and size stay", ["Guidance 3.5 → 4"]
        )
        await answer.message.until(lambda m: m.pictures)
        assert not answer.ephemeral
        request = (await s.newest(s.ana)).request
        assert (request.seed, request.guidance_scale) == (7, 4.0)


async def test_the_recipe_is_the_exact_command_for_who_clicked(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        card = await s.drawn(s.ana, seed=7, steps=5)
        recipe = await s.discord.click(s.ben, card, "Recipe")
        assert recipe.ephemeral
        command = recipe.text.split("```")[1].strip()
        answer = await s.discord.slash(s.ben, s.general, "imagine", prompt=command)
        await answer.message.until(lambda m: m.pictures)
        first, second = (await s.newest(s.ana)).request, (await s.newest(s.ben)).request
        assert first == second


async def test_only_who_asked_and_moderators_delete(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        card = await s.drawn(s.ana)
        refusal = await s.discord.click(s.ben, card, "Delete")
        assert (refusal.ephemeral, refusal.text) == (True, NOT_YOURS)
        assert s.general.public == [card]
        job = await s.newest(s.ana)
        assert job.result is not None
        await s.discord.click(s.ana, card, "Delete")
        await card.until(lambda m: m.deleted)
        assert not await s.app.pictures.exists(job.result.pictures[0].key)


@pytest.mark.parametrize("how", ["manager", "role"])
async def test_moderators_delete_any_picture_of_their_server(tmp_path: Path, how: str) -> None:
    async with stage(tmp_path) as s:
        role = s.discord.role(s.home, "mods", int(May.MANAGE_GUILD) if how == "manager" else 0)
        if how == "role":
            change = Change({"moderator_roles": [str(role.id)]})
            await s.app.communities.change(str(s.home.id), change, base=0, by=OWNER)
        s.discord.join(s.home, s.ben, role)
        card = await s.drawn(s.ana)
        result = (await s.newest(s.ana)).result
        assert result is not None
        await s.discord.click(s.ben, card, "Delete")
        await card.until(lambda m: m.deleted)
        assert not await s.app.pictures.exists(result.pictures[0].key)
        assert s.general.public == []


async def test_cancel_ends_what_is_being_drawn(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        answer = await s.discord.slash(s.ana, s.general, "imagine", prompt="hang")
        card = answer.message
        refusal = await s.discord.click(s.ben, card, "Cancel")
        assert refusal.text == NOT_YOURS
        await s.discord.click(s.ana, card, "Cancel")
        await card.until(lambda m: wording.CANCELLED in m.text)
        assert list(card.buttons) == ["Draw it after all", "Edit", "Delete"]
        assert (await s.until(await s.newest(s.ana))).state is JobState.CANCELLED


async def test_a_failed_job_can_be_tried_again_with_the_same_seed(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        card = await s.drawn(s.ana, "fail", seed=7)
        assert "does not draw this" in card.text
        answer = await s.discord.click(s.ana, card, "Try again")
        await answer.message.until(lambda m: "does not draw this" in m.text)
        assert (await s.newest(s.ana)).request.seed == 7
        assert len(s.general.public) == 2


async def test_what_follows_from_a_private_picture_is_private(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        first = await s.discord.slash(s.ana, s.general, "imagine", prompt="a cat", private=True)
        card = await first.message.until(lambda m: m.pictures)
        answer = await s.discord.click(s.ana, card, "Again")
        await answer.message.until(lambda m: m.pictures)
        assert answer.ephemeral
        assert s.general.public == []


async def test_buttons_and_open_forms_outlive_the_process(tmp_path: Path) -> None:
    async with FakeDiscord() as discord:
        ana, ben = discord.user("Ana"), discord.user("Ben")
        home = discord.guild(members=(ana, ben))
        general = home.channel("general")
        async with running(discord, tmp_path):
            answer = await discord.slash(ana, general, "imagine", prompt="a cat", seed=7)
            card = await answer.message.until(lambda m: m.pictures)
            form = (await discord.click(ana, card, "Edit")).modal
        async with running(discord, tmp_path):
            edited = await discord.submit(form, {"Prompt": "a dog"})
            await edited.message.until(lambda m: m.pictures)
            again = await discord.click(ben, card, "Again")
            await again.message.until(lambda m: m.pictures)
            await discord.click(ana, card, "Delete")
            await card.until(lambda m: m.deleted)
        assert general.public == [edited.message, again.message]


async def test_jobs_of_others_are_seen_only_where_they_were_asked_for(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await s.drawn(s.ana)
        public = await s.newest(s.ana)
        await s.discord.slash(s.ana, s.general, "imagine", prompt="a cat", private=True)
        private = await s.until(await s.newest(s.ana))
        jobs = Jobs(
            store=s.app.jobs,
            pictures=s.app.pictures,
            canceller=s.supervisor,
            treat=CommunityRules(s.app.communities).treatment,
            surface="discord",
        )
        here, ben = Place(community=str(s.home.id), channel=str(s.general.id)), str(s.ben.id)
        elsewhere = (
            Place(community=str(s.home.id), channel="1"),
            Place(community="local", channel=str(s.general.id)),
        )
        assert (await jobs.seen(ben, here, public.id)).id == public.id
        for job, place in ((private, here), *((public, place) for place in elsewhere)):
            with pytest.raises(NoSuchJob):
                await jobs.seen(ben, place, job.id)
            assert (await jobs.seen(str(s.ana.id), place, job.id)).id == job.id


async def test_a_picture_that_is_forgotten_says_so(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        card = await s.drawn(s.ana)
        await s.app.jobs.forget(2**40)
        for button in ("Again", "Edit", "Vary", "Recipe", "Delete"):
            answer = await s.discord.click(s.ben, card, button)
            assert (answer.ephemeral, answer.text) == (True, wording.NO_SUCH_JOB)
        await s.discord.click(s.ana, card, "Delete")
        await card.until(lambda m: m.deleted)


async def test_the_own_jobs_are_listed_and_the_newest_cancelled(tmp_path: Path) -> None:
    async with stage(tmp_path, slots=1) as s:
        await hang(s, "hang first")
        await hang(s, "hang second")
        queue = await s.discord.slash(s.ana, s.general, "queue")
        assert queue.ephemeral
        assert "hang first" in queue.text
        assert "hang second" in queue.text
        ended = await s.discord.slash(s.ana, s.general, "cancel")
        assert "hang second" in ended.text
        assert "hang first" not in ended.text
        assert (await s.until(await s.newest(s.ana))).state is JobState.CANCELLED
        rest = await s.discord.slash(s.ana, s.general, "cancel", all=True)
        assert "hang first" in rest.text
        nothing = await s.discord.slash(s.ben, s.general, "cancel")
        assert "nothing in the queue" in nothing.text


async def hang(s: Stage, prompt: str) -> None:
    answer = await s.discord.slash(s.ana, s.general, "imagine", prompt=prompt)
    await answer.settled()


async def test_presets_are_listed_found_and_shown(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        listed = await s.discord.slash(s.ana, s.general, "preset list")
        assert listed.ephemeral
        name = listed.text.split("**")[1]
        found = await s.discord.slash(s.ana, s.general, "preset search", text=name)
        assert name in found.text
        shown = await s.discord.slash(s.ana, s.general, "preset show", preset=name)
        assert "Template:" in shown.text
        assert "LoRA" in shown.text
        missing = await s.discord.slash(s.ana, s.general, "preset show", preset="nobody-has-it")
        assert "nobody-has-it" in missing.text.replace("\\", "")


async def test_help_is_private_and_short(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        answer = await s.discord.slash(s.ana, s.general, "help")
        assert answer.ephemeral
        assert "/imagine" in answer.text


async def test_commands_are_registered_only_when_they_have_changed(tmp_path: Path) -> None:
    async with FakeDiscord() as discord:
        for _ in range(2):
            async with running(discord, tmp_path):
                assert discord.commands.puts == 1
        note = tmp_path / "data" / "discord" / "commands.sha256"
        note.write_text("others")
        async with running(discord, tmp_path):
            assert discord.commands.puts == 2
        names = {c["name"] for c in discord.commands.everywhere if c["type"] == 1}
        own = {"queue", "cancel", "defaults", "privacy"}
        assert names == {"imagine", "preset", "settings", "help", *own}
