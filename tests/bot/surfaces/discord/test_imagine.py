"""`/imagine`, from the command to the card, with the real discord.py over the wire."""

from pathlib import Path

import pytest

from bot.communities import Change
from bot.jobs.job import JobState
from bot.permissions import Requester
from bot.surfaces.discord.cards import MAY_BE_LATE
from bot.surfaces.discord.places import NO_FILES
from lora_registry.models import Viewer
from tests.bot.surfaces.discord.stage import Stage, stage
from tests.fakes.discord import Channel, May, Message

OWNER = Requester("owner", owner=True)


async def set_flagged(s: Stage, rule: str) -> None:
    await s.app.communities.change(str(s.home.id), Change({"flagged": rule}), base=0, by=OWNER)


async def flagged_in(s: Stage, channel: Channel) -> Message:
    answer = await s.discord.slash(s.ana, channel, "imagine", prompt="flagged", seed=7)
    return await answer.message.until(lambda m: "Again" in m.buttons)


async def test_a_command_becomes_one_message_that_ends_as_the_card(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        answer = await s.discord.slash(
            s.ana, s.general, "imagine", prompt="steps=2 a cat", seed=7, steps=9, guidance=2.5
        )
        card = await answer.message.until(lambda m: m.pictures)
        assert s.general.public == [card]
        assert "seed 7 · 32x32 · 9 steps · guidance 2.5 · flux-1" in card.text
        assert f"<@{s.ana.id}>" in card.text
        (picture,) = card.pictures
        assert not picture.spoiler
        assert picture.alt == "steps=2 a cat"
        assert list(card.buttons) == [
            "Again",
            "Edit",
            "Vary",
            "Recipe",
            "Save as preset",
            "Delete",
            "Report",
        ]
        job = await s.until(await s.newest(s.ana))
        assert job.state is JobState.DELIVERED
        assert (job.place.community, job.place.channel) == (str(s.home.id), str(s.general.id))
        assert card.pinged == set()


async def test_several_pictures_are_one_gallery(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        answer = await s.discord.slash(s.ana, s.general, "imagine", prompt="a cat", images=4)
        card = await answer.message.until(lambda m: m.pictures)
        assert len(card.pictures) == 4
        assert len({p.url for p in card.pictures}) == 4


async def test_flags_in_the_prompt_count_and_options_win_over_them(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        answer = await s.discord.slash(
            s.ana, s.general, "imagine", prompt="a cat --seed 7 --steps 5", steps=9, size="square"
        )
        await answer.message.until(lambda m: m.pictures)
        request = (await s.newest(s.ana)).request
        assert (request.prompt, request.seed, request.num_inference_steps) == ("a cat", 7, 9)
        assert str(request.image_size) == "512x512"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"prompt": "a cat --sed 7"}, "did you mean --seed"),
        ({"prompt": "a cat", "size": "huge"}, "size is “huge”"),
        ({"prompt": "a cat", "loras": "a:0.5:0.6"}, "loras is “a:0.5:0.6”"),
        ({"prompt": "a cat", "loras": "nobody-knows-this"}, "nobody"),
        ({"prompt": "a cat", "preset": "nobody-knows-this"}, "nobody"),
        ({"prompt": "a cat", "vars": "mood"}, "vars is “mood”"),
        ({"prompt": "a cat", "model": "flux-2", "guidance": 30.0}, "guidance"),
    ],
)
async def test_what_cannot_be_honoured_is_said_in_private(
    tmp_path: Path, options: dict[str, object], said: str
) -> None:
    async with stage(tmp_path) as s:
        answer = await s.discord.slash(s.ana, s.general, "imagine", **options)
        await answer.settled()
        assert answer.ephemeral
        assert said in answer.text.replace("\\", "")
        assert s.general.public == []
        assert await s.app.jobs.history("discord", str(s.ana.id), before=None, limit=9) == []


