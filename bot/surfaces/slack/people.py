"""What Slack says about people: their name, and whether they manage the workspace."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from slack_sdk.web.async_client import AsyncWebClient

from bot.surfaces.slack.calls import CallFailed, called

FRESH_S: Final = 300.0
MOST: Final = 2000


@dataclass(frozen=True, slots=True)
class Person:
    """`manager` is an owner or admin of the workspace."""

    id: str
    name: str = ""
    manager: bool = False


class People:
    """Asks Slack and remembers for some minutes. `clock` gives seconds that only grow."""

    def __init__(self, client: AsyncWebClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, Person]] = OrderedDict()

    async def person(self, user: str) -> Person:
        """Who somebody is; somebody without any rights where Slack does not say."""
        known = self._known.get(user)
        if known is not None and known[0] > self._clock():
            return known[1]
        try:
            answer = await called("users.info", self._client.users_info(user=user))
        except CallFailed:
            return known[1] if known is not None else Person(user)
        found = answer.get("user") or {}
        profile = found.get("profile") or {}
        person = Person(
            user,
            str(profile.get("display_name") or found.get("real_name") or found.get("name") or ""),
            bool(found.get("is_admin") or found.get("is_owner")),
        )
        self._known[user] = self._clock() + FRESH_S, person
        self._known.move_to_end(user)
        if len(self._known) > MOST:
            self._known.popitem(last=False)
        return person
