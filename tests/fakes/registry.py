"""A registry of one's own, with nothing in it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bot.registry import Registry, open_registry
from bot.settings import Settings


@asynccontextmanager
async def empty_registry(folder: Path, *trusted_hosts: str) -> AsyncIterator[Registry]:
    """A registry in `folder`, whose LoRA folder is `loras` there."""
    settings = Settings(data_dir=folder, lora_dir=folder / "loras", trusted_hosts=trusted_hosts)
    async with open_registry(settings) as registry:
        yield registry
