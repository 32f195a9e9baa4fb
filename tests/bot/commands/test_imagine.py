"""`/imagine`: wishes become requests, and what cannot be granted is refused with the reason."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from backends.base import (
    NAMED_SIZES,
    Backend,
    Capabilities,
    Flux1Request,
    GenerationRequest,
    ModelName,
    ModelSupport,
)
from bot.app import Backends
from bot.commands.composing import Composer
from bot.commands.imagine import Ask, Draw, Imagine, Plan, Refused
from bot.commands.prompt import NamedLora, Wish, parse
from bot.communities import INSTANCE, Change
from bot.community_store import CommunityStore
from bot.database import Database
from bot.jobs.job import Job, JobDraft, Place, Result
from bot.jobs.limits import Limits
from bot.jobs.store import JobStore, QuotaExceeded, migrations
from bot.jobs.supervisor import NotStarted
from bot.lora_folder import LoraFolder
from bot.lora_sources import LoraSources
from bot.permissions import Requester
from bot.registry import Registry
from bot.uploads import Uploads
from tests.fakes.backend import StubBackend
from tests.fakes.registry import empty_registry
from tests.lora_registry.loras import factors, flux1, flux2, only, write

HERE = "a server"
ANN = Requester("ann")
OWNER = Requester("owner", owner=True)
CAT = Wish("a cat")
"""Somebody who only says what to draw."""


class Drawer(StubBackend):
    """A stub whose capabilities a test says."""

    def __init__(self, folder: Path, can: Capabilities) -> None:
        super().__init__(folder)
        self._can = can

    @property
    def capabilities(self) -> Capabilities:
        return self._can


@dataclass(frozen=True)
class Bot:
    """Everything behind `/imagine`, over a database and a LoRA folder of its own."""

    folder: Path
    database: Database
    communities: CommunityStore
    jobs: JobStore
    backend: Backend
    registry: Registry

    @property
    def imagine(self) -> Imagine:
        return Imagine(
            communities=self.communities,
            jobs=self.jobs,
            backends=Backends({"stub": self.backend}),
            loras=self.loras,
            composer=Composer(self.registry),
        )

    @property
    def loras(self) -> LoraSources:
        uploads = Uploads(self.database, self.folder / "uploads")
        return LoraSources(LoraFolder([self.folder]), uploads, self.registry)

    async def plan(
        self, wish: Wish = CAT, *, by: Requester = ANN, place: Place | None = None
    ) -> Plan:
        return await self.imagine.plan(Ask(wish, by, place or Place(community=HERE), "test"))

    async def request(self, wish: Wish = CAT, *, by: Requester = ANN) -> GenerationRequest:
        return (await self.plan(wish, by=by)).draft.request

    async def refusal(self, wish: Wish = CAT, *, by: Requester = ANN) -> str:
        with pytest.raises(Refused) as caught:
            await self.plan(wish, by=by)
        return str(caught.value)

    async def set(self, community: str = HERE, **values: object) -> None:
        base = (await self.communities.load(community)).version
        await self.communities.change(community, Change(values), base=base, by=OWNER)

    async def set_mine(self, **values: object) -> None:
        await self.communities.change_member(HERE, ANN.id, Change(values))

    def paid(self, price: float = 0.01) -> "Bot":
        """The same bot over a backend that takes so many dollars a megapixel."""
        models = self.backend.capabilities.models
        return self.able_to(models={n: replace(one, price=price) for n, one in models.items()})

    def able_to(self, **can: Any) -> "Bot":
        """The same bot over a backend with other capabilities."""
        can = {"models": self.backend.capabilities.models, "slots": 1, **can}
        return replace(self, backend=Drawer(self.folder / "drawer", Capabilities(**can)))


@pytest.fixture
async def bot(tmp_path: Path) -> AsyncIterator[Bot]:
    database = await Database.open(tmp_path / "jobs.db", migrations())
    folder = tmp_path / "loras"
    folder.mkdir()
    layer = "transformer_blocks.0.attn.to_q"
    for name in ("ink", "glow", "ghibli"):
        write(folder / f"{name}.safetensors", factors(only(flux1(), layer), rank=4))
    layers = only(flux2(), layer, "transformer_blocks.0.ff.")
    write(folder / "newer.safetensors", factors(layers, rank=4))
    (folder / "broken.safetensors").write_bytes(b"<html>")
    async with empty_registry(tmp_path) as registry:
        yield Bot(
            folder,
            database,
            CommunityStore(database),
            JobStore(database),
            StubBackend(tmp_path / "stub"),
            registry,
        )
    await database.close()


# --- Defaults ---------------------------------------------------------------------------------


async def test_a_bare_prompt_gets_fal_s_defaults(bot: Bot) -> None:
    request = await bot.request()
    assert request == Flux1Request(prompt="a cat", seed=request.seed)


@pytest.mark.parametrize(
    ("setting", "field", "fal", "community", "member", "said"),
    [
        ("model", "model", "flux-1", "flux-2", "flux-1", "flux-2"),
        (
            "size",
            "image_size",
            NAMED_SIZES["landscape_4_3"],
            NAMED_SIZES["square_hd"],
            NAMED_SIZES["portrait_4_3"],
            NAMED_SIZES["landscape_16_9"],
        ),
    ],
)
async def test_what_is_said_wins_over_the_member_s_the_community_s_and_fal_s_defaults(
    bot: Bot, setting: str, field: str, fal: object, community: Any, member: Any, said: Any
) -> None:
    assert getattr(await bot.request(), field) == fal
    await bot.set(**{setting: community})
    assert getattr(await bot.request(), field) == community
    await bot.set_mine(**{setting: member})
    assert getattr(await bot.request(), field) == member
    assert getattr(await bot.request(replace(CAT, **{setting: said})), field) == said


async def test_the_instance_s_defaults_hold_where_a_community_has_none(bot: Bot) -> None:
    await bot.set(INSTANCE, size="square", model="flux-2")
    await bot.set(model="flux-1")
    request = await bot.request()
    assert (request.model, request.image_size) == ("flux-1", NAMED_SIZES["square"])


async def test_a_member_s_count_holds_where_none_is_said(bot: Bot) -> None:
    await bot.set_mine(images=3)
    assert (await bot.request()).num_images == 3
    assert (await bot.request(replace(CAT, images=1))).num_images == 1


async def test_another_member_and_another_community_keep_their_own_defaults(bot: Bot) -> None:
    await bot.set_mine(images=3)
    assert (await bot.request(by=Requester("bob"))).num_images == 1
    assert (await bot.plan(place=Place(community="elsewhere"))).draft.request.num_images == 1


async def test_everything_that_is_said_is_in_the_request(bot: Bot) -> None:
    can = {
        model: replace(support, prompt_expansion=True)
        for model, support in bot.backend.capabilities.models.items()
    }
    wish = parse(
        "a cat --lora ink:0.5,glow --size 512x768 --steps 12 --guidance 2 --seed 7 --images 2"
        " --model flux-2 --speed high --expand --format webp"
    )
    # The stub draws FLUX.2 requests with FLUX.1 weights here, so FLUX.1 LoRAs fit.
    can["flux-2"] = replace(can["flux-2"], architecture="flux-1")
    assert (await bot.able_to(models=can).request(wish)).model_dump(
        exclude={"enable_safety_checker", "sync_mode"}
    ) == {
        "model": "flux-2",
        "prompt": "a cat",
        "image_size": {"width": 512, "height": 768},
        "num_inference_steps": 12,
        "guidance_scale": 2.0,
        "seed": 7,
        "num_images": 2,
        "loras": ({"path": "ink", "scale": 0.5}, {"path": "glow", "scale": 1.0}),
        "acceleration": "high",
        "enable_prompt_expansion": True,
        "output_format": "webp",
    }


async def test_a_seed_is_chosen_where_none_is_said_and_zero_is_one_that_is_said(bot: Bot) -> None:
    chosen = {(await bot.request()).seed for _ in range(4)}
    assert len(chosen) == 4
    assert all(seed is not None and 0 <= seed < 2**32 for seed in chosen)
    assert (await bot.request(replace(CAT, seed=0))).seed == 0


async def test_the_draft_says_who_asked_where_and_which_backend_draws(bot: Bot) -> None:
    await bot.set_mine(ping=True)
    place = Place(community=HERE, channel="art", age_restricted=True)
    ask = Ask(CAT, ANN, place, "test")
    draft = (await bot.imagine.plan(ask)).draft
    assert (draft.id, draft.surface, draft.requester) == (ask.job_id, "test", "ann")
    assert (draft.place, draft.backend, draft.ping) == (place, "stub", True)


@pytest.mark.parametrize(
    ("place", "member", "said", "private"),
    [
        (False, False, None, False),
        (False, True, None, True),
        (False, True, False, False),
        (False, False, True, True),
        (True, False, False, True),  # what only one person sees does not become public
    ],
)
async def test_a_wish_for_privacy_wins_over_the_member_s_default_but_not_over_the_place(
    bot: Bot, place: bool, member: bool, said: bool | None, private: bool
) -> None:
    await bot.set_mine(private=member)
    plan = await bot.plan(replace(CAT, private=said), place=Place(community=HERE, private=place))
    assert plan.draft.place.private is private


async def test_the_limits_are_those_of_the_community_and_the_person(bot: Bot) -> None:
    await bot.set(requester_queued=2, community_per_day=9, roles={"vip": {"requester_queued": 7}})
    assert (await bot.plan()).limits == Limits(
        requester_queued=2,
        requester_running=1,
        community_queued=200,
        community_per_day=9,
        community_budget=5.0,
    )
    vip = Requester("vic", roles=frozenset({"vip"}))
    assert (await bot.plan(by=vip)).limits.requester_queued == 7


# --- Notes ------------------------------------------------------------------------------------


async def test_three_loras_that_are_heavy_together_are_noted_with_a_lowered_command(
    bot: Bot,
) -> None:
    wish = parse("a cat --lora ink:1,glow:1,ghibli:2 --steps 9")
    plan = await bot.plan(wish)
    assert plan.notes == (
        "3 LoRAs with scales of 4 in all often spoil each other. Lowered: "
        "/imagine a cat --lora ink:0.5 --lora glow:0.5 --lora ghibli:1 --steps 9",
    )
    assert [lora.scale for lora in plan.draft.request.loras] == [1, 1, 2]  # an offer, no more
    (note,) = plan.notes
    assert (await bot.plan(parse(note.partition("Lowered: ")[2]))).notes == ()


@pytest.mark.parametrize("loras", ["ink:2,glow:2", "ink:0.6,glow:0.7,ghibli:0.7", "ink:4"])
async def test_fewer_or_lighter_loras_are_not_worth_a_note(bot: Bot, loras: str) -> None:
    assert (await bot.plan(parse(f"a cat --lora {loras}"))).notes == ()


# --- Refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("a cat --steps 51", "steps is 51; use 1 to 50."),
        ("a cat --steps 0", "steps is 0; use 1 to 50."),
        ("a cat --images 0", "images is 0; use 1 to 4."),
        ("a cat --images 5", "images is 5; use 1 to 4."),
        ("a cat --guidance 36", "guidance is 36.0; use 0 to 35."),
        ("a cat --seed 9223372036854775808", "seed is 9223372036854775808; use 0 to "),
        ("a cat --speed high", "speed is “high”; use none or regular."),
        ("a cat --expand", "expand is True; flux-1 has no prompt expansion; leave it out."),
        ("a cat --lora ink:5", "the scale of LoRA 1 is 5.0; use -4 to 4."),
        ("a cat --model flux-2 --lora ink:-1", "the scale of LoRA 1 is -1.0; use 0 to 4."),
        ("a cat --model flux-2 --steps 3", "steps is 3; use 4 to 50."),
        ("a cat --model flux-2 --size 256x256", "flux-2 draws 512 to 2048 pixels a side."),
        (
            "a cat --model flux-2 --lora a,b,c,d",
            "flux-2 takes at most 3 LoRAs.",
        ),
        ("a cat --steps 0 --images 9", "steps is 0; use 1 to 50. images is 9; use 1 to 4."),
    ],
)
async def test_a_value_that_the_model_does_not_take_is_named_with_what_it_takes(
    bot: Bot, command: str, sentence: str
) -> None:
    assert sentence in await bot.refusal(parse(command))


async def test_a_prompt_with_hidden_characters_is_refused_without_quoting_it(bot: Bot) -> None:
    sentence = await bot.refusal(Wish("a cat\u202egnp.exe"))
    assert sentence == (
        "prompt cannot be used as it is; remove the character U+202E at position 6."
    )


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("a cat --size 4000x16", "size is “4000x16”; 16 to 2048 pixels a side can be drawn here."),
        ("a cat --format webp", "format is “webp”; use jpeg or png."),
        (
            "a cat --model flux-2 --expand",
            "expand is True; prompts cannot be expanded here; leave it out.",
        ),
    ],
)
async def test_what_the_backend_cannot_do_is_refused_rather_than_dropped(
    bot: Bot, command: str, sentence: str
) -> None:
    support = ModelSupport(formats=frozenset({"jpeg", "png"}), sides=(16, 2048))
    models: Mapping[ModelName, ModelSupport] = {"flux-1": support, "flux-2": support}
    assert await bot.able_to(models=models).refusal(parse(command)) == sentence


async def test_a_model_that_nothing_here_draws_is_refused(bot: Bot) -> None:
    models = {"flux-1": bot.backend.capabilities.models["flux-1"]}
    sentence = await bot.able_to(models=models).refusal(parse("a cat --model flux-2"))
    assert sentence == "Nothing here draws with flux-2; choose another model."


async def test_a_preset_that_does_not_exist_is_refused(bot: Bot) -> None:
    assert await bot.refusal(parse("a cat --preset dreamy")) == (
        "There is no preset dreamy here. Search for a part of its name."
    )


@pytest.mark.parametrize(
    ("lora", "sentence"),
    [
        ("gibli", "There is no LoRA “gibli”. Did you mean ghibli?"),
        ("../../jobs", "There is no LoRA “../../jobs”."),
        ("newer", "The LoRA newer is for FLUX.2 [dev]; this would be drawn with flux-1."),
        ("broken", "The LoRA broken cannot be used."),
    ],
)
async def test_a_lora_that_cannot_be_used_is_refused_before_anything_waits(
    bot: Bot, lora: str, sentence: str
) -> None:
    wish = replace(CAT, loras=(NamedLora("ink", 0.5), NamedLora(lora)))
    assert (await bot.refusal(wish)).startswith(sentence)


async def test_where_another_model_stands_in_its_loras_are_the_ones_that_fit(bot: Bot) -> None:
    models = dict(bot.backend.capabilities.models)
    models["flux-2"] = replace(models["flux-2"], architecture="flux-1")
    demo = bot.able_to(models=models)
    await demo.plan(parse("a cat --model flux-2 --lora ink"))
    sentence = await demo.refusal(parse("a cat --model flux-2 --lora newer"))
    assert "is for FLUX.2 [dev]; this would be drawn with flux-1" in sentence


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"blocked_members": ["ann"]},
            "You cannot generate pictures here; the moderators have blocked you.",
        ),
        ({"paused": {}}, "Generating is paused here."),
        (
            {"paused": {"reason": "Back on Monday."}},
            "Generating is paused here. Back on Monday.",
        ),
        (
            {"models": ["flux-2"], "model": "flux-2"},
            "You cannot use flux-1 here; use flux-2.",
        ),
        ({"max_steps": 20}, "steps is 24; use up to 20 here."),
        ({"max_images": 1}, "images is 2; use up to 1 here."),
        ({"max_megapixels": 0.5}, "0.8 megapixels are too many; use up to 0.5 here."),
        (
            {"max_steps": 20, "max_images": 1},
            "steps is 24; use up to 20 here. images is 2; use up to 1 here.",
        ),
        (
            {"blocked_words": ["dog", "Red Cat", "cat"]},
            "The prompt has words that are not allowed here: “Red Cat”, “cat”. Leave them out.",
        ),
    ],
)
async def test_what_the_community_does_not_allow_is_refused_with_its_reason(
    bot: Bot, settings: dict[str, Any], sentence: str
) -> None:
    wish = parse("a red, cat --steps 24 --images 2 --model flux-1")
    await bot.plan(wish)
    await bot.set(**settings)
    assert await bot.refusal(wish) == sentence


async def test_a_pause_of_the_whole_instance_holds_everywhere(bot: Bot) -> None:
    await bot.set(INSTANCE, paused={"reason": "Moving house."})
    assert await bot.refusal() == "Generating is paused here. Moving house."


async def test_a_role_may_do_what_others_may_not(bot: Bot) -> None:
    await bot.set(max_steps=10, roles={"vip": {"max_steps": 30}})
    wish = replace(CAT, steps=30)
    assert await bot.refusal(wish) == "steps is 30; use up to 10 here."
    await bot.plan(wish, by=Requester("vic", roles=frozenset({"vip"})))


async def damage(bot: Bot, table: str) -> None:
    async with bot.database.write() as sql:
        await sql.execute(f"UPDATE {table} SET document = ?", ('{"colour": 1}',))


async def test_where_settings_are_damaged_nothing_is_drawn_and_the_owner_is_told_what_to_do(
    bot: Bot,
) -> None:
    await bot.set(max_steps=10)
    await damage(bot, "community_settings")
    fresh = replace(bot, communities=CommunityStore(bot.database))
    sentence = await fresh.refusal()
    assert sentence.startswith("The settings stored for a server cannot be read: ")
    assert "can reset them" in sentence


async def test_damaged_defaults_of_a_member_concern_that_member_alone(bot: Bot) -> None:
    await bot.set_mine(images=2)
    await damage(bot, "member_settings")
    assert await bot.refusal() == (
        "Your stored defaults cannot be read: colour is no setting that this version of Atelier "
        "knows. Reset them to go on."
    )
    await bot.plan(by=Requester("bob"))


# --- Money ------------------------------------------------------------------------------------


async def spend(bot: Bot, dollars: float, *, community: str = HERE) -> None:
    """Have a job in the past of today that cost so much."""
    draft = (await bot.plan(place=Place(community=community))).draft
    await bot.jobs.submit(draft, Limits())
    await bot.jobs.save_receipt(draft.id, {})
    job = await bot.jobs.begin(draft.id)
    assert job is not None
    result = Result(pictures=(), prompt="a cat", weights="stub", seconds=1.0, cost=dollars)
    assert await bot.jobs.render(job, result) is not None


async def test_a_paid_job_is_refused_once_the_day_s_budget_is_spent(bot: Bot) -> None:
    paid = bot.paid()
    await paid.set(daily_budget=0.1)
    await spend(paid, 0.06)
    assert (await paid.plan()).draft.price == 0.01
    await spend(paid, 0.04)
    assert await paid.refusal() == (
        "This would cost $0.010, and today's $0.10 are used up here. A new day begins at 00:00 UTC."
    )
    await bot.plan()  # what costs nothing goes on
    await paid.plan(place=Place(community="elsewhere"))  # and so does everybody else


async def test_without_a_budget_of_their_own_communities_have_the_declared_one(bot: Bot) -> None:
    paid = bot.paid()
    await spend(paid, 5.0)
    assert "today's $5.00 are used up here." in await paid.refusal()
    await paid.set(daily_budget=None)
    await paid.plan()


async def test_a_budget_of_nothing_allows_nothing_that_costs(bot: Bot) -> None:
    paid = bot.paid()
    await paid.set(daily_budget=0)
    assert "used up" in await paid.refusal()
    await bot.plan()


# --- Planning changes nothing -----------------------------------------------------------------


async def test_neither_a_plan_nor_a_refusal_leaves_a_job_behind(bot: Bot) -> None:
    await bot.plan()
    await bot.refusal(parse("a cat --steps 99"))
    assert await bot.jobs.depth() == {}


# --- Handing over -----------------------------------------------------------------------------


async def test_a_plan_that_was_taken_comes_back_as_its_job_with_the_notes(bot: Bot) -> None:
    ask = Ask(parse("a cat --lora ink,glow,ghibli"), ANN, Place(community=HERE), "test")
    taken = await Draw(bot.imagine, bot.jobs)(ask)
    assert (taken.job.id, taken.job.requester) == (ask.job_id, "ann")
    assert len(taken.notes) == 1


async def test_a_full_queue_is_a_refusal_for_people(bot: Bot) -> None:
    await bot.set(requester_queued=1)
    draw = Draw(bot.imagine, bot.jobs)
    await draw(Ask(CAT, ANN, Place(community=HERE), "test"))
    with pytest.raises(Refused, match="You already have 1 job waiting") as caught:
        await draw(Ask(CAT, ANN, Place(community=HERE), "test"))
    assert isinstance(caught.value.__cause__, QuotaExceeded)


class Mute:
    """A surface's supervisor that cannot show anything."""

    async def submit(self, draft: JobDraft, limits: Limits) -> Job:
        raise NotStarted(draft.id)


async def test_a_job_that_cannot_be_shown_is_a_refusal_for_people(bot: Bot) -> None:
    with pytest.raises(Refused, match="could not be shown here, so nothing is drawn"):
        await Draw(bot.imagine, Mute())(Ask(CAT, ANN, Place(community=HERE), "test"))
