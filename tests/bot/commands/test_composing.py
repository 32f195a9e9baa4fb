"""Wishes with presets: what they come to, what is told beside it, and what repeats them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from backends.base import GenerationRequest
from bot.app import Backends
from bot.commands.again import Again, LoraScale, Retry, vary, wish_of
from bot.commands.composing import Composer
from bot.commands.imagine import Ask, Draw, Imagine, Plan, Refused
from bot.commands.prompt import NamedLora, parse, render
from bot.communities import Change
from bot.community_store import CommunityStore
from bot.database import Database
from bot.jobs.job import Job, Place
from bot.jobs.store import JobStore, migrations
from bot.lora_folder import LoraFolder
from bot.lora_sources import LoraSources
from bot.owner import owner_viewer
from bot.permissions import Requester
from bot.registry import Registry
from bot.uploads import Uploads
from lora_registry.models import (
    ChoiceVariable,
    FixedSeed,
    LocalSource,
    LoraFlag,
    LoraRecord,
    PictureSize,
    PresetBody,
    PresetLora,
    TriggerSet,
)
from lora_registry.permissions import PUBLIC, Rule
from lora_registry.permissions import Place as Where
from lora_registry.store import Draft
from lora_registry.weights import Family, Layout
from tests.fakes.backend import StubBackend
from tests.fakes.registry import empty_registry

ANN = Requester("ann")
HERE = "home"
MOODS = ChoiceVariable(name="mood", choices=("calm", "stormy"), default="calm")


def record(name: str, digit: str, **fields: Any) -> LoraRecord:
    known = {"size": 10, "family": Family.FLUX_1, "layout": Layout.PEFT, "rank": 4}
    return LoraRecord(sha256=digit * 64, name=name, **{**known, **fields})


INK = record("ink", "1", triggers=(TriggerSet(words=("ink wash",)),))
GLOW = record("glow", "2")
NEWER = record("newer", "3", family=Family.FLUX_2)
BOLD = record("bold", "4", nsfw=3)
SOMEBODY = record("somebody", "5", flags=frozenset({LoraFlag.PERSON}))


def uses(*loras: LoraRecord, scale: float = 0.8) -> tuple[PresetLora, ...]:
    return tuple(PresetLora(sha256=one.sha256, name=one.name, scale=scale) for one in loras)


@dataclass(frozen=True)
class Bot:
    imagine: Imagine
    draw: Draw
    registry: Registry
    communities: CommunityStore
    jobs: JobStore

    async def publish(self, name: str, owner: str = "bob", **body: Any) -> None:
        draft = Draft(owner, owner, name, PresetBody(**body), places=(PUBLIC,))
        await self.registry.presets.install(owner_viewer(), [draft])

    async def plan(self, text: str, *, by: Requester = ANN, place: Place | None = None) -> Plan:
        return await self.imagine.plan(Ask(parse(text), by, place or Place(community=HERE), "test"))

    async def request(self, text: str) -> GenerationRequest:
        return (await self.plan(text)).draft.request

    async def refusal(self, text: str, **where: Any) -> str:
        with pytest.raises(Refused) as caught:
            await self.plan(text, **where)
        return str(caught.value)

    async def taken(self, text: str) -> Job:
        return (await self.draw(Ask(parse(text), ANN, Place(community=HERE), "test"))).job


@pytest.fixture
async def bot(tmp_path: Path) -> AsyncIterator[Bot]:
    database = await Database.open(tmp_path / "jobs.db", migrations())
    async with empty_registry(tmp_path) as registry:
        for one in (INK, GLOW, NEWER, BOLD, SOMEBODY):
            await registry.loras.put(one, LocalSource(path=f"{one.name}.safetensors"), by="owner")
        jobs, communities = JobStore(database), CommunityStore(database)
        uploads = Uploads(database, tmp_path / "uploads")
        imagine = Imagine(
            communities=communities,
            jobs=jobs,
            backends=Backends({"stub": StubBackend(tmp_path / "stub")}),
            loras=LoraSources(LoraFolder([tmp_path / "loras"]), uploads, registry),
            composer=Composer(registry),
        )
        yield Bot(imagine, Draw(imagine, jobs), registry, communities, jobs)
    await database.close()


def loras(request: GenerationRequest) -> list[tuple[str, float]]:
    return [(lora.path, lora.scale) for lora in request.loras]


# --- What a preset brings ---------------------------------------------------------------------


async def test_a_preset_brings_its_words_loras_and_settings(bot: Bot) -> None:
    await bot.publish(
        "dreamy",
        template="{prompt}, in soft light",
        loras=uses(INK),
        size=PictureSize(width=512, height=640),
        steps=20,
        guidance=4.0,
        speed="regular",
        count=2,
        seed=FixedSeed(seed=99),
    )
    plan = await bot.plan("a cat --preset dreamy")

    request = plan.draft.request
    assert request.prompt == "a cat, in soft light, ink wash"
    assert loras(request) == [("ink", 0.8)]
    assert str(request.image_size) == "512x640"
    assert (request.num_inference_steps, request.guidance_scale) == (20, 4.0)
    assert (request.acceleration, request.num_images, request.seed) == ("regular", 2, 99)
    assert plan.draft.preset == "@bob/dreamy@1"
    assert plan.notes == ("Added the LoRAs' trigger words: ink wash.",)


async def test_what_is_typed_wins_over_the_preset_and_the_preset_over_defaults(bot: Bot) -> None:
    await bot.publish("dreamy", steps=20, guidance=4.0, count=3, seed=FixedSeed(seed=1))
    mine = Change({"images": 2, "size": "square"})
    await bot.communities.change_member(HERE, ANN.id, mine)
    request = await bot.request("a cat --preset dreamy --steps 9 --seed 7")
    assert (request.num_inference_steps, request.guidance_scale, request.seed) == (9, 4.0, 7)
    assert (request.num_images, str(request.image_size)) == (3, "512x512")


async def test_presets_compose_and_a_command_s_lora_beats_theirs(bot: Bot) -> None:
    await bot.publish("dreamy", loras=uses(INK, scale=1.0), template="soft {prompt}")
    await bot.publish(
        "shiny", loras=uses(GLOW, scale=0.5), template="{prompt}, {mood}", variables=(MOODS,)
    )
    request = await bot.request(
        "a cat, INK WASH --preset dreamy+shiny:0.6 --var mood=Stormy --lora ink:0.4"
    )
    assert loras(request) == [("ink", 0.4), ("glow", 0.3)]
    assert request.prompt == "soft a cat, INK WASH, stormy"


async def test_a_zero_takes_a_lora_out_of_a_preset(bot: Bot) -> None:
    await bot.publish("dreamy", loras=uses(INK, GLOW))
    assert loras(await bot.request("a cat --preset dreamy --lora ink:0")) == [("glow", 0.8)]


async def test_the_default_preset_of_a_member_is_used_and_another_replaces_it(bot: Bot) -> None:
    await bot.publish("dreamy", steps=20)
    await bot.publish("quick", steps=4)
    await bot.communities.change_member(HERE, ANN.id, Change({"preset": "dreamy"}))
    assert (await bot.request("a cat")).num_inference_steps == 20
    assert (await bot.request("a cat --preset quick")).num_inference_steps == 4


async def test_a_preset_decides_the_model_unless_one_is_typed(bot: Bot) -> None:
    await bot.publish("newest", model="flux-2", loras=uses(NEWER))
    assert (await bot.request("a cat --preset newest")).model == "flux-2"
    assert "newest is for flux-2; --model is flux-1" in await bot.refusal(
        "a cat --preset newest --model flux-1"
    )


async def test_a_lora_for_another_model_is_refused_before_anything_is_queued(bot: Bot) -> None:
    assert await bot.refusal("a cat --lora ink --model flux-2") == (
        "ink is for FLUX.1; --model is flux-2. Choose flux-1 or another LoRA."
    )


# --- Who may ----------------------------------------------------------------------------------


async def test_a_name_that_leads_nowhere_has_near_ones(bot: Bot) -> None:
    await bot.publish("dreamy")
    assert "Did you mean dreamy?" in await bot.refusal("a cat --preset dremy")


async def test_a_shadowed_preset_is_said(bot: Bot) -> None:
    await bot.publish("dreamy", steps=9)
    viewer = replace(owner_viewer(), requester=ANN.id, community=HERE, roles=frozenset())
    await bot.registry.presets.create(viewer, "dreamy", PresetBody(steps=5), handle="ann")
    plan = await bot.plan("a cat --preset dreamy")
    assert plan.draft.request.num_inference_steps == 5
    assert "@bob/dreamy has the same name" in plan.notes[0]
    assert (await bot.request("a cat --preset @bob/dreamy")).num_inference_steps == 9


async def test_a_denied_hash_catches_presets_and_the_lora_itself(bot: Bot) -> None:
    await bot.publish("dreamy", loras=uses(INK))
    rule = Rule("deny", "lora", INK.sha256, Where.community(HERE), "Stolen.")
    manager = replace(owner_viewer(), community=HERE)
    await bot.registry.moderation.add_rule(manager, rule)
    assert "Stolen" in await bot.refusal("a cat --preset dreamy")
    assert "Stolen" in await bot.refusal("a cat --lora ink")
    await bot.plan("a cat --lora ink", place=Place(community="elsewhere"))


async def test_nsfw_is_for_age_restricted_places_and_real_people_need_the_operator(
    bot: Bot,
) -> None:
    assert "NSFW level is 3" in await bot.refusal("a cat --lora bold")
    await bot.plan("a cat --lora bold", place=Place(community=HERE, age_restricted=True))
    assert "real person" in await bot.refusal("a cat --lora somebody")


# --- Again ------------------------------------------------------------------------------------


async def test_again_uses_the_same_revision_and_the_prompt_as_it_was_typed(bot: Bot) -> None:
    await bot.publish("dreamy", template="{prompt}, in soft light", loras=uses(INK))
    job = await bot.taken("a cat --preset dreamy --seed 3")
    viewer = replace(owner_viewer(), requester="bob")
    preset = (await bot.registry.resolver.resolve(viewer, "@bob/dreamy")).revision.preset
    await bot.registry.presets.edit(viewer, preset.id, 1, PresetBody(steps=4))

    for wish in (wish_of(job), vary(job, Retry())):
        plan = await bot.plan(render(wish))
        assert plan.draft.request == job.request
        assert plan.draft.preset == "@bob/dreamy@1"
    again = vary(job, Again())
    assert (again.prompt, again.preset) == ("a cat", "@bob/dreamy@1")
    assert again.seed != 3


async def test_a_preset_s_lora_is_varied_by_naming_it(bot: Bot) -> None:
    await bot.publish("dreamy", loras=uses(INK, GLOW))
    job = await bot.taken("a cat --preset dreamy")
    wish = vary(job, LoraScale("glow", -0.1))
    assert wish.loras == (NamedLora("glow", 0.7),)
    assert loras(await bot.request(render(wish))) == [("ink", 0.8), ("glow", 0.7)]


async def test_a_job_that_was_erased_keeps_nothing_of_what_was_typed(bot: Bot) -> None:
    await bot.publish("dreamy")
    job = await bot.taken("a secret cat --preset dreamy")
    await bot.jobs.erase(job.id)
    erased = await bot.jobs.get(job.id)
    assert erased is not None
    assert erased.asked is None
    assert "secret" not in repr(erased)


async def test_uses_are_counted_when_a_job_was_taken_and_not_before(bot: Bot) -> None:
    await bot.publish("dreamy")
    await bot.plan("a cat --preset dreamy")
    [hit] = await bot.registry.search.search(owner_viewer(), "dreamy")
    assert hit.uses == 0
    await bot.taken("a cat --preset dreamy")
    [hit] = await bot.registry.search.search(owner_viewer(), "dreamy")
    assert hit.uses == 1


async def test_a_prompt_that_a_template_makes_too_long_is_refused_with_its_length(
    bot: Bot,
) -> None:
    long = "x" * 1900
    await bot.publish("dreamy", template=f"{{prompt}} {{prompt}} {long}")
    assert "shorten it so that they come to at most 5,000" in await bot.refusal(
        f"{'y' * 1900} --preset dreamy"
    )


async def test_an_unknown_variable_is_named_with_those_that_there_are(bot: Bot) -> None:
    await bot.publish("dreamy", template="{prompt} {mood}", variables=(MOODS,))
    assert await bot.refusal("a cat --preset dreamy --var mod=calm") == (
        "The preset has no variable mod; it has mood."
    )
    assert "mood cannot be wild; use calm or stormy." in await bot.refusal(
        "a cat --preset dreamy --var mood=wild"
    )
