"""Whose Home tab is looked at, and when it is shown anew.

It is all best effort: what cannot be published is forgotten, since the next look shows it anyway.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog
from slack_sdk.models.views import View
from slack_sdk.web.async_client import AsyncWebClient

from bot.surfaces.slack.calls import Busy, CallFailed, called

FRESH_S: Final = 1800.0
"""How long after a look a Home tab is kept up to date."""
MOST: Final = 500
"""People whose Home tabs are, the latest ones."""
_SETTLE_S: Final = 1.5
"""A job's end is in the database only after it was shown, and another often follows."""
_PAUSE_S: Final = 1.0
"""Slack takes 100 a minute (Tier 4); some are for those who open theirs."""

Make = Callable[[str, str], Awaitable[View]]
"""Makes the Home tab of a person in a workspace."""

log = structlog.get_logger()


class Homes:
    """The Home tabs of one app. `clock` gives seconds that only grow."""

    def __init__(
        self,
        client: AsyncWebClient,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._clock = clock
        self._sleep = sleep
        self._seen: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._stale: dict[str, None] = {}
        self._wake = asyncio.Event()

    def looked_at(self, user: str, team: str) -> None:
        """Somebody of this workspace looks at theirs."""
        self._seen[user] = self._clock() + FRESH_S, team
        self._seen.move_to_end(user)
        if len(self._seen) > MOST:
            self._seen.popitem(last=False)

    def changed(self, user: str) -> None:
        """What it shows has changed; that is shown soon, if they have looked at it lately."""
        if self._team(user) is not None and len(self._stale) < MOST:
            self._stale[user] = None
            self._wake.set()

    async def show(self, user: str, make: Make) -> None:
        """Show somebody who has looked at theirs lately how it is now."""
        if (team := self._team(user)) is None:
            return
        try:
            view = (await make(user, team)).to_dict()
            await called("views.publish", self._client.views_publish(user_id=user, view=view))
        except Busy as error:
            await self._sleep(error.retry_after)
            self.changed(user)
        except CallFailed as error:
            log.info("home not shown", error=error.error)
        except Exception:
            log.exception("home broke")

    async def keep(self, make: Make) -> None:
        """Show anew what has changed, one after the other, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._sleep(_SETTLE_S)
            while self._stale:
                user = next(iter(self._stale))
                del self._stale[user]
                await self.show(user, make)
                await self._sleep(_PAUSE_S)

    def _team(self, user: str) -> str | None:
        until, team = self._seen.get(user, (0.0, ""))
        return team if until > self._clock() else None
