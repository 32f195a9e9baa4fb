"""A preset as texts in a form, and back."""

from collections.abc import AsyncIterator
from dataclasses import fields, replace
from pathlib import Path

import pytest

from bot.commands import preset_text, presets
from bot.commands.preset_text import PresetText, body_of, text_of
from bot.registry import Registry
from lora_registry.errors import EditConflict, Refused, RegistryError, UnknownLora
from lora_registry.models import (
    ChoiceVariable,
    FixedSeed,
    NumberVariable,
    PictureSize,
    PresetBody,
    PresetLora,
    TextVariable,
    TriggerSet,
    UserSeed,
)
from tests.bot.registries import ANNA, BOB, opened
from tests.lora_registry import world

INK = world.lora("ink", triggers=(TriggerSet(name="wash", words=("wash",)),))
OIL = world.lora("oil")
OTHER = world.lora("other").model_copy(update={"name": "ink"})


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    async with opened(tmp_path) as registry:
        for record in (INK, OIL):
            await registry.loras.put(record, by="olga")
        yield registry


FULL = PresetBody(
    model="flux-1",
    title="Soft light",
    description="For evenings.\nAnd mornings.",
    loras=(
        world.using(INK, 0.7, triggers="wash", required=False),
        world.using(OIL, -1.25),
    ),
    template="{prompt} in {mood} {place} with {waves} of {{foam}} {amount} {odd}",
    variables=(
        ChoiceVariable(name="mood", choices=("calm", "stormy"), default="stormy"),
        TextVariable(name="place", default="the sea, size matters", longest=40),
        NumberVariable(name="waves", low=1, high=5, default=3, whole=True),
        NumberVariable(name="amount", low=0, high=2.5, default=1),
        ChoiceVariable(name="odd", choices=("a, b", "c=d"), default="a, b"),
    ),
    size=PictureSize(width=640, height=512),
    steps=20,
    guidance=3.5,
    speed="none",
    seed=FixedSeed(seed=2**60 + 1),
    count=2,
    nsfw=1,
    licence="CC BY 4.0, steps included",
    tags=("light", "soft"),
)


@pytest.mark.parametrize(
    "body",
    [
        PresetBody(),
        FULL,
        PresetBody(seed=UserSeed(), model="flux-2", loras=(world.using(OIL, 6.103515625e-05),)),
        PresetBody(
            loras=(
                PresetLora(sha256=INK.sha256, name="same"),
                PresetLora(sha256=OIL.sha256, name="same", scale=0.5),
            )
        ),
        PresetBody(
            template="{prompt} {word}",
            variables=(
                ChoiceVariable(
                    name="word",
                    choices=tuple(f"{n}{'x' * 70}" for n in range(9)),
                    default="0" + "x" * 70,
                ),
            ),
        ),
    ],
)
async def test_texts_that_nobody_changes_are_the_same_preset(
    registry: Registry, body: PresetBody
) -> None:
    text = text_of(body)
    assert await body_of(registry, text, body) == body
    assert len(text.settings) <= 4000


async def test_what_is_taken_out_of_the_texts_is_taken_out_of_the_preset(
    registry: Registry,
) -> None:
    assert await body_of(registry, PresetText(), FULL) == PresetBody()
    less = await body_of(registry, PresetText(loras="ink:0, oil"), FULL)
    assert [(one.name, one.scale) for one in less.loras] == [("oil", 1.0)]


async def test_settings_are_read_from_lines_and_from_one_line(registry: Registry) -> None:
    one = await body_of(
        registry,
        PresetText(
            settings="size square, Steps=9; guidance 2,5, model: FLUX-2, images 2, seed user"
        ),
    )
    lines = "size: square\nsteps: 9\n\nguidance 2.5\nmodel flux-2\nimages: 2\nseed: user"
    assert one == await body_of(registry, PresetText(settings=lines))
    assert (one.steps, one.guidance, one.model, one.count) == (9, 2.5, "flux-2", 2)
    assert one.size == PictureSize(width=512, height=512)


async def test_loras_are_read_with_commas_lines_and_decimal_commas(registry: Registry) -> None:
    body = await body_of(registry, PresetText(loras="Ink:0,5:wash, oil:.25\n"))
    found = [(one.name, one.scale, one.triggers) for one in body.loras]
    assert found == [("ink", 0.5, "wash"), ("oil", 0.25, None)]


