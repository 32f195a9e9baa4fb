"""Presets, LoRAs and a prompt become one request, by one rule."""

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_registry.compose import Asked, Composition, UsedPreset, compose
from lora_registry.errors import BadComposition
from lora_registry.models import (
    ChoiceVariable,
    FixedSeed,
    NumberVariable,
    PictureSize,
    PresetBody,
    TextVariable,
    TriggerSet,
)
from lora_registry.weights import Family
from tests.lora_registry.world import lora, using

NAMES: Final = ("ghibli", "ink", "glow", "pixel", "oil")
LORAS: Final = {name: lora(name) for name in NAMES}
RECORDS: Final = {record.sha256: record for record in LORAS.values()}
FLUX_2: Final = {
    name: lora(f"{name}-two", family=Family.FLUX_2_DEV) for name in ("aa", "bb", "cc", "dd")
}


def preset(name: str, *, times: float = 1.0, **body: Any) -> UsedPreset:
    return UsedPreset(name, PresetBody(**body), times)


def scales(composition: Composition) -> dict[str, float]:
    return {one.name: one.scale for one in composition.loras}


ASKED = st.builds(
    Asked,
    st.sampled_from(list(LORAS.values())),
    st.none() | st.integers(-40, 40).map(lambda tenths: tenths / 10),
)
PRESETS = st.lists(
    st.builds(
        preset,
        st.just("dreamy"),
        times=st.integers(0, 10).map(lambda tenths: tenths / 10),
        loras=st.lists(
            st.builds(
                using,
                st.sampled_from(list(LORAS.values())),
                st.integers(-20, 20).map(lambda tenths: tenths / 10),
            ),
            max_size=3,
            unique_by=lambda one: one.sha256,
        ).map(tuple),
        steps=st.none() | st.integers(1, 50),
    ),
    max_size=3,
)
MANY = st.lists(ASKED, max_size=4)
PROMPTS = st.text("ab cd,ghibli style INK", min_size=1, max_size=30)


@given(PROMPTS, PRESETS, MANY, MANY)
def test_what_is_said_last_wins_and_stands_where_it_was_said_first(
    prompt: str, presets: list[UsedPreset], inline: list[Asked], explicit: list[Asked]
) -> None:
    said: dict[str, float] = {}
    for used in presets:
        for one in used.body.loras:
            said[one.name] = round(one.scale * used.multiplier, 6)
    for asked in (*inline, *explicit):
        said[asked.record.name] = (
            said.get(asked.record.name, 1.0) if asked.scale is None else asked.scale
        )
    result = compose(prompt, presets=presets, inline=inline, explicit=explicit, records=RECORDS)
    assert list(scales(result).items()) == [item for item in said.items() if item[1] != 0]
    steps = [used.body.steps for used in presets if used.body.steps is not None]
    assert result.steps == (steps[-1] if steps else None)


@given(PROMPTS, PRESETS, MANY)
def test_composing_the_result_once_more_changes_nothing(
    prompt: str, presets: list[UsedPreset], explicit: list[Asked]
) -> None:
    once = compose(prompt, presets=presets, explicit=explicit, records=RECORDS)
    again = compose(
        once.prompt, explicit=[Asked(RECORDS[one.sha256], one.scale) for one in once.loras]
    )
    assert again.prompt == once.prompt
    assert again.added == ()
    assert scales(again) == scales(once)


@given(PROMPTS, PRESETS, MANY)
def test_every_lora_stands_once_within_bounds_and_its_words_are_in_the_prompt(
    prompt: str, presets: list[UsedPreset], explicit: list[Asked]
) -> None:
    result = compose(prompt, presets=presets, explicit=explicit, records=RECORDS)
    assert len(scales(result)) == len(result.loras)
    assert all(-4 <= one.scale <= 4 and one.scale != 0 for one in result.loras)
    assert all(f"{one.name} style" in result.prompt.lower() for one in result.loras)
    assert result.prompt.startswith(prompt)
    assert len(set(result.added)) == len(result.added)


