"""What a new instance begins with is brought in once, and then belongs to the operator."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backends.local.demo import vocabulary
from backends.local.families import DEMO_LORAS
from bot.commands import presets
from bot.commands.preset_body import checked
from bot.demo_presets import HANDLE, install_demo
from bot.owner import owner_viewer
from bot.registry import Registry
from lora_registry.compose import UsedPreset, compose
from lora_registry.errors import RegistryError, UnknownLora
from lora_registry.models import PresetBody
from tests.bot.registries import ANNA, opened

NAMES = {"lantern", "comic", "badge", "mosaic", "quick"}


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    async with opened(tmp_path) as registry:
        await install_demo(registry)
        yield registry


async def names(registry: Registry) -> set[str]:
    return {one.name for one in await presets.list_presets(registry, ANNA)}


async def test_everybody_finds_the_presets_and_their_loras(registry: Registry) -> None:
    assert await names(registry) == NAMES
    comic = await presets.show(registry, ANNA, "comic")
    assert comic.revision.reference == f"@{HANDLE}/comic@1"
    assert [(one.lora.name, one.known) for one in comic.loras] == [
        ("outline", True),
        ("stripes", True),
    ]
    assert {one.name for one in await registry.loras.list()} == {
        "glow",
        "outline",
        "pixel",
        "stripes",
    }


async def test_their_loras_can_be_had(registry: Registry) -> None:
    for record in await registry.loras.list():
        sources = [one.source for one in await registry.loras.sources(record.sha256)]
        with await registry.library.fetch(record, sources, lambda _, __: None) as loan:
            assert loan.sha256 == record.sha256


@pytest.mark.parametrize("name", sorted(NAMES))
async def test_each_can_be_drawn_and_the_demo_model_knows_its_words(
    registry: Registry, name: str
) -> None:
    body = (await presets.show(registry, ANNA, name)).revision.body
    assert checked(body.model_dump()) == body
    records = await registry.loras.records(lora.sha256 for lora in body.loras)
    made = compose("star", presets=[UsedPreset(name, body)], records=records)
    assert vocabulary.parse(made.prompt) is not None, made.prompt


async def test_a_second_time_nothing_is_brought_in(registry: Registry) -> None:
    before = await presets.show(registry, ANNA, "comic")
    await install_demo(registry)
    assert await presets.show(registry, ANNA, "comic") == before


async def test_what_the_operator_deleted_does_not_come_back(registry: Registry) -> None:
    for name in NAMES:
        head = await presets.whole(registry, owner_viewer(), name)
        await presets.delete(registry, owner_viewer(), head)
    glow = await registry.loras.find("glow")
    await registry.loras.remove(glow.sha256)
    await install_demo(registry)
    assert await names(registry) == set()
    with pytest.raises(UnknownLora):
        await registry.loras.find("glow")


async def test_what_the_operator_changed_stays_so(registry: Registry) -> None:
    glow = await registry.loras.find("glow")
    sources = [one.source for one in await registry.loras.sources(glow.sha256)]
    await registry.loras.put(glow.model_copy(update={"name": "halo"}), *sources, by="owner")
    await install_demo(registry)
    assert (await registry.loras.find("halo")).sha256 == glow.sha256


async def test_an_interrupted_start_is_finished_by_the_next(registry: Registry) -> None:
    async with registry.database.write() as sql:  # as if killed before it was written down
        await sql.execute("DELETE FROM content")
    await install_demo(registry)
    assert await names(registry) == NAMES


async def test_a_name_that_somebody_has_stays_theirs(tmp_path: Path) -> None:
    async with opened(tmp_path) as registry:
        record = await registry.places.describe(str(DEMO_LORAS / "pixel.safetensors"))
        other = record.record("glow", "ab" * 32)
        await registry.loras.put(other, record.source, by="owner")
        await install_demo(registry)
        assert (await registry.loras.find("glow")).sha256 == "ab" * 32
        assert await names(registry) == NAMES - {"lantern"}


async def test_nobody_else_gets_its_handle(registry: Registry) -> None:
    made = await presets.create(registry, ANNA, "mine-own", PresetBody(), handle=HANDLE)
    assert made.preset.handle != HANDLE
    head = await presets.whole(registry, ANNA, "comic")
    with pytest.raises(RegistryError, match="Only its owner"):
        await presets.edit(registry, ANNA, head, PresetBody())
