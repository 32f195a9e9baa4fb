"""What people do becomes an event, and the app has 3 seconds and 15 minutes for it."""

from dataclasses import dataclass, field
from typing import Any

from tests.fakes.discord import payloads, permissions, rules
from tests.fakes.discord.errors import ApiError
from tests.fakes.discord.messages import Messages, Upload
from tests.fakes.discord.permissions import May
from tests.fakes.discord.state import EPHEMERAL, GROUP, Channel, Json, Message, User
from tests.fakes.discord.world import World

COMMAND, COMPONENT, AUTOCOMPLETE, MODAL = 2, 3, 4, 5
"""Types of interactions."""

_REPLY, _DEFER, _DEFER_UPDATE, _UPDATE, _CHOICES, _FORM = 4, 5, 6, 7, 8, 9
"""Types of callbacks."""

TOKEN_LIVES = 900.0
"""Seconds."""


@dataclass(eq=False)
class Interaction:
    """Something that a person did, and what the app has made of it."""

    id: int
    token: str
    kind: int
    user: User
    channel: Channel
    data: Json
    sent: float
    source: Message | None = None
    metadata: Json = field(default_factory=dict)
    answer: int | None = None
    """The type of the callback; None while there is none."""
    original: Message | None = None
    follow_ups: list[Message] = field(default_factory=list)
    modal: Json | None = None
    choices: list[Json] | None = None

    @property
    def only_installed_by_user(self) -> bool:
        guild = self.channel.guild
        return self.user.installed and not (guild is not None and guild.has_bot)

    @property
    def forced_private(self) -> bool:
        """Whether Discord hides every answer: the person may not use outside apps here."""
        if not self.only_installed_by_user or self.channel.guild is None:
            return False
        granted = permissions.in_channel(self.user, self.channel)
        return not granted & May.USE_EXTERNAL_APPS


