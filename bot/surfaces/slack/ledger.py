"""What moderators want to know later, in the channel that the workspace has named for it.

Names stand there in words: a mention would call the person that a line is about.
"""

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from bot.communities import CommunitySettings, Effective
from bot.surfaces import ledger
from bot.surfaces.slack.calls import CallFailed, Closed
from bot.surfaces.slack.cards import rendered, section
from bot.surfaces.slack.posts import Posts
from bot.surfaces.slack.receipts import Where

_MOST_TEXT: Final = 2900
_TRIES: Final = 3
_AGAIN_S: Final = (1.0, 3.0)

log = structlog.get_logger()


class Ledger(ledger.Ledger):
    """Posts lines to the `log_channel` of their workspace."""

    def __init__(
        self,
        posts: Posts,
        community: Callable[[str], Awaitable[Effective[CommunitySettings]]],
    ) -> None:
        super().__init__(community, most_text=_MOST_TEXT)
        self._posts = posts

    async def post(self, community: str, channel: str, text: str) -> None:
        where, key, since = Where(channel=channel, user=""), f"log {uuid.uuid4()}", time.time()
        trouble: CallFailed | None = None
        for tries in range(_TRIES):
            if tries:
                await asyncio.sleep(random.uniform(*_AGAIN_S))  # noqa: S311 - jitter
            try:
                await self._posts.post_once(where, key, text, rendered([section(text)]), since)
            except CallFailed as error:
                trouble = error
                if isinstance(error, Closed) or not error.certain:  # it may be there already
                    break
            else:
                return
        word = "" if trouble is None else trouble.error
        log.warning("ledger not written", community=community, error=word)
