"""A registry as this instance opens it, with two people in it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from bot.registry import Registry, open_registry
from bot.settings import Settings
from lora_registry.models import Viewer

ANNA: Final = Viewer("here", "anna", nsfw_ceiling=4)
BOB: Final = Viewer("here", "bob", nsfw_ceiling=4)


@asynccontextmanager
async def opened(folder: Path) -> AsyncGenerator[Registry, None]:
    async with open_registry(Settings(data_dir=folder)) as registry:
        yield registry