class Interactions:
    """Keeps interactions, and answers the app's callbacks and webhook calls for them."""

    def __init__(self, world: World, messages: Messages) -> None:
        self._world = world
        self._messages = messages
        self._by_token: dict[str, Interaction] = {}
        self.answer_within = 3.0
        """Seconds until an unanswered interaction is gone."""

    @property
    def latest(self) -> Interaction:
        """What a person has done last."""
        return next(reversed(self._by_token.values()))

    # --- From people to the app -----------------------------------------------------------------

    def make(
        self, kind: int, user: User, channel: Channel, data: Json, source: Message | None = None
    ) -> tuple[Interaction, Json]:
        """A new interaction, and the event that tells the app about it."""
        identity = self._world.ids.next()
        made = Interaction(
            id=identity,
            token=f"aW50ZXJhY3Rpb24{identity:x}",
            kind=kind,
            user=user,
            channel=channel,
            data=data,
            sent=self._world.clock.now(),
            source=source,
        )
        owners = self._owners(made)
        made.metadata = self._metadata(made, owners)
        self._by_token[made.token] = made
        return made, self._event(made, owners)

    def _owners(self, made: Interaction) -> Json:
        guild, owners = made.channel.guild, {}
        if guild is not None and guild.has_bot:
            owners["0"] = str(guild.id)
        elif guild is None and self._world.bot in made.channel.people:
            owners["0"] = "0"
        if made.user.installed:
            owners["1"] = str(made.user.id)
        return owners

    def _metadata(self, made: Interaction, owners: Json) -> Json:
        body: Json = {
            "id": str(made.id),
            "type": made.kind,
            "user": payloads.user(made.user),
            "authorizing_integration_owners": owners,
        }
        if made.kind == COMPONENT and made.source is not None:
            body["interacted_message_id"] = str(made.source.id)
        if made.kind == MODAL:
            body["triggering_interaction_metadata"] = made.data.pop("triggered_by")
        return body

    def _event(self, made: Interaction, owners: Json) -> Json:
        channel, guild = made.channel, made.channel.guild
        body: Json = {
            "id": str(made.id),
            "application_id": str(self._world.app_id),
            "type": made.kind,
            "token": made.token,
            "version": 1,
            "data": made.data,
            "locale": made.user.locale,
            "channel_id": str(channel.id),
            "channel": payloads.channel(channel, seen_by=made.user),
            "app_permissions": str(permissions.of_app(self._world.bot, channel)),
            "attachment_size_limit": self._world.file_limit(channel),
            "authorizing_integration_owners": owners,
            "entitlements": [],
        }
        if guild is None:
            body["user"] = payloads.user(made.user)
            body["context"] = 2 if self._world.bot not in channel.people else 1
            if channel.kind == GROUP:
                body["context"] = 2
        else:
            granted = permissions.in_channel(made.user, channel)
            who = payloads.member(guild.members[made.user.id])
            body |= {
                "member": who | {"permissions": str(granted)},
                "guild_id": str(guild.id),
                "guild": {"id": str(guild.id), "locale": guild.locale, "features": []},
                "guild_locale": guild.locale,
                "context": 0,
            }
        if made.source is not None and made.kind in (COMPONENT, MODAL):
            body["message"] = self._messages.show(made.source)
        return body

    # --- From the app: the callback -------------------------------------------------------------

    def call_back(self, identity: str, token: str, body: Json, uploads: list[Upload]) -> Json:
        """Take the first answer; returns what `with_response` asks for."""
        found = self._by_token.get(token)
        if found is None or str(found.id) != identity:
            raise ApiError(10062)
        if found.answer is not None:
            raise ApiError(40060)
        if self._world.clock.now() - found.sent > self.answer_within:
            raise ApiError(10062)
        kind: int = body["type"]
        self._fits(found, kind)
        data: dict[str, Any] = body.get("data") or {}
        if kind == _CHOICES:
            _require(rules.of_choices(data))
            found.choices = data.get("choices") or []
        elif kind == _FORM:
            _require(rules.of_modal(data))
            found.modal = data
        elif kind == _UPDATE:
            assert found.source is not None
            self._messages.edit(found.source, data, uploads, limit=self._limit(found))
            found.original = found.source
        elif kind == _DEFER_UPDATE:
            found.original = found.source
        elif kind == _DEFER:
            _require(rules.of_message(data, v2=False, deferral=True))
            private = bool(int(data.get("flags") or 0) & EPHEMERAL) or found.forced_private
            found.original = self._messages.thinking(
                found.channel, ephemeral=private, only_for=found.user, interaction=found.metadata
            )
        else:
            found.original = self._write(found, data, uploads)
        found.answer = kind
        self._world.changes.tell(found)
        return self._response(found, kind)

    def _fits(self, found: Interaction, kind: int) -> None:
        allowed = {_REPLY, _DEFER, _FORM}
        if found.kind == AUTOCOMPLETE:
            allowed = {_CHOICES}
        elif found.kind == MODAL:
            allowed = {_REPLY, _DEFER}
        if found.source is not None and found.kind in (COMPONENT, MODAL):
            allowed |= {_DEFER_UPDATE, _UPDATE}
        if kind not in allowed:
            raise ApiError(50035, problems=[f"type: {kind} cannot answer this interaction"])

    def _response(self, found: Interaction, kind: int) -> Json:
        body: Json = {"interaction": {"id": str(found.id), "type": found.kind}}
        message = found.original
        if message is not None:
            body["interaction"] |= {
                "response_message_id": str(message.id),
                "response_message_loading": message.loading,
                "response_message_ephemeral": message.ephemeral,
            }
        if kind in (_REPLY, _DEFER, _UPDATE, _DEFER_UPDATE) and message is not None:
            shape = _REPLY if kind in (_REPLY, _DEFER) else _UPDATE
            body["resource"] = {"type": shape, "message": self._messages.show(message)}
        return body

    # --- From the app: the token as a webhook ---------------------------------------------------

    def by_webhook(self, application: str, token: str) -> Interaction:
        """The interaction of a token that still lives and has been answered."""
        found = self._by_token.get(token)
        if found is None or application != str(self._world.app_id):
            raise ApiError(10015)
        if self._world.clock.now() - found.sent > TOKEN_LIVES:
            raise ApiError(50027)
        if found.answer is None:
            raise ApiError(10015)
        if found.channel.id not in self._world.channels:
            raise ApiError(10003)
        return found

    def message_of(self, found: Interaction, identity: str) -> Message:
        """`@original` or one of the follow-ups."""
        ours = [m for m in (found.original, *found.follow_ups) if m is not None]
        if identity == "@original":
            message = found.original
        else:
            message = next((m for m in ours if str(m.id) == identity), None)
        if message is None or message.deleted:
            raise ApiError(10008)
        return message

    def edit(self, found: Interaction, identity: str, body: Json, uploads: list[Upload]) -> Message:
        message = self.message_of(found, identity)
        return self._messages.edit(message, body, uploads, limit=self._limit(found))

    def follow_up(self, found: Interaction, body: Json, uploads: list[Upload]) -> Message:
        """A further message; the first one after a deferral takes the deferral's place."""
        original = found.original
        if original is not None and original.loading and not original.deleted:
            return self._messages.edit(original, body, uploads, limit=self._limit(found))
        if found.only_installed_by_user and len(found.follow_ups) >= 5:
            raise ApiError(40094)
        message = self._write(found, body, uploads)
        found.follow_ups.append(message)
        self._world.changes.tell(found)
        return message

    def _write(self, found: Interaction, body: Json, uploads: list[Upload]) -> Message:
        if found.forced_private:
            body = {**body, "flags": int(body.get("flags") or 0) | EPHEMERAL}
        return self._messages.create(
            found.channel,
            self._world.bot,
            body,
            uploads,
            limit=self._limit(found),
            only_for=found.user,
            interaction=found.metadata,
        )

    def _limit(self, found: Interaction) -> int:
        return self._world.file_limit(found.channel)


def _require(problems: list[str]) -> None:
    if problems:
        raise ApiError(50035, problems=problems)
