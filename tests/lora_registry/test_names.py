"""Names and references."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_registry.errors import BadName
from lora_registry.names import (
    MAX_PARTS,
    RESERVED,
    Part,
    Reference,
    format_composition,
    parse_composition,
    parse_reference,
    parse_slug,
    skeleton,
    slugify,
)

SLUGS = st.from_regex(r"\A[a-z0-9][a-z0-9-]{1,38}\Z").filter(lambda name: name not in RESERVED)
DIGESTS = st.text(string.hexdigits.lower()[:16], min_size=8, max_size=64)
REFERENCES = st.one_of(
    st.builds(Reference, SLUGS, st.none() | SLUGS),
    st.builds(Reference, SLUGS, st.none() | SLUGS, rev=st.integers(1, 10**9 - 1)),
    st.builds(Reference, SLUGS, st.none() | SLUGS, digest=DIGESTS),
)
PARTS = st.builds(Part, REFERENCES, st.integers(0, 400).map(lambda hundredths: hundredths / 100))


@given(REFERENCES)
def test_a_reference_reads_back_as_it_was_written(reference: Reference) -> None:
    assert parse_reference(str(reference)) == reference
    assert parse_reference(f"  {str(reference).upper()} ") == reference


@given(st.lists(PARTS, min_size=1, max_size=MAX_PARTS).map(tuple))
def test_a_composition_reads_back_as_it_was_written(parts: tuple[Part, ...]) -> None:
    assert parse_composition(format_composition(parts)) == parts


@given(SLUGS)
def test_a_name_is_its_own_normal_form(name: str) -> None:
    assert parse_slug(name) == parse_slug(name.upper()) == name


@given(st.text(max_size=60))
def test_whatever_a_suggestion_is_made_of_it_is_a_name(text: str) -> None:
    name = slugify(text)
    assert name is None or parse_slug(name) == name


@given(st.text(max_size=60))
def test_a_text_is_refused_or_becomes_a_name_that_obeys_the_rule(text: str) -> None:
    try:
        name = parse_slug(text)
    except BadName:
        return
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{1,38}", name)
    assert name not in RESERVED


@given(SLUGS)
def test_the_skeleton_of_a_skeleton_is_itself(name: str) -> None:
    assert skeleton(skeleton(name)) == skeleton(name)


@given(SLUGS, st.data())
def test_a_look_alike_has_the_same_skeleton(name: str, data: st.DataObject) -> None:
    swaps = {"o": "0", "0": "o", "l": "1", "1": "i", "i": "l", "5": "s", "8": "b", "m": "rn"}
    at = data.draw(st.integers(0, len(name) - 1))
    other = name[:at] + swaps.get(name[at], name[at]) + name[at + 1 :]
    assert skeleton(other) == skeleton(name)
    assert skeleton(name.replace("-", "")) == skeleton(name)


def test_full_width_letters_are_the_letters_that_they_look_like() -> None:
    assert parse_slug("Ｄｒｅａｍｙ") == "dreamy"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Dreamy Ink!", "such as dreamy-ink"),
        ("dreаmy", "cannot be a name"),  # a Cyrillic а
        ("-ink", "such as ink"),
        ("x", "Use 2 to 39"),
        ("admin", "such as my-admin"),
    ],
)
def test_a_refused_name_comes_with_the_fix(text: str, sentence: str) -> None:
    with pytest.raises(BadName, match=sentence):
        parse_slug(text)


@pytest.mark.parametrize(
    "text", ["", "@anna", "@anna/", "dreamy@", "dreamy@0", "dreamy@sha256:12", "a/b", "dreamy@x"]
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(BadName):
        parse_reference(text)


@pytest.mark.parametrize("text", ["a1+b2+c3+d4+e5+f6", "ink:5", "ink:", "+ink", "ink+"])
def test_what_is_no_composition_is_refused(text: str) -> None:
    with pytest.raises(BadName):
        parse_composition(text)


def test_a_digest_of_digits_is_no_multiplier() -> None:
    [part] = parse_composition("ink@sha256:12345678")
    assert part == Part(Reference("ink", digest="12345678"))
    [part] = parse_composition("ink@sha256:12345678:0,5")
    assert part.multiplier == 0.5
