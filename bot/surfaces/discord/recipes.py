"""The recipe of a picture that a message shows, whoever drew it and with what."""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import discord

from bot import wording
from bot.metadata import RecipeError
from bot.recipe import ForeignRecipe, Recipe, read
from bot.surfaces.discord.text import safe
from lora_registry.fetch import FetchError, GuardedFetcher

HOSTS: Final = frozenset({"cdn.discordapp.com", "media.discordapp.net"})
"""Where Discord keeps the files of messages."""
MOST_BYTES: Final = 25 * 2**20
_KINDS: Final = frozenset({"image/png", "image/jpeg", "image/webp"})
_WITHIN_S: Final = 60.0
_AT_ONCE: Final = 4
NO_PICTURE: Final = "This message has no picture: no PNG, JPEG or WebP that Discord keeps."
TOO_SLOW: Final = "The picture takes too long to arrive. Please try again."


class NoRecipe(Exception):
    """There is none to be had; str(error) is a sentence, safe to show."""


class Recipes:
    """Reads recipes from messages' pictures, a few at a time."""

    def __init__(self, fetcher: GuardedFetcher) -> None:
        """`fetcher` reaches Discord's files and nothing else that is public."""
        self._fetcher = fetcher
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def read(self, message: discord.Message) -> Recipe | ForeignRecipe:
        """The recipe in the first picture of a message: ours, or what A1111 or ComfyUI left.

        Takes as long as the picture takes to arrive, a minute at most.

        Raises:
            NoRecipe
        """
        if (url := next(_addresses(message), None)) is None:
            raise NoRecipe(NO_PICTURE)
        try:
            async with asyncio.timeout(_WITHIN_S), self._slots:
                data = await self._fetcher.read(url, MOST_BYTES)
                found = await asyncio.to_thread(read, data)
        except TimeoutError:
            raise NoRecipe(TOO_SLOW) from None
        except (FetchError, RecipeError) as error:
            raise NoRecipe(safe(str(error), 1000)) from error
        if found is None:
            raise NoRecipe(wording.NO_RECIPE)
        return found


def _addresses(message: discord.Message) -> Iterator[str]:
    """Where pictures of a message are, the likeliest first.

    Attachments are Discord's own; what else a message shows may be anywhere and is left alone.
    """
    for attachment in message.attachments:
        if (attachment.content_type or "").partition(";")[0] in _KINDS:
            yield attachment.url
    linked = [*_shown(message.components), *(embed.image.url for embed in message.embeds)]
    for url in filter(None, linked):
        if urlsplit(url).hostname in HOSTS:
            yield url


def _shown(components: Iterable[Any]) -> Iterator[str]:
    """Pictures that components show, galleries inside others too."""
    for one in components:
        for item in getattr(one, "items", ()):
            yield item.media.url
        yield from _shown(getattr(one, "children", ()))
