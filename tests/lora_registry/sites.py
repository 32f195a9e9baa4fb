"""Hugging Face, Civitai and fal on loopback: recorded answers, and files that count bytes."""

import asyncio
import contextlib
import hashlib
import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lora_registry.fetch import FetchRules, GuardedFetcher
from lora_registry.sources.places import KNOWN_HOSTS
from tests.lora_registry import loras
from tests.lora_registry.web import (
    PUBLIC,
    Authority,
    Page,
    Request,
    Resolver,
    Site,
    Wires,
    head,
    page,
)

ANSWERS = Path(__file__).with_name("answers")
NAMES = (
    "huggingface.co",
    "cdn-lfs-us-1.hf.co",
    "civitai.com",
    "civitai.red",
    "b2.civitai.com",
    "v3b.fal.media",
    "files.example",
)
RULES = FetchRules(
    min_free_bytes=0,
    connect_timeout=5,
    read_timeout=5,
    deadline=60,
    allowed_hosts=KNOWN_HOSTS | {"files.example"},
)


def recorded(name: str) -> Any:
    """An answer of the form that the API has, by its documentation and source; values are ours."""
    return json.loads((ANSWERS / f"{name}.json").read_text("utf-8"))


def answer(document: object) -> Page:
    return page(json.dumps(document).encode(), headers={"Content-Type": "application/json"})


def lora_bytes(title: str = "", layers: loras.Layers | None = None, rank: int = 1) -> bytes:
    """A small, sound LoRA for FLUX.1 unless told otherwise; its bytes follow from the title."""
    layers = layers or loras.only(loras.flux1(), "blocks.0.attn.to_q")
    start, size = loras.header(loras.factors(layers, rank=rank), {"modelspec.title": title})
    return start + bytes(size)


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@dataclass
class File:
    """A file of `size` bytes that begins with `start` and goes on with zeros; it knows ranges.

    `sent` counts the bytes of all answers. While `gate` is closed, only half of it is sent.
    """

    start: bytes
    size: int = 0
    sent: int = 0
    asked: int = 0
    gate: asyncio.Event | None = None
    ranges: bool = True

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        size = self.size or len(self.start)
        wanted = re.fullmatch(r"bytes=0-(\d+)", request.headers.get("range", ""))
        length = min(int(wanted[1]) + 1, size) if wanted and self.ranges else size
        lines = {"Content-Length": str(length)}
        if wanted and self.ranges:
            lines["Content-Range"] = f"bytes 0-{length - 1}/{size}"
        writer.write(head(206 if "Content-Range" in lines else 200, lines))
        half = length // 2 if self.gate and not wanted else 0
        await self._send(writer, 0, half)
        if self.gate and not wanted:
            await self.gate.wait()
        await self._send(writer, half, length)

    async def _send(self, writer: asyncio.StreamWriter, begin: int, end: int) -> None:
        for at in range(begin, end, 65536):
            block = self.start[at : min(at + 65536, end)]
            block += bytes(min(65536, end - at) - len(block))
            writer.write(block)
            await writer.drain()
            self.sent += len(block)


@dataclass
class Internet:
    """One server under all names, and fetchers that can reach nothing else."""

    site: Site
    authority: Authority
    closing: contextlib.AsyncExitStack
    wires: Wires = field(init=False)

    def __post_init__(self) -> None:
        self.wires = Wires(lambda: self.site.port)

    def fetcher(
        self, rules: FetchRules = RULES, tokens: Mapping[str, str] | None = None
    ) -> GuardedFetcher:
        fetcher = GuardedFetcher(
            rules,
            tokens=tokens,
            resolve=Resolver({name: [[PUBLIC]] for name in NAMES}),
            network=self.wires,
            ssl_context=self.authority.trusted(),
        )
        self.closing.push_async_exit(fetcher)
        return fetcher

    def serve(self, path: str, content: Page) -> None:
        self.site.pages[path] = content

    def asked(self, path: str) -> list[Request]:
        return [one for one in self.site.requests if one.path.partition("?")[0] == path]


@contextlib.asynccontextmanager
async def internet(folder: Path) -> AsyncIterator[Internet]:
    authority = Authority(folder)
    async with contextlib.AsyncExitStack() as closing:
        site = await closing.enter_async_context(Site().serving(authority.server(*NAMES)))
        yield Internet(site, authority, closing)
