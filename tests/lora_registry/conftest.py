"""A small internet for everything that brings LoRAs in."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.lora_registry.sites import Internet, internet


@pytest.fixture
async def web(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Internet]:
    folder: Path = tmp_path_factory.mktemp("web")
    async with internet(folder) as web:
        yield web