async def test_a_lora_that_was_renamed_meanwhile_is_still_meant_by_its_old_name(
    registry: Registry,
) -> None:
    before = PresetBody(loras=(world.using(INK, 0.7),))
    await registry.loras.put(INK.model_copy(update={"name": "old-ink"}), by="olga")
    await registry.loras.put(OTHER, by="olga")
    changed = replace(text_of(before), title="New")
    assert (await body_of(registry, changed, before)).loras == before.loras


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (PresetText(settings="stepz 5"), "“stepz 5” is no setting. Begin a line with model, size"),
        (PresetText(settings="7"), "“7” is no setting."),
        (PresetText(settings="steps"), "steps has no value; write one, or leave it out."),
        (PresetText(settings="steps 5, steps 6"), "steps is said twice; leave one of them out."),
        (PresetText(settings="steps many"), "steps is “many”; use a whole number."),
        (PresetText(settings="steps 500"), "steps"),
        (PresetText(settings="guidance high"), "guidance is “high”; use a number such as 3.5."),
        (PresetText(settings="size huge"), "size is “huge”"),
        (PresetText(settings="seed soon"), "seed is “soon”; use a whole number, random or user."),
        (PresetText(settings="model flux-9"), "model"),
        (PresetText(settings="speed warp"), "speed"),
        (PresetText(settings="nsfw 9"), "nsfw is 9; use 0 to 4."),
        (PresetText(settings="variable mood"), "variable is “mood”. Write it as mood:choice:"),
        (PresetText(settings="tags a b"), "“a b” cannot be a name."),
        (PresetText(loras="ink:0.7:wash:more"), "A LoRA is “ink:0.7:wash:more”; write name"),
        (PresetText(loras="ink:9"), "the scale of LoRA 1 is 9.0; use -4 to 4."),
        (PresetText(loras="nobody"), "There is no LoRA nobody here."),
        (PresetText(loras="ink, ink:0.5"), "Name every LoRA once."),
        (PresetText(template="no blank"), "The template must hold {prompt}."),
        (PresetText(template="{prompt} {mood}"), "Declare mood as a variable"),
    ],
)
async def test_what_cannot_be_read_is_said_in_a_sentence(
    registry: Registry, text: PresetText, sentence: str
) -> None:
    with pytest.raises(RegistryError) as refused:
        await body_of(registry, text)
    assert sentence in str(refused.value)
    assert "--" not in str(refused.value)
    written = [one.name for one in fields(text) if getattr(text, one.name) != one.default]
    assert refused.value.part == written[0]


async def test_a_form_never_overwrites_what_was_changed_while_it_was_open(
    registry: Registry,
) -> None:
    made = await preset_text.make(registry, ANNA, "dreamy", PresetText("One"), handle="anna")
    preset_id = made.preset.id
    second = await preset_text.revise(registry, ANNA, preset_id, 1, PresetText("Two"))
    assert (second.rev, second.body.title) == (2, "Two")
    with pytest.raises(EditConflict) as conflict:
        await preset_text.revise(registry, ANNA, preset_id, 1, PresetText("Three"))
    assert conflict.value.head == 2
    again = await preset_text.revise(registry, ANNA, preset_id, 1, PresetText("Two"))
    assert again == second
    same = await preset_text.revise(registry, ANNA, preset_id, 2, PresetText("Two"))
    assert same == second


async def test_only_its_owner_changes_a_preset_with_a_form(registry: Registry) -> None:
    made = await preset_text.make(registry, ANNA, "dreamy", PresetText(), handle="anna")
    with pytest.raises(Refused, match="no longer there, or not for you to see"):
        await preset_text.revise(registry, BOB, made.preset.id, 1, PresetText("Mine"))
    await presets.delete(registry, ANNA, made)
    with pytest.raises(Refused, match="no longer there"):
        await preset_text.revise(registry, ANNA, made.preset.id, 1, PresetText("Mine"))
    with pytest.raises(UnknownLora):
        await preset_text.make(registry, ANNA, "other", PresetText(loras="no"), handle="anna")