def test_explicit_beats_inline_beats_preset() -> None:
    dreamy = preset("dreamy", loras=tuple(using(LORAS[n], 0.5) for n in ("ghibli", "ink", "glow")))
    result = compose(
        "a cat",
        presets=[dreamy],
        inline=[Asked(LORAS["ink"], 0.7), Asked(LORAS["glow"], 0.7)],
        explicit=[Asked(LORAS["glow"], 0.9), Asked(LORAS["pixel"])],
        records=RECORDS,
    )
    assert scales(result) == {"ghibli": 0.5, "ink": 0.7, "glow": 0.9, "pixel": 1.0}


def test_a_multiplier_scales_the_loras_of_its_preset_alone() -> None:
    one = preset("dreamy", loras=(using(LORAS["ghibli"], 0.8),))
    two = preset("inky", times=0.6, loras=(using(LORAS["ink"], 0.8), using(LORAS["ghibli"], 1.0)))
    result = compose("a cat", presets=[one, two], records=RECORDS)
    assert scales(result) == {"ghibli": 0.6, "ink": 0.48}


def test_the_scale_0_takes_a_lora_and_its_words_out() -> None:
    dreamy = preset("dreamy", loras=(using(LORAS["ghibli"]),))
    result = compose(
        "a cat", presets=[dreamy], explicit=[Asked(LORAS["ghibli"], 0.0)], records=RECORDS
    )
    assert (result.loras, result.prompt) == ((), "a cat")


@pytest.mark.parametrize(
    ("prompt", "added"),
    [
        ("a cat", ("ghibli style",)),
        ("a cat in GHIBLI  Style", ()),
        ("ghibli style, a cat", ()),
        ("a cat in antighibli style", ("ghibli style",)),
        ("ghibli styled cat", ("ghibli style",)),
    ],
)
def test_trigger_words_are_added_where_the_prompt_lacks_them(
    prompt: str, added: tuple[str, ...]
) -> None:
    result = compose(prompt, explicit=[Asked(LORAS["ghibli"])])
    assert result.added == added
    assert result.prompt == ", ".join((prompt, *added))


def test_the_chosen_trigger_set_is_the_one_that_is_added() -> None:
    sets = (TriggerSet(name="day", words=("sunny",)), TriggerSet(name="night", words=("dark",)))
    record = lora("moods", triggers=sets)
    dreamy = preset("dreamy", loras=(using(record, triggers="night"),))
    records = {record.sha256: record}
    assert compose("a cat", presets=[dreamy], records=records).added == ("dark",)
    for chosen, added in (("day", ("sunny",)), ("none", ()), (None, ("dark",))):
        asked = [Asked(record, triggers=chosen)]
        result = compose("a cat", presets=[dreamy], explicit=asked, records=records)
        assert result.added == added
    with pytest.raises(BadComposition, match="no trigger set dusk; use day, night or none"):
        compose("a cat", explicit=[Asked(record, triggers="dusk")])


def test_templates_wrap_each_other_and_take_variables() -> None:
    dreamy = preset(
        "dreamy",
        template="{prompt}, {mood} light, {{raw}}",
        variables=(ChoiceVariable(name="mood", choices=("Soft", "harsh"), default="Soft"),),
    )
    inky = preset(
        "inky",
        template="ink drawing of {prompt}, {age} years old, {extra}",
        variables=(
            NumberVariable(name="age", low=1, high=99, default=7, whole=True),
            TextVariable(name="extra", default="fine lines", longest=12),
        ),
    )
    both = [dreamy, inky]
    assert compose("a {cat}", presets=both).prompt == (
        "ink drawing of a {cat}, Soft light, {raw}, 7 years old, fine lines"
    )
    filled = compose("x", presets=both, values={"mood": "HARSH", "age": "30", "extra": "{mood}"})
    assert filled.prompt == "ink drawing of x, harsh light, {raw}, 30 years old, {mood}"
    for values, sentence in (
        ({"mood": "calm"}, "mood cannot be calm; use Soft or harsh"),
        ({"age": "1.5"}, "use a whole number from 1 to 99"),
        ({"age": "old"}, "age cannot be old"),
        ({"age": "nan"}, "age cannot be nan"),
        ({"extra": "x" * 13}, "shorten it to 12 characters"),
        ({"tone": "x"}, "no variable tone; it has age, extra or mood"),
    ):
        with pytest.raises(BadComposition, match=sentence):
            compose("x", presets=both, values=values)


