"""LoRAs and their sources."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lora_registry.errors import LoraInUse, NameTaken, UnknownLora
from lora_registry.models import HttpsSource, LocalSource, PresetBody
from tests.lora_registry.world import ANNA, Registry, lora, registry, using


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Registry]:
    async with registry(tmp_path) as world:
        yield world


HERE = LocalSource(path="ghibli.safetensors")
THERE = HttpsSource(url="https://example.org/ghibli.safetensors")


async def test_a_lora_is_found_by_name_and_by_the_beginning_of_its_hash(world: Registry) -> None:
    ghibli = await world.loras.put(lora("ghibli"), HERE, by="olga")
    await world.loras.put(lora("ink"), by="olga")
    for name in ("ghibli", " Ghibli", ghibli.sha256, ghibli.sha256[:8].upper()):
        assert await world.loras.find(name) == ghibli
    assert await world.loras.get(ghibli.sha256) == ghibli
    assert await world.loras.get("0" * 64) is None
    assert [record.name for record in await world.loras.list()] == ["ghibli", "ink"]
    with pytest.raises(UnknownLora, match="Did you mean ghibli") as caught:
        await world.loras.find("gibli")
    assert caught.value.near == ("ghibli",)
    assert set(await world.loras.records([ghibli.sha256, "0" * 64])) == {ghibli.sha256}


async def test_a_name_belongs_to_one_lora(world: Registry) -> None:
    await world.loras.put(lora("ghibli"), by="olga")
    with pytest.raises(NameTaken, match="ghibli-2"):
        await world.loras.put(lora("ghibli", sha256="f" * 64), by="olga")


async def test_what_is_known_of_a_lora_changes_and_its_sources_add_up(world: Registry) -> None:
    await world.loras.put(lora("ghibli"), HERE, by="olga")
    world.clock.now += 1
    changed = await world.loras.put(lora("ghibli", licence="mit"), HERE, THERE, by="anna")
    assert await world.loras.find("ghibli") == changed
    assert [one.source for one in await world.loras.sources(changed.sha256)] == [HERE, THERE]
    await world.loras.drop_source(changed.sha256, HERE)
    assert [one.source for one in await world.loras.sources(changed.sha256)] == [THERE]


async def test_the_source_that_worked_last_comes_first(world: Registry) -> None:
    record = await world.loras.put(lora("ghibli"), HERE, THERE, by="olga")
    await world.loras.mark(record.sha256, HERE)
    world.clock.now += 1
    await world.loras.mark(record.sha256, HERE, "it is gone")
    await world.loras.mark(record.sha256, THERE)
    first, second = await world.loras.sources(record.sha256)
    assert (first.source, first.failure, first.verified_at) == (THERE, None, world.clock.now)
    assert (second.source, second.failure) == (HERE, "it is gone")
    world.clock.now += 1
    await world.loras.mark(record.sha256, HERE)
    assert (await world.loras.sources(record.sha256))[0].failure is None


async def test_a_lora_goes_with_its_sources_unless_a_preset_needs_it(world: Registry) -> None:
    record = await world.loras.put(lora("ghibli"), HERE, by="olga")
    made = await world.presets.create(ANNA, "dreamy", PresetBody(loras=(using(record),)))
    with pytest.raises(LoraInUse, match="1 preset needs this LoRA"):
        await world.loras.remove(record.sha256)
    await world.presets.delete(ANNA, made.preset.id)
    await world.loras.remove(record.sha256)
    assert await world.loras.list() == ()
    assert await world.database.row("SELECT 1 FROM lora_source") is None


async def test_another_place_that_had_the_right_bytes_is_a_source_from_then_on(
    world: Registry,
) -> None:
    record = await world.loras.put(lora("ghibli"), HERE, by="olga")
    await world.loras.mark(record.sha256, THERE, "not found")
    assert [one.source for one in await world.loras.sources(record.sha256)] == [HERE]
    await world.loras.mark(record.sha256, THERE)
    assert [one.source for one in await world.loras.sources(record.sha256)] == [THERE, HERE]
    await world.loras.mark("0" * 64, THERE)  # of a LoRA that was removed meanwhile
    assert await world.loras.sources("0" * 64) == ()
