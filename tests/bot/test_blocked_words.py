"""Blocked words are found however they are typed, and never inside other words."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.blocked_words import canonical, find_blocked

FOUND = [
    ("dragon", "a red dragon"),
    ("dragon", "DRAGON"),
    ("Dragon", "dragon!"),
    ("dragon", "(dragon),"),
    ("dragon", "dragon's egg"),
    ("dragon", "red_dragon"),
    ("dragon", "dra\u200bgon"),
    ("dragon", "dra\u00adgon"),
    ("dragon", "d\u034fragon\ufe0f"),
    ("dragon", "ｄｒａｇｏｎ"),
    ("dragon", "𝐝𝐫𝐚𝐠𝐨𝐧"),
    ("straße", "STRASSE"),
    ("strasse", "Straße"),
    ("éclair", "e\u0301clair"),
    ("ΌΣΟΣ", "όσος"),
    ("red dragon", "a Red\n  dragon"),
    ("red dragon", "red-dragon"),
    ("red dragon", "red, dragon"),
    ("  red   dragon ", "red dragon"),
    ("18", "only 18+ please"),
    ("c++", "written in C++"),
    ("🌶", "a 🌶️ pepper"),
    ("👩‍🚀", "two👩‍🚀👩‍🚀"),
    ("龙", "一条红龙在飞"),
    ("红龙", "一条红龙在飞"),
    ("ドラゴン", "赤いドラゴンです"),
    ("มังกร", "ภาพมังกรสีแดง"),
    ("용", "용을 그려줘"),
    ("हिन्दी", "यह हिन्दी है"),
    ("дракон", "Красный ДРАКОН"),
    ("تنين", "صورة تنين أحمر"),
]

NOT_FOUND = [
    ("dragon", ""),
    ("dragon", "dragonfly"),
    ("dragon", "snapdragon"),
    ("dragon", "dragon5"),
    ("ass", "a glass of grass, classic"),
    ("red dragon", "red green dragon"),
    ("red dragon", "dragon red"),
    ("red dragon", "colored dragon"),
    ("red dragon", "red dragons"),
    ("हिन्द", "यह हिन्दी है"),
    ("eclair", "éclair"),
    ("红龙", "红色的龙"),
]


@pytest.mark.parametrize(("phrase", "text"), FOUND)
def test_a_phrase_is_found(phrase: str, text: str) -> None:
    assert find_blocked(frozenset({phrase}), text) == (phrase,)


@pytest.mark.parametrize(("phrase", "text"), NOT_FOUND)
def test_a_phrase_is_not_found_in_other_words(phrase: str, text: str) -> None:
    assert find_blocked(frozenset({phrase}), text) == ()


def test_every_phrase_is_named_once_as_its_owner_wrote_it() -> None:
    phrases = frozenset({"Red Dragon", "dragon", "dragon egg", "knight"})
    found = find_blocked(phrases, "a red dragon, another DRAGON and a dragon egg")
    assert found[0] in {"Red Dragon", "dragon"}
    assert sorted(found) == ["Red Dragon", "dragon", "dragon egg"]


def test_without_a_list_nothing_is_found() -> None:
    assert find_blocked(frozenset(), "anything") == ()


def test_a_changed_list_is_used_at_once() -> None:
    assert find_blocked(frozenset({"dragon"}), "a dragon and a knight") == ("dragon",)
    assert find_blocked(frozenset({"knight"}), "a dragon and a knight") == ("knight",)


anything = st.text(st.characters())
searchable = anything.filter(lambda phrase: canonical(phrase) != "")
word = st.text("abcdefghijklmnopqrstuvwxyzäöüßéñ", min_size=1, max_size=8)


@given(st.frozensets(searchable, max_size=5), anything)
@example(frozenset({"\x00a"}), "\x00A\x00")
@example(frozenset({"a"}), "\ud800a")
def test_no_text_and_no_list_make_it_fail(phrases: frozenset[str], text: str) -> None:
    assert set(find_blocked(phrases, text)) <= phrases


@given(searchable, anything, anything)
def test_a_phrase_between_any_words_is_found(phrase: str, before: str, after: str) -> None:
    assert find_blocked(frozenset({phrase}), f"{before} \n{phrase}, {after}") == (phrase,)


@given(word, word, st.booleans())
def test_a_longer_word_is_another_word(phrase: str, more: str, in_front: bool) -> None:
    text = more + phrase if in_front else phrase + more
    assert find_blocked(frozenset({phrase}), text) == ()


@given(st.lists(word, min_size=1, max_size=6), st.lists(word, min_size=1, max_size=2))
def test_words_are_found_exactly_where_they_stand_in_a_row(
    text: list[str], phrase: list[str]
) -> None:
    def plain(words: list[str]) -> list[str]:
        return [word.replace("ß", "ss") for word in words]

    rows = [plain(text)[i : i + len(phrase)] for i in range(len(text))]
    found = find_blocked(frozenset({" ".join(phrase)}), "  ".join(text))
    assert bool(found) == (plain(phrase) in rows)


@given(anything, st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
def test_the_same_text_in_another_normal_form_is_the_same(text: str, form: str) -> None:
    normalize = unicodedata.normalize
    assert canonical(normalize(form, text)) == canonical(text)  # type: ignore[arg-type]


@given(anything)
def test_the_canonical_form_stays_as_it_is(text: str) -> None:
    assert canonical(canonical(text)) == canonical(text)
