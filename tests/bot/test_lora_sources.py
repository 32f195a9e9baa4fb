"""Where a LoRA comes from: a name, our own uploads, or the web."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from backends.base import LoraFile, LoraRef, ModelName
from bot.database import Database
from bot.jobs.store import migrations
from bot.jobs.supervisor import LoraUnavailable
from bot.lora_folder import LoraFolder
from bot.lora_sources import LoraSources
from bot.uploads import KEEP_S, Slot, Uploads
from tests.fakes.registry import empty_registry
from tests.lora_registry.loras import Layers, factors, flux1, flux2, only, write
from tests.lora_registry.web import Site, page

FLUX_1 = only(flux1(), "transformer_blocks.0.attn.to_q")
FLUX_2 = only(flux2(), "transformer_blocks.0.attn.to_q")


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class World:
    sources: LoraSources
    uploads: Uploads
    site: Site
    clock: Clock
    folder: Path

    async def upload(self, layers: Layers = FLUX_1, name: str = "mine.safetensors") -> str:
        """Store a LoRA and give its path."""
        slot = Slot.new(name, "ann")
        body = write(self.folder / "made", factors(layers, rank=4)).read_bytes()
        await self.uploads.store(slot, once(body))
        return slot.path

    async def prepare(self, path: str, model: ModelName = "flux-1") -> LoraFile:
        ref = LoraRef(path=path, scale=0.5)
        return await self.sources.prepare(ref, model, lambda *_: None, community="home")

    async def refusal(self, path: str, model: ModelName = "flux-1") -> str:
        """What is said of a LoRA both before and after queueing."""
        said = []
        for attempt in (self.sources.check(path, model), self.prepare(path, model)):
            with pytest.raises(LoraUnavailable) as caught:
                await attempt
            said.append(str(caught.value))
        assert said[0] == said[1]
        return said[0]


async def once(data: bytes) -> AsyncIterator[bytes]:
    yield data


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Nothing here can leave the machine: only 127.0.0.1 is trusted, and names are not resolved."""
    database = await Database.open(tmp_path / "jobs.db", migrations())
    clock, named = Clock(), tmp_path / "loras"
    named.mkdir()
    body = write(named / "Ghibli.safetensors", factors(FLUX_1, rank=4)).read_bytes()
    uploads = Uploads(database, tmp_path / "uploads", min_free_bytes=0, clock=clock)
    site = Site({"/web.safetensors": page(body)})
    async with site.serving(), empty_registry(tmp_path, "127.0.0.1") as registry:
        sources = LoraSources(LoraFolder([named]), uploads, registry)
        yield World(sources, uploads, site, clock, tmp_path)
    await database.close()


# --- Names ------------------------------------------------------------------------------------


async def test_a_name_is_a_file_of_the_folder(world: World) -> None:
    await world.sources.check("ghibli", "flux-1")
    file = await world.prepare("ghibli")
    assert (file.name, file.scale) == ("ghibli", 0.5)
    assert file.path == world.folder / "loras" / "Ghibli.safetensors"
    assert await world.refusal("gibli") == "There is no LoRA “gibli”. Did you mean Ghibli?"


async def test_a_hugging_face_repository_is_answered_with_the_address_to_give(
    world: World,
) -> None:
    assert await world.refusal("XLabs-AI/flux-lora") == (
        "There is no LoRA “XLabs-AI/flux-lora” here. If it is a Hugging Face repository, the owner "
        "adds it with `atelier lora add XLabs-AI/flux-lora`; or give the address of its file."
    )


async def test_a_data_uri_that_nobody_took_in_is_refused(world: World) -> None:
    sentence = await world.refusal(f"data:;base64,{'A' * 2_000_000}")
    assert "taken only by the fal-compatible endpoint" in sentence
    assert len(sentence) < 200


# --- Uploads ----------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", ["", "https://anywhere.example", "http://localhost:8470"])
async def test_our_own_upload_is_read_from_the_store_whatever_host_it_is_asked_from(
    world: World, origin: str
) -> None:
    url = origin + await world.upload()
    await world.sources.check(url, "flux-1")
    file = await world.prepare(url)
    assert file.path.parent == world.uploads.folder
    assert file.path.stem == file.sha256
    assert file.public_url is None
    assert world.site.requests == []


async def test_the_url_of_an_upload_stays_out_of_the_pictures_recipe(world: World) -> None:
    assert (await world.prepare(await world.upload())).name == "mine"


async def test_an_upload_is_looked_into_before_it_is_queued(world: World) -> None:
    assert await world.refusal(await world.upload(FLUX_2)) == (
        "The LoRA mine is for FLUX.2 [dev]; this would be drawn with flux-1. "
        "Choose another LoRA or model."
    )
    slot = Slot.new("page.safetensors", "ann")
    await world.uploads.store(slot, once(b"<!DOCTYPE html>"))
    assert (await world.refusal(slot.path)).startswith("The LoRA page cannot be used. ")


async def test_an_expired_upload_may_not_be_named_any_more_but_a_job_that_did_still_gets_it(
    world: World,
) -> None:
    path = await world.upload()
    world.clock.now += KEEP_S
    with pytest.raises(LoraUnavailable, match="The uploaded LoRA mine is no longer here"):
        await world.sources.check(path, "flux-1")
    assert (await world.prepare(path)).name == "mine"
    await world.uploads.sweep()
    for origin in ("", "http://localhost:8470"):
        assert "mine is no longer here" in await world.refusal(origin + path)


async def test_an_upload_whose_file_is_gone_is_a_sentence(world: World) -> None:
    path = await world.upload()
    await asyncio.to_thread(shutil.rmtree, world.uploads.folder)
    assert "mine is no longer here" in await world.refusal(path)


# --- The web ----------------------------------------------------------------------------------


async def test_an_address_is_checked_without_asking_anybody_and_fetched_for_the_job(
    world: World,
) -> None:
    url = f"http://127.0.0.1:{world.site.port}/web.safetensors?token=secret"
    await world.sources.check(url, "flux-2")  # for which model it is shows only its header
    assert world.site.requests == []
    file = await world.prepare(url)
    assert file.path.parent == world.folder / "lora-library"
    assert file.name == url.partition("?")[0]
    assert file.public_url is None


async def test_the_upload_of_another_atelier_is_fetched_like_any_address(world: World) -> None:
    body = (world.folder / "loras" / "Ghibli.safetensors").read_bytes()
    path = f"/files/uploads/{'A' * 32}/theirs.safetensors"
    world.site.pages[path] = page(body)
    file = await world.prepare(f"http://127.0.0.1:{world.site.port}{path}")
    assert file.path.read_bytes() == body


@pytest.mark.parametrize("scheme", ["https", "HTTPS", "http"])
async def test_an_address_inside_the_network_is_refused_at_once(world: World, scheme: str) -> None:
    assert await world.refusal(f"{scheme}://10.0.0.1/x.safetensors?token=secret") == (
        "The LoRA x cannot be used. 10.0.0.1 was refused: it leads to a private network. Use the "
        "address of a public site."
    )
