"""What people do in Slack: commands, mentions, clicks, menus, forms, shortcuts, the Home tab.

Every act is checked as Slack's own app checks it (`Refused` tells why it would not let them), goes
to the app by its socket or request URL, and returns when the app has acknowledged it or its
3 seconds are over.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from tests.fakes.slack import fields, payloads, rules
from tests.fakes.slack.answers import Answer, Refused
from tests.fakes.slack.delivery import COMMAND, EVENT, INTERACTIVE, Delivery, Envelope
from tests.fakes.slack.errors import SlackError
from tests.fakes.slack.interactions import Act, Interactions
from tests.fakes.slack.messages import Messages
from tests.fakes.slack.state import DM, Channel, File, Json, Message, Team, User, View
from tests.fakes.slack.views import Views
from tests.fakes.slack.world import World


class Actors:
    """The hands of all people; `FakeSlack` has these methods."""

    def __init__(
        self,
        world: World,
        messages: Messages,
        interactions: Interactions,
        views: Views,
        delivery: Delivery,
    ) -> None:
        self._world = world
        self._messages = messages
        self._interactions = interactions
        self._views = views
        self._delivery = delivery

    # --- Writing --------------------------------------------------------------------------------

    async def slash(self, user: User, channel: Channel, name: str, text: str = "") -> Answer:
        """Send a slash command. Slack takes none in threads: there is no way to ask for it."""
        self._may_write(user, channel)
        known = self._world.commands
        if known is not None and name not in known:
            raise Refused(f"{name} is not a valid command; there are {list(known)}")
        act = self._interactions.begin(user, channel)
        shown = payloads.escaped(text) if known is not None and known[name] else text
        url = self._interactions.url(act)
        payload = payloads.command(self._world, act, name, shown, url)
        return await self._told(act, COMMAND, payload)

    async def mention(
        self, user: User, channel: Channel, text: str, thread: Message | None = None
    ) -> Message:
        """Write `@atelier text` in a channel or below a message; returns what was written."""
        return await self.write(user, channel, f"<@{user.team.bot.id}> {text}", thread)

    async def dm(self, user: User, text: str, thread: Message | None = None) -> Message:
        """Write to the bot in the conversation with it."""
        return await self.write(user, self._world.conversation(user), text, thread)

    async def write(
        self, user: User, channel: Channel, text: str, thread: Message | None = None
    ) -> Message:
        """Write a message, and wait until the app has acknowledged the events that it makes."""
        self._may_write(user, channel)
        body: Json = {"text": payloads.escaped(text)}
        if thread is not None:
            body["thread_ts"] = thread.thread_ts or thread.ts
        before = len(self._delivery.sent)
        message = self._messages.create(channel, user, body)
        bot = user.team.bot
        named = f"<@{bot.id}>" in message.text and channel.kind != DM
        if named and bot in channel.members:
            shown = self._messages.show(message)
            where = {"channel": channel.id, "event_ts": message.ts}
            inner = shown | where | {"type": "app_mention", "client_msg_id": message.ts}
            self._world.announce(user.team, "app_mention", inner)
        for envelope in list(self._delivery.sent)[before:]:
            await self._delivery.answered(envelope)
        return message

    def attach(
        self, user: User, channel: Channel, name: str, data: bytes, text: str = ""
    ) -> Message:
        """Share a file in a channel, with or without words."""
        self._may_write(user, channel)
        identity = self._world.new_id("F")
        file = File(identity, user.team, name, len(data), user=user, state="complete", data=data)
        self._world.files[identity] = file
        return self._messages.attach(channel, user, {"text": text or " "}, [file])

    def delete(self, user: User, message: Message) -> None:
        """Delete a message: one's own, or as an admin any."""
        if message.user is not user and not (user.admin or user.owner):
            raise Refused(f"{user.name} may not delete this")
        self._messages.delete(message)

    # --- Clicking -------------------------------------------------------------------------------

    async def click(self, user: User, on: Message | View, button: str) -> Answer:
        """Press a button of a message, modal or Home tab: what is written on it, or action id."""
        block, element = fields.find(self._blocks(user, on), button)
        if element["type"] not in ("button", "workflow_button"):
            raise Refused(f"{button!r} is a {element['type']}")
        done: Json = {k: element[k] for k in ("text", "value", "style", "url") if k in element}
        return await self._block_action(user, on, block, element, done)

    async def select(
        self, user: User, on: Message | View, menu: str, value: str | list[str] | User | Channel
    ) -> Answer:
        """Choose in a menu, overflow, radio group or checkboxes, by value or label."""
        block, element = fields.find(self._blocks(user, on), menu)
        key = (block["block_id"], element["action_id"])
        if element["type"] == "overflow":
            options = element["options"]
            chosen = [o for o in options if value in (o.get("value"), o["text"]["text"])]
            if not chosen:
                raise Refused(f"no option {value!r}")
            return await self._block_action(
                user, on, block, element, {"selected_option": chosen[0]}
            )
        if block["type"] == "input" and not block.get("dispatch_action"):
            raise Refused("an input tells nothing before the form is sent")
        state = fields.state(element, value, on.offered.get(key, []))
        if isinstance(on, View):
            on.chosen[key] = state
        return await self._block_action(user, on, block, element, state)

    async def options(self, user: User, on: Message | View, menu: str, typed: str) -> list[Json]:
        """The suggestions of an external select after these letters were typed.

        Fails where the app gives none in time: the person would read that there is no result.
        """
        block, element = fields.find(self._blocks(user, on), menu)
        if "external" not in element["type"]:
            raise Refused(f"{menu!r} is a {element['type']}")
        if len(typed) < element.get("min_query_length", 3):
            raise Refused(f"nothing is asked before {element.get('min_query_length', 3)} letters")
        act = self._begin(user, on)
        payload = payloads.interactive(self._world, act, "block_suggestion")
        names = {"action_id": element["action_id"], "block_id": block["block_id"], "value": typed}
        payload |= names | self._source(act)
        answer = await self._told(act, INTERACTIVE, payload)
        told = answer.envelope.answer if answer.envelope.acked else None
        assert told is not None, "the options could not be loaded"
        self._world.violate("block_suggestion", rules.of_options(told))
        found: list[Json] = list(told.get("options") or [])
        found += [o for g in told.get("option_groups") or [] for o in g["options"]]
        on.offered.setdefault((block["block_id"], element["action_id"]), []).extend(found)
        return found

    async def shortcut(self, user: User, message: Message | None, callback_id: str) -> Answer:
        """Choose one of the app's shortcuts, in the menu of a message or, without one, anywhere."""
        kind = "message" if message is not None else "global"
        known = self._world.shortcuts
        if known is not None and known.get(callback_id) != kind:
            raise Refused(f"no {kind} shortcut {callback_id!r}; there are {known}")
        if message is None:
            act = self._interactions.begin(user)
            payload = payloads.interactive(self._world, act, "shortcut")
        else:
            self._sees(user, message)
            if message.ephemeral:
                raise Refused("private messages have no shortcuts")
            act = self._interactions.begin(user, message.channel, message=message)
            payload = payloads.interactive(self._world, act, "message_action")
            payload |= {
                "channel": payloads.channel(message.channel),
                "message": self._messages.show(message),
                "message_ts": message.ts,
                "response_url": self._interactions.url(act),
            }
        payload |= {"callback_id": callback_id, "action_ts": self._world.new_ts()}
        return await self._told(act, INTERACTIVE, payload)

    # --- Forms and the Home tab -----------------------------------------------------------------

    async def submit(self, user: User, view: View, values: dict[str, Any] | None = None) -> Answer:
        """Send a form. `values` are by label, block id or action id; the rest stays as it is.

        An external select takes a suggestion that `options` has shown, by value or label.
        """
        self._blocks(user, view)
        if not view.data.get("submit"):
            raise Refused("the form has no button to send it")
        fields.fill(view, values or {})
        view.errors = {}
        act = self._begin(user, view)
        payload = payloads.interactive(self._world, act, "view_submission")
        payload |= {"view": self._views.show(view), "response_urls": []}
        answer = await self._told(act, INTERACTIVE, payload)
        if answer.envelope.acked:
            with self._noting(act, "view_submission"):
                self._views.settle(act, answer.envelope.answer or {})
        return answer

    async def close(self, user: User, view: View) -> None:
        """Close a form by its button; the app hears of it where it asked to."""
        self._blocks(user, view)
        view.is_open = False
        if view.data.get("notify_on_close"):
            act = self._begin(user, view)
            payload = payloads.interactive(self._world, act, "view_closed")
            payload |= {"view": self._views.show(view), "is_cleared": False}
            await self._told(act, INTERACTIVE, payload)

    async def open_home(self, user: User) -> Envelope:
        """Look at the app's Home tab; what it shows is `home(user)`."""
        channel, home = self._world.conversation(user), self._world.homes.get(user)
        inner: Json = {"type": "app_home_opened", "user": user.id, "channel": channel.id}
        inner |= {"tab": "home", "event_ts": self._world.new_ts()}
        if home is not None:
            inner["view"] = self._views.show(home)
        before = len(self._delivery.sent)
        self._world.announce(user.team, "app_home_opened", inner)
        for envelope in list(self._delivery.sent)[before:]:
            await self._delivery.answered(envelope)
            return envelope
        raise Refused("the app is not told when its Home tab is opened")

    async def home(self, user: User, seconds: float = 20.0) -> View:
        """A person's Home tab, waited for."""
        await self._world.until(lambda: user in self._world.homes, seconds)
        return self._world.homes[user]

    def begin(self, user: User, channel: Channel | None = None) -> Act:
        """An act that the app is not told of: its trigger and response URL are for the test."""
        return self._interactions.begin(user, channel)

    def response_url(self, act: Act) -> str:
        """The response URL of an act."""
        return self._interactions.url(act)

    # --- Inside ---------------------------------------------------------------------------------

    def _announce(self, team: Team, kind: str, inner: Json) -> None:
        """Tell the app an event, if it has asked for this kind."""
        if kind in self._world.subscriptions:
            identity = self._world.new_id("Ev")
            self._delivery.send(EVENT, payloads.event(self._world, team, inner, identity))

    def _may_write(self, user: User, channel: Channel) -> None:
        if user not in channel.members:
            raise Refused(f"{user.name} is not in {channel.name}")
        if channel.archived:
            raise Refused(f"{channel.name} is archived")

    def _sees(self, user: User, message: Message) -> None:
        hidden = message.only_for not in (None, user)
        if message.deleted or hidden or not message.channel.seen_by(user):
            raise Refused(f"{user.name} does not see this message")

    def _blocks(self, user: User, on: Message | View) -> list[Json]:
        if isinstance(on, Message):
            self._sees(user, on)
            return on.blocks
        if on.user is not user or not on.is_open:
            raise Refused(f"this is not open on {user.name}'s screen")
        if self._views.top(on) is not on:
            raise Refused("another form lies on top of this one")
        return on.blocks

    def _begin(self, user: User, on: Message | View) -> Act:
        if isinstance(on, Message):
            return self._interactions.begin(user, on.channel, message=on)
        return self._interactions.begin(user, view=on)

    def _source(self, act: Act) -> Json:
        """Where it was done, as payloads tell it."""
        message, view = act.message, act.view
        if view is not None:
            return {
                "container": {"type": "view", "view_id": view.id},
                "view": self._views.show(view),
            }
        assert message is not None
        container: Json = {
            "type": "message",
            "message_ts": message.ts,
            "channel_id": message.channel.id,
            "is_ephemeral": message.ephemeral,
        }
        if message.thread_ts:
            container["thread_ts"] = message.thread_ts
        source: Json = {"container": container, "channel": payloads.channel(message.channel)}
        if not message.ephemeral:
            source["message"] = self._messages.show(message)
        return source

    async def _block_action(
        self, user: User, on: Message | View, block: Json, element: Json, done: Json
    ) -> Answer:
        act = self._begin(user, on)
        payload = payloads.interactive(self._world, act, "block_actions") | self._source(act)
        action = {"type": element["type"], "action_id": element["action_id"]}
        action |= {"block_id": block["block_id"], "action_ts": self._world.new_ts()}
        payload["actions"] = [action | done]
        if act.message is not None:
            payload["response_url"] = self._interactions.url(act)
            payload["state"] = {"values": {}}
        return await self._told(act, INTERACTIVE, payload)

    async def _told(self, act: Act, kind: str, payload: Json) -> Answer:
        act.envelope = self._delivery.send(kind, payload)
        acked = await self._delivery.answered(act.envelope)
        words = act.envelope.answer
        if acked and kind == COMMAND and words:
            with self._noting(act, "acknowledgement"):
                self._interactions.say(act, words, "acknowledgement")
        return Answer(act, self._world.changes)

    @contextlib.contextmanager
    def _noting(self, act: Act, where: str) -> Iterator[None]:
        """Note what Slack cannot use of an acknowledgement; the person reads of trouble."""
        try:
            yield
        except SlackError as error:
            act.trouble = error.name
            if not error.details:
                self._world.violate(where, [error.name])
