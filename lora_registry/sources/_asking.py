"""What every place is asked in the same way: a JSON document, and the start of a file."""

import asyncio
import json
from typing import Any, Final

from lora_registry.fetch import GuardedFetcher
from lora_registry.sources.candidate import NotThere
from lora_registry.weights import HeaderIncomplete, LoraInfo, inspect_header

FIRST_READ: Final = 64 * 1024
"""Bytes that hold most headers (17 to 200 kB in real files); a longer one is asked for again."""

_MOST_JSON: Final = 16 * 1024 * 1024
"""A repository's list of files, or a Civitai model with all versions and their pictures."""


async def read_json(fetcher: GuardedFetcher, url: str, site: str) -> dict[str, Any]:
    """The JSON object at `url`.

    Raises:
        FetchError: there is no answer.
        NotThere: the answer is no JSON object.
    """
    data = await fetcher.read(url, _MOST_JSON)
    try:
        document = await asyncio.to_thread(json.loads, data)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise NotThere(f"{site} answers something else than expected. Try again later.")
    return document


async def read_info(fetcher: GuardedFetcher, url: str) -> LoraInfo:
    """Look into a remote file by its first bytes.

    Raises:
        FetchError: it cannot be read.
        WeightsError: it is no LoRA, or a damaged one.
    """
    start = await fetcher.read_start(url, FIRST_READ)
    try:
        return await asyncio.to_thread(inspect_header, start.data, start.total_size)
    except HeaderIncomplete as error:
        start = await fetcher.read_start(url, error.needed)
        return await asyncio.to_thread(inspect_header, start.data, start.total_size)


def dicts(value: object) -> list[dict[str, Any]]:
    """The objects of a list; a site may send anything."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def texts(value: object) -> tuple[str, ...]:
    """A text, or the texts of a list."""
    values = value if isinstance(value, list) else [value]
    return tuple(one for one in values if isinstance(one, str) and one)