def test_the_last_preset_that_says_something_sets_it() -> None:
    one = preset("one", steps=20, size=PictureSize(width=512, height=512), nsfw=2, licence="mit")
    two = preset("two", steps=30, seed=FixedSeed(seed=7), speed="regular", licence="mit")
    three = preset("three", guidance=3.5, count=2)
    result = compose("a cat", presets=[one, two, three])
    assert (result.steps, result.guidance, result.count, result.speed) == (30, 3.5, 2, "regular")
    assert result.size == PictureSize(width=512, height=512)
    assert result.seed == FixedSeed(seed=7)
    assert (result.nsfw, result.licences) == (2, ("mit",))


def test_levels_and_licences_of_loras_count_too() -> None:
    record = lora("ink", nsfw=3, licence="cc-by-nc-4.0")
    result = compose("a cat", explicit=[Asked(record)])
    assert (result.nsfw, result.licences) == (3, ("cc-by-nc-4.0",))


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        (
            {"explicit": [Asked(LORAS["ghibli"])], "model": "flux-2"},
            r"ghibli is for FLUX\.1; --model is flux-2\. Choose flux-1 or another LoRA\.",
        ),
        (
            {"presets": [preset("dreamy")], "model": "flux-2"},
            "dreamy is for flux-1; --model is flux-2",
        ),
        (
            {"presets": [preset("dreamy"), preset("sharp", model="flux-2")]},
            "dreamy is for flux-1 and sharp for flux-2; they do not go together",
        ),
        (
            {"explicit": [Asked(one) for one in FLUX_2.values()], "model": "flux-2"},
            "flux-2 takes at most 3 LoRAs, and these are 4: aa-two, bb-two, cc-two, dd-two",
        ),
        (
            {"explicit": [Asked(FLUX_2["aa"], -1.0)], "model": "flux-2"},
            "The scale of aa-two comes to -1; flux-2 takes 0 to 4",
        ),
        (
            {"presets": [preset("dreamy", times=4, loras=(using(LORAS["ink"], 2.0),))]},
            "The scale of ink comes to 8; flux-1 takes -4 to 4",
        ),
        (
            {"presets": [preset("dreamy", loras=(using(lora("gone")),))]},
            "dreamy needs the LoRA gone, which is not here",
        ),
        (
            {"explicit": [Asked(lora("old", family=Family.SDXL))]},
            "old is for Stable Diffusion XL; the model is flux-1. Choose another LoRA",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_with_the_fix(
    what: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(BadComposition, match=sentence):
        compose("a cat", **{"records": RECORDS, **what})


def test_a_fourth_lora_of_flux_2_may_be_taken_out() -> None:
    asked = [*(Asked(one) for one in FLUX_2.values()), Asked(FLUX_2["aa"], 0.0)]
    assert len(compose("a cat", explicit=asked, model="flux-2").loras) == 3


def test_a_lora_that_is_not_required_and_not_here_is_left_out_and_told() -> None:
    dreamy = preset("dreamy", loras=(using(lora("gone"), required=False), using(LORAS["ink"])))
    result = compose("a cat", presets=[dreamy], records=RECORDS)
    assert (scales(result), result.missing) == ({"ink": 1.0}, ("gone",))


def test_loras_must_fit_the_weights_that_answer_for_a_model() -> None:
    asked = [Asked(LORAS["ghibli"])]
    result = compose("a cat", explicit=asked, model="flux-2", architecture="flux-1")
    assert (result.model, scales(result)) == ("flux-2", {"ghibli": 1.0})
    with pytest.raises(BadComposition, match="the model that answers for flux-2 here is flux-1"):
        compose("x", explicit=[Asked(FLUX_2["aa"])], model="flux-2", architecture="flux-1")
