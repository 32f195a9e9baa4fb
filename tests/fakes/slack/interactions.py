"""What people do, and what comes of it: triggers that live 3 s, and response URLs with 5 uses."""

from dataclasses import dataclass, field

from aiohttp import web

from tests.fakes.slack.delivery import Envelope
from tests.fakes.slack.errors import SlackError
from tests.fakes.slack.messages import Messages
from tests.fakes.slack.state import Channel, Json, Message, User, View
from tests.fakes.slack.world import World

TRIGGER_LIVES, HOOK_LIVES, HOOK_USES = 3.0, 1800.0, 5
"""Seconds of a trigger_id and of a response_url, and how often the latter may be used."""


@dataclass(eq=False)
class Act:
    """Something that one person did, and all that the app has made of it so far."""

    user: User
    at: float
    trigger: str
    hook: str
    channel: Channel | None = None
    message: Message | None = None
    """Where a button or menu was, or what a shortcut is about."""
    view: View | None = None
    """The modal or Home tab in which it was done."""
    envelope: Envelope | None = field(default=None, repr=False)
    exchanged: bool = False
    uses: int = 0
    trouble: str | None = None
    """Why Slack could not use what came with the acknowledgement."""
    modal: View | None = None
    said: list[Message] = field(default_factory=list)
    """Messages by the acknowledgement and the response_url, private ones and open ones."""


class Interactions:
    """Keeps all acts by their trigger and their response URL."""

    def __init__(self, world: World, messages: Messages) -> None:
        self._world = world
        self._messages = messages
        self._by_trigger: dict[str, Act] = {}
        self._by_hook: dict[str, Act] = {}

    def begin(
        self,
        user: User,
        channel: Channel | None = None,
        *,
        message: Message | None = None,
        view: View | None = None,
    ) -> Act:
        """A new act, with a fresh trigger and response URL."""
        identity = self._world.new_id("H")
        trigger = f"{identity}.{user.team.id}.fake"
        act = Act(user, self._world.clock.now(), trigger, identity, channel, message, view)
        self._by_trigger[trigger] = self._by_hook[identity] = act
        return act

    def url(self, act: Act) -> str:
        """The response_url of an act."""
        return f"{self._world.address}/response/{act.hook}"

    def exchange(self, trigger: str) -> Act:
        """Give up a trigger for a modal: once, and within 3 seconds."""
        act = self._by_trigger.get(trigger)
        if act is None:
            raise SlackError("invalid_trigger_id")
        if self._world.clock.now() - act.at > TRIGGER_LIVES:
            raise SlackError("expired_trigger_id")
        if act.exchanged:
            raise SlackError("exchanged_trigger_id")
        act.exchanged = True
        return act

    def say(self, act: Act, body: Json, where: str) -> Message:
        """Write by an acknowledgement or response URL: for the person only, unless `in_channel`.

        Such messages share no file with the channel: nobody has shown that they do.
        """
        assert act.channel is not None, "there is no channel to answer in"
        public = body.get("response_type") == "in_channel"
        thread = act.message.thread_ts if act.message is not None else None
        body = {"thread_ts": thread, **body} if thread else body
        message = self._messages.create(
            act.channel,
            act.user.team.bot,
            body,
            only_for=None if public else act.user,
            shares=False,
            where=where,
        )
        act.said.append(message)
        self._world.changes.tell(act)
        return message

    async def hooked(self, request: web.Request) -> web.Response:
        """Serve a response URL."""
        act = self._by_hook.get(request.match_info["hook"])
        if act is None or act.channel is None:
            return web.Response(status=404, text="no_such_url")
        if self._world.clock.now() - act.at > HOOK_LIVES:
            return web.json_response({"ok": False, "error": "expired_url"}, status=404)
        act.uses += 1
        if act.uses > HOOK_USES:
            self._world.violate("response_url", [f"used {act.uses} times; at most {HOOK_USES}"])
            return web.json_response({"ok": False, "error": "used_url"}, status=404)
        try:
            self._respond(act, await request.json())
        except SlackError as error:
            return web.json_response(error.body())
        except ValueError:
            return web.Response(status=400, text="invalid_payload")
        return web.Response(text="ok")

    def _respond(self, act: Act, body: Json) -> None:
        where, source = "response_url", act.message
        if source is None and act.said:
            source = act.said[0]
        if body.get("delete_original"):
            if source is None:
                raise SlackError("message_not_found")
            self._messages.delete(source)
        elif body.get("replace_original") and source is not None:
            self._messages.edit(source, body, where=where)
        else:
            self.say(act, body, where)