async def test_a_slow_first_step_is_announced_and_then_becomes_the_message(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        async with s.app.database.write():  # whoever wants to write has to wait
            answer = await s.discord.slash(s.ana, s.general, "imagine", prompt="a cat")
            assert answer.message.loading
            assert not answer.ephemeral
        card = await answer.message.until(lambda m: m.pictures)
        assert s.general.public == [card]


async def test_a_late_refusal_takes_the_announcement_away_and_is_private(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await s.app.communities.change(
            str(s.home.id), Change({"requester_queued": 0}), base=0, by=OWNER
        )
        async with s.app.database.write():
            answer = await s.discord.slash(s.ana, s.general, "imagine", prompt="a cat")
            assert answer.message.loading
        refusal = await answer.follow_up()
        assert refusal.ephemeral
        assert "limit" in refusal.text
        assert s.general.public == []


async def test_a_private_picture_is_seen_by_nobody_else(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        answer = await s.discord.slash(s.ana, s.general, "imagine", prompt="a cat", private=True)
        assert MAY_BE_LATE in answer.text
        await answer.message.until(lambda m: m.pictures)
        assert answer.ephemeral
        assert s.general.public == []


async def test_a_member_who_wants_privacy_gets_it_from_the_first_moment(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await s.app.communities.change_member(
            str(s.home.id), str(s.ana.id), Change({"private": True})
        )
        async with s.app.database.write():
            answer = await s.discord.slash(s.ana, s.general, "imagine", prompt="a cat")
            assert answer.message.loading
            assert answer.ephemeral
        await answer.message.until(lambda m: m.pictures)
        assert s.general.public == []


async def test_a_flagged_picture_comes_behind_a_spoiler_that_says_why(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        card = await flagged_in(s, s.general)
        assert [picture.spoiler for picture in card.pictures] == [True]
        assert "Behind a spoiler because the checker flagged it" in card.text


async def test_a_withheld_picture_is_never_sent_but_described(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await set_flagged(s, "withhold")
        card = await flagged_in(s, s.general)
        assert card.attachments == []
        assert "A picture is withheld: the checker flagged it" in card.text


async def test_only_age_restricted_places_show_what_is_meant_for_them(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await set_flagged(s, "spoiler_age_restricted")
        adults = s.discord.text(s.home, "adults", nsfw=True)
        corner = s.discord.thread(adults, "corner", by=s.ana)
        chat = s.discord.thread(s.general, "chat", by=s.ana)
        assert not (await flagged_in(s, s.general)).pictures
        assert not (await flagged_in(s, chat)).pictures
        assert (await flagged_in(s, adults)).pictures[0].spoiler
        assert (await flagged_in(s, corner)).pictures[0].spoiler


async def test_a_place_without_files_is_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        s.discord.allow(s.general, s.home.everyone, deny=May.ATTACH_FILES)
        answer = await s.discord.slash(s.ana, s.general, "imagine", prompt="a cat")
        await answer.settled()
        assert answer.ephemeral
        assert answer.text == NO_FILES
        assert s.backend.most_at_once == 0


async def test_it_works_in_a_conversation_with_the_bot(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        answer = await s.discord.slash(s.ana, s.discord.dm(s.ana), "imagine", prompt="a cat")
        assert MAY_BE_LATE not in answer.text
        await answer.message.until(lambda m: m.pictures)
        place = (await s.newest(s.ana)).place
        assert (place.community, place.age_restricted) == ("local", False)


async def test_whoever_brings_the_app_along_is_told_how_long_it_can_answer(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        guest = s.discord.user("Gil", installed=True)
        away = s.discord.guild("Away", members=(guest,), has_bot=False)
        answer = await s.discord.slash(guest, away.channel("general"), "imagine", prompt="a cat")
        assert MAY_BE_LATE in answer.text
        await answer.message.until(lambda m: m.pictures)
        assert (await s.newest(guest)).place.community == "local"


async def test_nothing_in_a_prompt_pings_hides_or_reorders(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        prompt = f"@everyone <@{s.ben.id}> **bold**\u200b [a](https://b.c) שלום"
        answer = await s.discord.slash(s.ana, s.general, "imagine", prompt=prompt)
        card = await answer.message.until(lambda m: m.pictures)
        assert card.pinged == set()
        assert f"\\<@{s.ben.id}\\>" in card.text
        assert "\\*\\*bold\\*\\*" in card.text
        assert "\u200b" not in card.text
        assert "\\[a\\](" in card.text
        assert "\u2068" in card.text


async def test_presets_loras_and_sizes_are_suggested_while_one_types(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:

        async def offered(focus: str, typed: str) -> list[str]:
            found = await s.discord.autocomplete(
                s.ana, s.general, "imagine", focus, prompt="x", **{focus: typed}
            )
            return [choice["value"] for choice in found]

        names = [
            hit.name
            for hit in await s.app.registry.search.search(
                Viewer(str(s.home.id), str(s.ana.id), nsfw_ceiling=1), ""
            )
        ]
        assert names
        assert await offered("preset", names[0][:3]) == [
            name for name in names if name.startswith(names[0][:3])
        ]
        assert f"{names[0]}+{names[0]}" in await offered("preset", f"{names[0]}+{names[0][:4]}")
        loras = [record.name for record in await s.app.registry.loras.list()]
        assert await offered("loras", loras[0][:3]) == [loras[0]]
        assert await offered("loras", f"{loras[0]}:0.5, {loras[1][:3]}") == [
            f"{loras[0]}:0.5, {loras[1]}"
        ]
        assert await offered("loras", "nothing-like-it") == []
        assert "portrait_4_3" in await offered("size", "port")
