"""What Slack says about people: name, user groups, and whether they manage the workspace."""

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from slack_sdk.web.async_client import AsyncWebClient

from bot.surfaces.slack.calls import Busy, CallFailed, called
from bot.surfaces.slack.text import safe

FRESH_S: Final = 300.0
MOST: Final = 2000
_PATIENCE_S: Final = 1.0
"""How long anybody waits for user groups: commands must be acknowledged within 3 seconds."""
_AGAIN_S: Final = 10.0
"""After Slack could not be asked."""
_GROUP: Final = re.compile(r"(?:<!subteam\^)?(S[A-Z0-9]{5,})(?:\|[^<>]*)?>?")


@dataclass(frozen=True, slots=True)
class Person:
    """`manager` is an owner or admin of the workspace."""

    id: str
    name: str = ""
    manager: bool = False


@dataclass(frozen=True, slots=True)
class _Groups:
    """The members of each user group, and the groups' ids by their handles."""

    members: Mapping[str, frozenset[str]] = field(default_factory=dict)
    handles: Mapping[str, str] = field(default_factory=dict)


class People:
    """Asks Slack and remembers for some minutes. `clock` gives seconds that only grow."""

    def __init__(self, client: AsyncWebClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, Person]] = OrderedDict()
        self._held_until = 0.0
        self._groups = _Groups()
        self._groups_until = -1.0
        self._looking: asyncio.Task[None] | None = None

    async def person(self, user: str) -> Person:
        """Who somebody is; somebody without any rights where Slack does not say."""
        known = self._known.get(user)
        if known is not None and known[0] > self._clock():
            return known[1]
        unsaid = known[1] if known is not None else Person(user)
        if self._clock() < self._held_until:
            return unsaid
        try:
            answer = await called("users.info", self._client.users_info(user=user))
        except CallFailed as error:
            if isinstance(error, Busy):
                self._held_until = self._clock() + error.retry_after
            return unsaid
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

    async def close(self) -> None:
        """Ask no more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def named(self, user: str) -> str:
        """Somebody in words, safe to show: a mention would call them."""
        name = (await self.person(user)).name
        return f"{safe(name, 60)} ({user})" if name else user

    # --- User groups --------------------------------------------------------------------------

    async def groups_of(self, user: str) -> frozenset[str]:
        """The ids of the user groups that somebody is in, as far as Slack has told lately."""
        known = await self._fresh_groups()
        return frozenset(group for group, users in known.members.items() if user in users)

    async def group(self, text: str) -> str | None:
        """The id of the user group that somebody means by its id, its handle or a mention of it."""
        text = text.strip()
        if found := _GROUP.fullmatch(text):
            return found[1]
        return (await self._fresh_groups()).handles.get(text.removeprefix("@").casefold())

    async def _fresh_groups(self) -> _Groups:
        if self._groups_until <= self._clock():
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look(), name="slack user groups")
            await asyncio.wait({self._looking}, timeout=_PATIENCE_S)
        return self._groups

    async def _look(self) -> None:
        """Ask for all groups at once. Where Slack refuses, as it does workspaces that do not pay,
        nobody is in any.
        """
        call = self._client.usergroups_list(include_users=True)
        try:
            groups = (await called("usergroups.list", call)).get("usergroups") or ()
        except CallFailed as error:
            refused = error.certain and not isinstance(error, Busy)
            fresh = FRESH_S if refused else _AGAIN_S
        else:
            fresh = FRESH_S
            self._groups = _Groups(
                {str(one["id"]): frozenset(map(str, one.get("users") or ())) for one in groups},
                {str(one.get("handle") or "").casefold(): str(one["id"]) for one in groups},
            )
        self._groups_until = self._clock() + fresh
