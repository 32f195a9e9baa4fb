"""Bodies of presets: what they refuse, and that equal ones have equal hashes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lora_registry.models import (
    ChoiceVariable,
    CivitaiSource,
    FalSource,
    FixedSeed,
    HttpsSource,
    HuggingFaceSource,
    LocalSource,
    LoraRecord,
    NumberVariable,
    PictureSize,
    PresetBody,
    Source,
    TextVariable,
    TriggerSet,
    fill_blanks,
    parse_source,
)
from tests.lora_registry.world import lora, using

PLAIN = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cf")), max_size=40)
BODIES = st.builds(
    PresetBody,
    title=PLAIN,
    description=PLAIN,
    loras=st.lists(
        st.builds(
            using,
            st.sampled_from([lora("ghibli"), lora("ink"), lora("glow")]),
            st.floats(-4, 4, allow_nan=False),
        ),
        max_size=3,
        unique_by=lambda one: one.sha256,
    ).map(tuple),
    size=st.none() | st.builds(PictureSize, width=st.integers(1, 2048), height=st.just(512)),
    steps=st.none() | st.integers(1, 50),
    guidance=st.none() | st.floats(0, 30),
    seed=st.builds(FixedSeed, seed=st.integers(0, 2**63 - 4)),
    nsfw=st.integers(0, 4),
    tags=st.lists(st.sampled_from(["soft", "ink", "night", "day"]), max_size=6).map(tuple),
)


@given(BODIES)
def test_a_body_survives_its_canonical_form_and_keeps_its_hash(body: PresetBody) -> None:
    again = PresetBody.model_validate_json(body.canonical())
    assert again == body
    assert again.content_hash() == body.content_hash()
    assert len(body.content_hash()) == 64


@given(BODIES, BODIES)
def test_bodies_have_one_hash_exactly_when_they_are_equal(
    one: PresetBody, other: PresetBody
) -> None:
    assert (one.content_hash() == other.content_hash()) == (one == other)


def test_the_canonical_form_follows_rfc_8785() -> None:
    body = PresetBody(title="é", guidance=3.0, loras=(using(lora("ink"), 1e-7),))
    text = body.canonical().decode()
    assert text.startswith('{"count":null,"description":"","examples":[],"guidance":3,"licence"')
    assert '"scale":1e-7,' in text
    assert '"title":"é"' in text


def test_tags_have_no_order_and_no_doubles() -> None:
    one = PresetBody(tags=("soft", "ink", "soft"))
    assert one.content_hash() == PresetBody(tags=("ink", "soft")).content_hash()


def test_the_order_of_loras_counts() -> None:
    ghibli, ink = using(lora("ghibli")), using(lora("ink"))
    assert (
        PresetBody(loras=(ghibli, ink)).content_hash()
        != PresetBody(loras=(ink, ghibli)).content_hash()
    )


def test_a_seed_beyond_what_json_keeps_is_exact() -> None:
    body = PresetBody(seed=FixedSeed(seed=2**63 - 4))
    assert b'"9223372036854775804"' in body.canonical()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"template": "no blank"}, "must hold {prompt}"),
        ({"template": "{prompt} {mood}"}, "declare mood as a variable"),
        ({"template": "{prompt} {"}, "write {{ for a brace"),
        ({"variables": (TextVariable(name="mood"),)}, "write {mood} into the template"),
        ({"loras": (using(lora("ink")), using(lora("ink"), 0.5))}, "name every LoRA once"),
        (
            {"model": "flux-2", "loras": tuple(using(lora(n)) for n in ("aa", "bb", "cc", "dd"))},
            "at most 3 LoRAs",
        ),
        ({"model": "flux-2", "loras": (using(lora("ink"), -1.0),)}, "no negative scale"),
        ({"title": "up‮side"}, "remove the character U+202E at position 3"),
        ({"sampler": "euler"}, "Extra inputs"),
    ],
)
def test_a_body_refuses(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence.replace("{", r"\{").replace("+", r"\+")):
        PresetBody(**fields)


@pytest.mark.parametrize(
    "variable",
    [
        lambda: TextVariable(name="mood", default="too long", longest=3),
        lambda: ChoiceVariable(name="mood", choices=("calm", "wild"), default="dull"),
        lambda: NumberVariable(name="age", low=1, high=9, default=10),
        lambda: NumberVariable(name="age", low=1, high=9, default=1.5, whole=True),
        lambda: TextVariable(name="Mood"),
    ],
)
def test_a_variable_refuses_a_default_or_name_that_does_not_fit(variable: Any) -> None:
    with pytest.raises(ValidationError):
        variable()


@given(PLAIN, PLAIN)
def test_a_value_with_braces_fills_no_other_blank(prompt: str, mood: str) -> None:
    filled = fill_blanks("{prompt}|{mood}|{{x}}", {"prompt": f"{{mood}}{prompt}", "mood": mood})
    assert filled == f"{{mood}}{prompt}|{mood}|{{x}}"


@pytest.mark.parametrize(
    "source",
    [
        HuggingFaceSource(repo="owner/some.lora", commit="a" * 40, file="x/lora.safetensors"),
        CivitaiSource(version=7, model=3),
        HttpsSource(url="https://example.org/lora.safetensors"),
        LocalSource(path="styles/ink.safetensors"),
        FalSource(url="https://files.example.org/lora", config_url="https://files.example.org/c"),
    ],
)
def test_a_source_survives_its_own_json(source: Source) -> None:
    assert parse_source(source.model_dump_json()) == source


@pytest.mark.parametrize("path", ["../out.safetensors", "/etc/passwd", "a/../../b", "a\\b"])
def test_a_local_source_stays_inside_its_folder(path: str) -> None:
    with pytest.raises(ValidationError, match="inside the LoRA folder"):
        LocalSource(path=path)


def test_the_first_trigger_set_holds_until_another_is_chosen() -> None:
    sets = (TriggerSet(name="day", words=("sunny",)), TriggerSet(name="night", words=("dark",)))
    record = lora("ink", triggers=sets)
    assert record.words() == ("sunny",)
    assert record.words("night") == ("dark",)
    assert record.words("none") == ()
    assert LoraRecord.model_validate_json(record.model_dump_json()) == record


def test_no_trigger_set_is_called_none_and_no_two_have_one_name() -> None:
    with pytest.raises(ValidationError, match="another name than none"):
        TriggerSet(name="none", words=("x",))
    with pytest.raises(ValidationError, match="a name of its own"):
        lora("ink", triggers=(TriggerSet(words=("x",)), TriggerSet(words=("y",))))
