"""What people do in Discord: commands, clicks, choices, forms, messages.

Every act is checked as Discord's own app checks it (`Refused` tells why it would not let them),
goes to the bot over its gateway, and returns when the app has answered or its 3 seconds are over.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.fakes.discord import choosing, permissions
from tests.fakes.discord.answers import Answer, Modal, Refused
from tests.fakes.discord.forms import fill
from tests.fakes.discord.gateway import Gateway
from tests.fakes.discord.interactions import (
    AUTOCOMPLETE,
    COMMAND,
    COMPONENT,
    MODAL,
    Interaction,
    Interactions,
)
from tests.fakes.discord.messages import Messages, Upload
from tests.fakes.discord.permissions import May
from tests.fakes.discord.state import Channel, File, Json, Message, User
from tests.fakes.discord.world import World


class Actors:
    """The hands of all people; `FakeDiscord` has these methods."""

    def __init__(
        self, world: World, messages: Messages, interactions: Interactions, gateway: Gateway
    ) -> None:
        self._world = world
        self._messages = messages
        self._interactions = interactions
        self._gateway = gateway

    async def slash(self, user: User, channel: Channel, name: str, /, **options: object) -> Answer:
        """Send a chat command. `name` may hold subcommands: `"preset create"`.

        Options are text, numbers, booleans, or a `User`, `Channel`, `Role` or `File`.
        """
        data = choosing.command(self._world, self._messages, user, channel, name, options)
        return await self._act(COMMAND, user, channel, data)

    async def autocomplete(
        self, user: User, channel: Channel, name: str, /, focus: str, **options: object
    ) -> list[Json]:
        """The suggestions (`name` and `value`) for the option `focus` while a command is typed.

        Fails where the app gives none in time: the person would read that loading failed.
        """
        data = choosing.command(
            self._world, self._messages, user, channel, name, {focus: "", **options}, focus=focus
        )
        answer = await self._act(AUTOCOMPLETE, user, channel, data)
        assert answer.interaction.choices is not None, "loading the options failed"
        return answer.interaction.choices

    async def message_menu(self, user: User, name: str, message: Message) -> Answer:
        """Choose one of the app's entries in the menu of a message."""
        self._sees(user, message)
        command = choosing.menu(self._world, user, message.channel, name)
        shown = self._messages.show(message)
        data = {
            "id": command["id"],
            "name": name,
            "type": 3,
            "target_id": str(message.id),
            "resolved": {"messages": {str(message.id): shown}},
        }
        return await self._act(COMMAND, user, message.channel, data)

    async def click(self, user: User, message: Message, button: str) -> Answer:
        """Press a button, named by what is written on it or by its custom id."""
        self._sees(user, message)
        for part in message.parts():
            label = part.get("label") or part.get("emoji", {}).get("name")
            if part["type"] == 2 and button in (label, part.get("custom_id")):
                break
        else:
            raise Refused(f"no button {button!r}; there are {list(message.buttons)}")
        if part.get("disabled") or "custom_id" not in part:
            raise Refused(f"{button!r} cannot be pressed")
        data = {"custom_id": part["custom_id"], "component_type": 2, "id": part["id"]}
        return await self._act(COMPONENT, user, message.channel, data, message)

    async def select(
        self,
        user: User,
        message: Message,
        menu: str,
        values: Sequence[str | User | Channel | Any],
    ) -> Answer:
        """Choose in a select menu, named by its custom id or placeholder.

        Values of a text menu are its options' values or labels; others take what they are about.
        """
        self._sees(user, message)
        for part in message.parts():
            names = (part.get("custom_id"), part.get("placeholder"))
            if part["type"] in (3, 5, 6, 7, 8) and menu in names:
                break
        else:
            raise Refused(f"no menu {menu!r} on {message}")
        if part.get("disabled"):
            raise Refused(f"{menu!r} cannot be opened")
        resolved: Json = {}
        chosen = choosing.values(self._messages, message.channel, part, values, resolved)
        data = {
            "custom_id": part["custom_id"],
            "component_type": part["type"],
            "id": part["id"],
            "values": chosen,
            **({"resolved": resolved} if resolved else {}),
        }
        return await self._act(COMPONENT, user, message.channel, data, message)

    async def submit(
        self,
        modal: Modal,
        values: Mapping[str, object] | None = None,
        files: Mapping[str, Sequence[File]] | None = None,
    ) -> Answer:
        """Send a form. `values` and `files` are by label or custom id; the rest stays as it was."""
        source = modal.interaction
        components, resolved = fill(
            modal, values or {}, files or {}, self._messages, source.channel
        )
        data: Json = {
            "custom_id": modal.data["custom_id"],
            "components": components,
            "triggered_by": source.metadata,
            **({"resolved": resolved} if resolved else {}),
        }
        return await self._act(MODAL, modal.user, source.channel, data, source.source)

    def post(
        self, user: User, channel: Channel, content: str = "", files: Sequence[File] = ()
    ) -> Message:
        """A person writes a message; the fake's limits for files do not bind people."""
        uploads = [Upload(n, f.name, f.data) for n, f in enumerate(files)]
        return self._messages.create(channel, user, {"content": content}, uploads, limit=1 << 30)

    def remove(self, user: User, message: Message) -> None:
        """A person deletes a message: the own one, or as a moderator any."""
        granted = permissions.in_channel(user, message.channel)
        mine = message.author is user or message.only_for is user
        if not mine and not granted & May.MANAGE_MESSAGES:
            raise Refused(f"{user.name} may not delete this")
        self._world.delete_message(message)

    def fetch(self, url: str) -> bytes:
        """The bytes behind an attachment's address, as anybody gets them."""
        return self._world.files[int(url.split("/")[-2])].data

    # --- Inside ---------------------------------------------------------------------------------

    def _sees(self, user: User, message: Message) -> None:
        if message.deleted or not message.visible_to(user):
            raise Refused(f"{user.name} does not see this message")
        if not permissions.in_channel(user, message.channel) & May.VIEW_CHANNEL:
            raise Refused(f"{user.name} does not see this channel")

    async def _act(
        self,
        kind: int,
        user: User,
        channel: Channel,
        data: Json,
        source: Message | None = None,
    ) -> Answer:
        made, event = self._interactions.make(kind, user, channel, data, source)
        self._gateway.dispatch("INTERACTION_CREATE", event, channel.guild, always=True)
        await self._answered(made)
        return Answer(made, self._world.changes)

    async def _answered(self, made: Interaction) -> None:
        within = self._interactions.answer_within
        now = self._world.clock.now
        await self._world.changes.until(
            lambda: made.answer is not None or now() > made.sent + within,
            within + 0.05,
            about=made,
        )
