"""Finding presets while somebody types."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lora_registry.models import PresetBody
from lora_registry.permissions import PUBLIC, PlaceKind, Rule
from lora_registry.search import MOST, one_slip_away
from lora_registry.store import Draft
from lora_registry.wordlist import tokens
from tests.lora_registry.world import (
    ANNA,
    AWAY,
    BOB,
    INDEXES,
    OPERATOR,
    Registry,
    lora,
    registry,
    using,
)

NAMES = {
    "dreamy": 3,
    "dreamland": 9,
    "daydream-oil": 5,
    "studio-ghibli": 8,
    "ink-wash": 1,
    "night-ink": 2,
}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Registry]:
    async with registry(tmp_path) as world:
        ghibli = await world.loras.put(lora("ghibli-v2"), by="olga")
        drafts = [
            Draft("instance", "atelier", name, PresetBody(title=f"{name} preset"), (PUBLIC,))
            for name in NAMES
        ]
        drafts[3] = Draft(
            "zoe",
            "zoe",
            "studio-ghibli",
            PresetBody(title="Châteaux", tags=("anime",), loras=(using(ghibli),)),
            (PUBLIC,),
        )
        ids = await world.presets.install(OPERATOR, drafts)
        await world.people.count_uses(dict(zip(ids, NAMES.values(), strict=True)))
        yield world


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ["dreamland", "studio-ghibli", "daydream-oil", "dreamy", "night-ink", "ink-wash"]),
        ("d", ["dreamland", "daydream-oil", "dreamy"]),
        ("dr", ["dreamland", "dreamy", "daydream-oil"][:2]),
        ("dream", ["dreamland", "dreamy", "daydream-oil"]),
        ("DREAMY", ["dreamy"]),
        ("ink", ["ink-wash", "night-ink"]),
        ("ink n", ["night-ink"]),
        ("ydre", ["daydream-oil"]),
        ("io-ghib", ["studio-ghibli"]),
        ("anime", ["studio-ghibli"]),
        ("chateau", ["studio-ghibli"]),
        ("ghibli-v", ["studio-ghibli"]),
        ("zoe", ["studio-ghibli"]),
        ("@zoe/st", ["studio-ghibli"]),
        ("draemy", ["dreamy"]),
        ("drexmy", ["dreamy"]),
        ("inkk wash", ["ink-wash"]),
        ("studoi gibli", ["studio-ghibli"]),
        ("qqqq", []),
        (
            "“\"'*:(",
            ["dreamland", "studio-ghibli", "daydream-oil", "dreamy", "night-ink", "ink-wash"],
        ),
    ],
)
async def test_what_is_typed_finds(text: str, names: list[str], world: Registry) -> None:
    assert await world.found(BOB, text) == names


@pytest.mark.parametrize(
    "text", ['" OR 1', "dre* AND", "{here}", "a'; DROP TABLE preset", "\0", "💥"]
)
async def test_odd_text_is_only_text(text: str, world: Registry) -> None:
    assert await world.found(BOB, text) is not None
    assert await world.found(BOB, "dreamy") == ["dreamy"]


async def test_a_hit_says_what_to_type_and_what_it_is(world: Registry) -> None:
    own = await world.presets.create(BOB, "dreamy", PresetBody(title="mine", nsfw=2))
    hits = {hit.preset: hit for hit in await world.search.search(BOB, "dreamy")}
    mine = hits.pop(own.preset.id)
    [other] = hits.values()
    assert (mine.name, mine.place, mine.nsfw) == ("dreamy", PlaceKind.PERSON, 2)
    assert (other.name, other.place, other.uses) == ("@atelier/dreamy", PlaceKind.PUBLIC, 3)
    for hit in (mine, other):
        found = await world.resolver.resolve(BOB, hit.name)
        assert (found.revision.preset.id, found.revision.rev) == (hit.preset, hit.rev)


async def test_a_preset_at_several_places_is_one_hit_at_the_nearest(world: Registry) -> None:
    made = await world.shared("foggy", PUBLIC)
    hits = await world.search.search(ANNA, "foggy")
    assert [(hit.preset, hit.place) for hit in hits] == [(made.preset.id, PlaceKind.PERSON)]


async def test_an_answer_is_never_longer_than_it_may_be(world: Registry) -> None:
    drafts = [
        Draft("bob", "bob", f"many-{number}", PresetBody(), (PUBLIC,)) for number in range(60)
    ]
    await world.presets.install(OPERATOR, drafts)
    assert len(await world.found(AWAY, "many")) == len(await world.found(AWAY, "")) == MOST
    assert len(await world.search.search(AWAY, "many", 3)) == 3
    assert len(await world.search.search(AWAY, "many", 1000)) == MOST


async def test_words_of_what_one_cannot_see_find_nothing_and_suggest_nothing(
    world: Registry,
) -> None:
    await world.presets.create(ANNA, "topsecret", PresetBody(tags=("classified",)))
    for text in ("topsecret", "top", "secre", "topsecrte", "classified"):
        assert await world.found(BOB, text) == []
    assert await world.search.near(BOB, "topsecre") == ()
    assert await world.search.near(ANNA, "topsecre") == ("topsecret",)


async def test_denied_ones_do_not_use_up_the_answer(world: Registry) -> None:
    drafts = [
        Draft("spammer", "spammer", f"dream-{n}", PresetBody(), (PUBLIC,), uses=100 + n)
        for n in range(50)
    ]
    await world.presets.install(OPERATOR, drafts)
    await world.moderation.add_rule(OPERATOR, Rule("deny", "owner", "spammer", PUBLIC))
    assert await world.found(BOB, "dream") == ["dreamland", "dreamy", "daydream-oil"]


async def test_the_words_of_a_new_revision_replace_those_of_the_old(world: Registry) -> None:
    made = await world.presets.create(BOB, "foggy", PresetBody(tags=("zebra",)))
    await world.presets.edit(BOB, made.preset.id, 1, PresetBody(tags=("quartz",)))
    assert await world.found(BOB, "zebra") == []
    assert await world.found(BOB, "quartz") == ["foggy"]
    await world.presets.rename(BOB, made.preset.id, "misty")
    assert await world.found(BOB, "foggy") == []
    assert await world.found(BOB, "mist") == ["misty"]


async def test_near_names_are_the_closest_first_and_at_most_five(world: Registry) -> None:
    assert (await world.search.near(BOB, "dreamlan"))[0] == "dreamland"
    assert len(await world.search.near(BOB, "dreamyy")) <= 5
    assert await world.search.near(BOB, "") == ()


async def test_the_indexes_agree_with_the_listings(world: Registry) -> None:
    made = await world.presets.create(BOB, "foggy", PresetBody(tags=("fog",)))
    await world.presets.edit(BOB, made.preset.id, 1, PresetBody(title="thick"))
    await world.presets.delete(BOB, made.preset.id)
    async with world.database.write() as sql:
        for index in INDEXES:
            await sql.execute(f"INSERT INTO {index} ({index}) VALUES ('integrity-check')")


@given(st.text("abcdefg0", min_size=3, max_size=8), st.data())
def test_every_single_slip_is_one_slip_away(word: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(word) - 2))
    letter = data.draw(st.sampled_from("abcxyz019"))
    slips = one_slip_away(word)
    for slipped in (
        word,
        word[:at] + word[at + 1 :],
        word[:at] + letter + word[at:],
        word[:at] + letter + word[at + 1 :],
        word[:at] + word[at + 1] + word[at] + word[at + 2 :],
    ):
        assert slipped in slips
        assert word in one_slip_away(slipped)


@example("𝑨ﬁŁÇ")
@given(st.text(max_size=80))
def test_words_of_any_text_are_plain_and_stay_what_they_are(text: str) -> None:
    words = tokens(text)
    assert all(word and word.isalnum() for word in words)
    assert tokens(" ".join(words)) == words
