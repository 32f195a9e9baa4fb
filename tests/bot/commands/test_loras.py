"""What an owner does with LoRAs, through the real registry, library and folder."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.commands import loras, presets
from bot.commands.loras import Added, BadLora, Said
from bot.lora_folder import LoraFolder
from bot.owner import owner_viewer
from bot.registry import Registry
from lora_registry.errors import BadName, LoraInUse, NameTaken, Refused, UnknownLora
from lora_registry.models import LocalSource, PresetBody, PresetLora
from lora_registry.sources.candidate import NotThere, NotUsable
from lora_registry.weights import NotALora
from tests.bot.registries import ANNA, opened
from tests.lora_registry import loras as files
from tests.lora_registry.sites import lora_bytes, sha256

OWNER = owner_viewer()
INK = lora_bytes("Ink drawing")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "loras"
    path.mkdir()
    (path / "ink.safetensors").write_bytes(INK)
    return path


@pytest.fixture
async def registry(tmp_path: Path, folder: Path) -> AsyncIterator[Registry]:
    async with opened(tmp_path) as registry:
        yield registry


async def add(registry: Registry, reference: str = "./ink.safetensors", **said: Any) -> Added:
    found = await loras.find(registry, OWNER, reference)
    return await loras.add(registry, OWNER, found, Said(**said), lambda _, __: None)


async def library(registry: Registry) -> set[str]:
    return {file.sha256 for file in await registry.library.files()}


# --- Bringing in ------------------------------------------------------------------------------


async def test_a_file_of_the_folder_is_named_after_its_title(registry: Registry) -> None:
    found = await loras.find(registry, OWNER, "./ink.safetensors")
    assert (found.candidate.title, found.known) == ("Ink drawing", None)
    assert await library(registry) == set()

    told: list[int] = []
    added = await loras.add(registry, OWNER, found, Said(), lambda saved, _: told.append(saved))
    assert (added.new, added.record.name, added.record.sha256) == (
        True,
        "ink-drawing",
        sha256(INK),
    )
    assert told[-1] == len(INK)
    assert await library(registry) == {sha256(INK)}

    shown = await loras.show(registry, "ink-drawing")
    assert [one.source for one in shown.sources] == [LocalSource(path="ink.safetensors")]
    assert shown.sources[0].verified_at is not None
    assert (shown.here, shown.presets) == (True, ())


async def test_what_its_adder_says_is_kept(registry: Registry) -> None:
    said: dict[str, Any] = {
        "name": "Ink",
        "triggers": ("ink, black", "wash"),
        "licence": "MIT",
        "nsfw": 2,
    }
    record = (await add(registry, **said)).record
    assert (record.name, record.licence, record.nsfw) == ("ink", "MIT", 2)
    assert [(one.name, one.words) for one in record.triggers] == [
        ("default", ("ink", "black")),
        ("set-2", ("wash",)),
    ]


async def test_adding_again_changes_only_what_is_said(registry: Registry, folder: Path) -> None:
    first = (await add(registry, name="ink", licence="MIT")).record
    (folder / "copy.safetensors").write_bytes(INK)
    again = await add(registry, "./copy.safetensors", nsfw=1)
    assert again == Added(first.model_copy(update={"nsfw": 1}), new=False)
    shown = await loras.show(registry, "ink")
    assert {one.source for one in shown.sources} == {
        LocalSource(path="ink.safetensors"),
        LocalSource(path="copy.safetensors"),
    }


async def test_two_of_one_title_get_two_names(registry: Registry, folder: Path) -> None:
    (folder / "b.safetensors").write_bytes(lora_bytes("Ink drawing", rank=2))
    names = [(await add(registry, f"./{name}.safetensors")).record.name for name in ("ink", "b")]
    assert names == ["ink-drawing", "ink-drawing-2"]


async def test_a_name_that_is_taken_is_refused(registry: Registry, folder: Path) -> None:
    await add(registry, name="ink")
    (folder / "b.safetensors").write_bytes(lora_bytes("Other"))
    with pytest.raises(NameTaken, match="Another LoRA is called ink"):
        await add(registry, "./b.safetensors", name="ink")
    assert [one.name for one in await registry.loras.list()] == ["ink"]


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"nsfw": 9}, "nsfw cannot be kept; use 0 to 4"),
        ({"licence": "x" * 200}, "licence cannot be kept; use one line"),
        ({"name": "!"}, "cannot be a name"),
    ],
)
async def test_what_cannot_be_kept_is_refused_before_anything_is_brought_in(
    registry: Registry, said: dict[str, Any], error: str
) -> None:
    with pytest.raises((BadLora, BadName), match=error):
        await add(registry, **said)
    assert await library(registry) == set()


async def test_what_cannot_work_is_refused_before_anything_is_brought_in(
    registry: Registry, folder: Path
) -> None:
    unet = files.factors({"down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k": (768, 320)},
                         prefix="unet.")  # fmt: skip
    files.write(folder / "old.safetensors", unet)
    (folder / "text.safetensors").write_text("hello", "utf-8")
    with pytest.raises((NotUsable, NotALora), match=r"Stable Diffusion|SD"):
        await loras.find(registry, OWNER, "./old.safetensors")
    with pytest.raises(Exception, match="safetensors"):
        await loras.find(registry, OWNER, "./text.safetensors")
    with pytest.raises(NotThere):
        await loras.find(registry, OWNER, "./none.safetensors")
    assert await library(registry) == set()


async def test_members_add_and_remove_nothing(registry: Registry) -> None:
    with pytest.raises(Refused, match="Only the operator"):
        await loras.find(registry, ANNA, "./ink.safetensors")
    found = await loras.find(registry, OWNER, "./ink.safetensors")
    with pytest.raises(Refused, match="Only the operator"):
        await loras.add(registry, ANNA, found, Said(), lambda _, __: None)
    with pytest.raises(Refused, match="Only the operator"):
        await loras.remove(registry, ANNA, "ink")


async def test_two_who_add_the_same_file_at_once_get_one_lora(registry: Registry) -> None:
    added = await asyncio.gather(*(add(registry, name="ink") for _ in range(4)))
    assert {one.record.sha256 for one in added} == {sha256(INK)}
    assert len(await registry.loras.list()) == 1


# --- Looking and taking away ------------------------------------------------------------------


async def test_a_list_marks_what_is_registered_and_names_each_once(
    registry: Registry, folder: Path
) -> None:
    (folder / "bare.safetensors").write_bytes(lora_bytes("bare"))
    (folder / "broken.safetensors").write_bytes(b"broken")
    await add(registry, name="my-ink")
    listed = await loras.list_loras(registry, LoraFolder([folder]))
    assert [(one.name, one.record is not None, one.path) for one in listed] == [
        ("bare", False, folder / "bare.safetensors"),
        ("broken", False, folder / "broken.safetensors"),
        ("my-ink", True, folder / "ink.safetensors"),
    ]
    assert (listed[0].about, listed[2].about) == ("FLUX.1", "FLUX.1")
    assert listed[1].about.endswith(".")


async def test_a_damaged_file_is_found_and_thrown_away(registry: Registry, tmp_path: Path) -> None:
    await add(registry, name="ink")
    assert [one.sound async for one in loras.verify(registry, "ink")] == [True]
    (tmp_path / "lora-library" / f"{sha256(INK)}.safetensors").write_bytes(INK[:-1] + b"x")
    (found,) = [one async for one in loras.verify(registry)]
    assert (found.sound, found.record and found.record.name) == (False, "ink")
    assert await library(registry) == set()
    with pytest.raises(UnknownLora, match="Did you mean ink"):
        [one async for one in loras.verify(registry, "inc")]


async def test_what_presets_need_is_refused_with_their_names(registry: Registry) -> None:
    record = (await add(registry, name="ink")).record
    body = PresetBody(loras=(PresetLora(sha256=record.sha256, name="ink"),))
    await presets.create(registry, ANNA, "dreamy", body, handle="anna")
    with pytest.raises(LoraInUse, match="@anna/dreamy"):
        await loras.remove(registry, OWNER, "ink")
    assert await library(registry) == {record.sha256}

    removed = await loras.remove(registry, OWNER, "ink", despite_presets=True)
    assert (removed.kept_record, removed.kept_file) == (True, False)
    assert await library(registry) == set()
    shown = await loras.show(registry, "ink")
    assert (shown.here, shown.presets) == (False, ("@anna/dreamy",))


async def test_a_lora_that_nobody_needs_goes_with_its_file_unless_a_job_uses_it(
    registry: Registry,
) -> None:
    record = (await add(registry, name="ink")).record
    loan = await registry.library.borrow(record.sha256)
    assert loan is not None
    with loan:
        removed = await loras.remove(registry, OWNER, "ink")
        assert (removed.kept_record, removed.kept_file) == (False, True)
        assert loan.path.exists()
    with pytest.raises(UnknownLora):
        await loras.show(registry, "ink")
