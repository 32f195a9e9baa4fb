"""The recipe of a picture that a message shows, whoever drew it and with what."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from slack_sdk.web.async_client import AsyncWebClient

from bot import wording
from bot.metadata import RecipeError
from bot.recipe import ForeignRecipe, Recipe, read
from bot.surfaces.slack.calls import CallFailed, Closed, called
from bot.surfaces.slack.text import safe
from lora_registry.fetch import AddressRefused, FetchError, GuardedFetcher

FILES_HOST: Final = "files.slack.com"
"""Where Slack keeps the files of messages."""
MOST_BYTES: Final = 25 * 2**20
_KINDS: Final = frozenset({"image/png", "image/jpeg", "image/webp"})
_MOST_FILES: Final = 5
_WITHIN_S: Final = 60.0
_AT_ONCE: Final = 4
NO_PICTURE: Final = "This message has no picture: no PNG, JPEG or WebP that Slack keeps."
NOT_LET: Final = (
    "Slack does not let me read this picture. In a private channel, type `/invite` with my name "
    "first; otherwise `atelier doctor` says whether a permission is missing."
)
AWAY: Final = "Slack does not give this picture now. Please try again."


class NoRecipe(Exception):
    """There is none to be had; str(error) is a sentence, safe to show."""


def file_origins(api_url: str) -> Mapping[str, str]:
    """Where files are, by host: at Slack, or at what stands for it where the API is elsewhere."""
    api = urlsplit(api_url)
    origins = {FILES_HOST: f"https://{FILES_HOST}"}
    if api.hostname and api.hostname != "slack.com":
        origins[api.hostname] = f"{api.scheme}://{api.netloc}"
    return origins


class Recipes:
    """Reads recipes from messages' pictures, a few at a time."""

    def __init__(self, fetcher: GuardedFetcher, hosts: Iterable[str]) -> None:
        """`fetcher` sends the bot's token to these hosts, and no other is asked for anything."""
        self._fetcher = fetcher
        self._hosts = frozenset(hosts)
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def read(self, client: AsyncWebClient, files: Sequence[str]) -> Recipe | ForeignRecipe:
        """The recipe in the first picture among these files, a few of which are looked at.

        Takes as long as the picture takes to arrive, a minute at most.

        Raises:
            NoRecipe
        """
        try:
            async with asyncio.timeout(_WITHIN_S), self._slots:
                url = await self._address(client, files)
                data = await self._fetcher.read(url, MOST_BYTES)
            found = await asyncio.to_thread(read, data)
        except TimeoutError:
            raise NoRecipe(AWAY) from None
        except AddressRefused as error:
            raise NoRecipe(NOT_LET) from error
        except RecipeError as error:
            # Whom Slack does not know it gives a page to sign in.
            page = data.lstrip()[:1] == b"<"
            raise NoRecipe(NOT_LET if page else safe(str(error), 1000)) from error
        except FetchError as error:
            raise NoRecipe(safe(str(error), 1000)) from error
        if found is None:
            raise NoRecipe(wording.NO_RECIPE)
        return found

    async def _address(self, client: AsyncWebClient, files: Sequence[str]) -> str:
        for file in files[:_MOST_FILES]:
            try:
                answer = await called("files.info", client.files_info(file=file))
            except Closed as error:
                raise NoRecipe(error.sentence) from error
            except CallFailed as error:
                raise NoRecipe(NOT_LET if error.error in _UNSEEN else AWAY) from error
            about: Mapping[str, Any] = answer.get("file") or {}
            url = str(about.get("url_private") or "")
            if about.get("mimetype") in _KINDS and urlsplit(url).hostname in self._hosts:
                return url
        raise NoRecipe(NO_PICTURE)


_UNSEEN: Final = frozenset({"file_not_found", "file_deleted", "not_visible"})
"""Slack's words for a file that the bot does not see."""
