"""One thing that a person did at Slack, whatever kind of payload tells of it.

Slack waits 3 seconds for an acknowledgement, and only it can carry the first private words of a
command. So whatever comes first is awaited for 1.5 seconds; after that the rest follows by the
payload's own address, which takes five answers in 30 minutes.
"""

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import structlog
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.respond.async_respond import AsyncRespond
from slack_sdk.errors import SlackApiError
from slack_sdk.models.views import View
from slack_sdk.web.async_client import AsyncWebClient

from bot.surfaces.slack.calls import CALL_TIMEOUT_S, CallFailed, called
from bot.surfaces.slack.receipts import Where

FIRST_S: Final = 1.5
MOST_ANSWERS: Final = 5
MOST_TEXT: Final = 3900

T = TypeVar("T")

log = structlog.get_logger()


class Interaction:
    """What was done, by whom and where, and the ways to answer it."""

    def __init__(
        self,
        body: Mapping[str, Any],
        ack: AsyncAck,
        client: AsyncWebClient,
        respond: AsyncRespond | None = None,
    ) -> None:
        self.body = body
        self.ack = ack
        self.client = client
        self._respond = respond if respond is not None and respond.response_url else None
        self._answers = 0

    # --- What Slack says ----------------------------------------------------------------------

    @property
    def event(self) -> Mapping[str, Any]:
        """The event, where the payload tells of one."""
        return _dict(self.body.get("event"))

    @property
    def team(self) -> str:
        """The workspace."""
        named = (
            self.body.get("team_id"),
            _dict(self.body.get("team")).get("id"),
            _dict(self.body.get("user")).get("team_id"),
            self.event.get("team"),
        )
        return next((str(one) for one in named if one), "")

    @property
    def user(self) -> str:
        """Who did it."""
        user = self.body.get("user")
        named = (
            self.body.get("user_id"),
            user if isinstance(user, str) else _dict(user).get("id"),
            self.event.get("user"),
        )
        return next((str(one) for one in named if one), "")

    @property
    def user_name(self) -> str:
        """What people call them, or nothing where the payload does not say."""
        user = _dict(self.body.get("user"))
        return str(self.body.get("user_name") or user.get("username") or user.get("name") or "")

    @property
    def channel(self) -> str:
        """Where it was done; nothing for a Home tab or a form without a place."""
        named = (
            self.body.get("channel_id"),
            _dict(self.body.get("channel")).get("id"),
            _dict(self.body.get("container")).get("channel_id"),
            self.event.get("channel"),
            self.kept.get("channel"),
        )
        return next((str(one) for one in named if one), "")

    @property
    def message(self) -> Mapping[str, Any]:
        """The message it was done to, if any."""
        return _dict(self.body.get("message"))

    @property
    def thread(self) -> str | None:
        """The thread it was done in, if any."""
        kept, container = self.kept.get("thread"), _dict(self.body.get("container"))
        named = (
            self.event.get("thread_ts"),
            self.message.get("thread_ts"),
            container.get("thread_ts"),
            kept,
        )
        found = next((str(one) for one in named if one), None)
        # The first message of a thread carries its own number; answering there opens the thread.
        return None if found == self.message.get("ts") and not kept else found

    @property
    def view(self) -> Mapping[str, Any]:
        """The form or Home tab it was done in, if any."""
        return _dict(self.body.get("view"))

    @property
    def form(self) -> bool:
        """Whether a form was sent; it is still open until it is acknowledged."""
        return bool(self.body.get("type") == "view_submission")

    @property
    def kept(self) -> Mapping[str, Any]:
        """What was kept in the form: where it was opened, and whatever it is about."""
        try:
            return _dict(json.loads(str(self.view.get("private_metadata") or "{}")))
        except ValueError:
            return {}

    @property
    def action(self) -> Mapping[str, Any]:
        """The button or menu that was used."""
        actions = self.body.get("actions")
        return _dict(actions[0]) if isinstance(actions, Sequence) and actions else {}

    @property
    def chosen(self) -> str:
        """The value of the button, or what was chosen in the menu."""
        action = self.action
        option = _dict(action.get("selected_option"))
        return str(option.get("value") or action.get("value") or "")

    @property
    def fields(self) -> Mapping[str, str]:
        """The fields of a form by their action id, empty ones as empty text."""
        found = {}
        for block in _dict(_dict(self.view.get("state")).get("values")).values():
            for name, one in _dict(block).items():
                option = _dict(_dict(one).get("selected_option"))
                chosen = [
                    str(_dict(o).get("value", "")) for o in _dict(one).get("selected_options") or ()
                ]
                chosen += [str(user) for user in _dict(one).get("selected_users") or ()]
                text = (
                    _dict(one).get("value")
                    or option.get("value")
                    or _dict(one).get("selected_conversation")
                    or ", ".join(chosen)
                )
                found[str(name)] = str(text or "")
        return found

    @property
    def trigger(self) -> str:
        """What opens a form within three seconds."""
        return str(self.body.get("trigger_id") or "")

    @property
    def key(self) -> str:
        """The same for every copy of this payload that Slack may send."""
        return str(self.body.get("event_id") or self.trigger)

    @property
    def where(self) -> Where:
        """Where messages about it go."""
        return Where(channel=self.channel, user=self.user, name=self.user_name, thread=self.thread)

    # --- Answering ----------------------------------------------------------------------------

    @property
    def acknowledged(self) -> bool:
        return self.ack.response is not None

    async def bounded(self, work: asyncio.Task[T]) -> T:
        """The result of `work`; Slack is told in time that it goes on."""
        done, _ = await asyncio.wait({work}, timeout=FIRST_S)
        if not done and not self.acknowledged:
            await self.ack()
        return await work

    async def tell(self, text: str) -> None:
        """Say something for their eyes only; trouble with that is theirs to bear.

        Where the channel does not take it, it comes as a direct message. A form that waits for its
        answer stays open with the words below its first field.
        """
        text = text[:MOST_TEXT]
        if not self.acknowledged and self.form:
            await self.ack(response_action="errors", errors={self._first_field: text})
            return
        if not self.acknowledged and "command" in self.body:
            await self.ack(text, response_type="ephemeral")
            return
        if not self.acknowledged:
            await self.ack()
        if not await self._responded(text):
            await self._posted(text)

    async def show(self, blocks: list[dict[str, Any]], text: str, *, replace: bool = False) -> None:
        """The same with blocks; `text` is for notifications.

        With `replace` it takes the place of the private message with the button or menu.
        """
        if not self.acknowledged and "command" in self.body:
            await self.ack(text=text, blocks=blocks, response_type="ephemeral")
            return
        if not self.acknowledged:
            await self.ack()
        if not await self._responded(text, blocks, replace=replace):
            await self._posted(text, blocks)

    async def open(self, view: View) -> str:
        """Open a form and return its id; it must be the first thing that happens, within three
        seconds.

        Raises:
            CallFailed
        """
        if not self.acknowledged:
            await self.ack()
        opened = await called(
            "views.open", self.client.views_open(trigger_id=self.trigger, view=view.to_dict())
        )
        return str((opened.get("view") or {}).get("id", ""))

    async def change(self, view_id: str, view: View) -> None:
        """Put another form in the place of one that is open.

        Raises:
            CallFailed: among other reasons, it has been closed.
        """
        await called("views.update", self.client.views_update(view_id=view_id, view=view.to_dict()))

    @property
    def _first_field(self) -> str:
        blocks = self.view.get("blocks") or ()
        return next((str(b["block_id"]) for b in blocks if b.get("type") == "input"), "")

    async def _posted(self, text: str, blocks: list[dict[str, Any]] | None = None) -> None:
        """Without an address to answer at: in the channel, or directly where it takes nothing."""
        direct = self.channel.startswith("D")
        if self.channel and not direct:
            with contextlib.suppress(CallFailed):
                await called(
                    "chat.postEphemeral",
                    self.client.chat_postEphemeral(
                        channel=self.channel,
                        user=self.user,
                        text=text,
                        blocks=blocks,
                        thread_ts=self.thread,
                    ),
                )
                return
        try:
            await called(
                "chat.postMessage",
                self.client.chat_postMessage(
                    channel=self.channel if direct else self.user,
                    text=text,
                    blocks=blocks,
                    thread_ts=self.thread if direct else None,
                ),
            )
        except CallFailed as error:
            log.info("private answer not delivered", error=error.error)

    async def _responded(
        self, text: str, blocks: list[dict[str, Any]] | None = None, *, replace: bool = False
    ) -> bool:
        if self._respond is None or self._answers >= MOST_ANSWERS:
            return False
        self._answers += 1
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                answer = await self._respond(
                    text=text, blocks=blocks, response_type="ephemeral", replace_original=replace
                )
        except (SlackApiError, OSError, TimeoutError) as error:
            log.info("private answer not taken", error=type(error).__name__)
            return False
        return bool(answer.status_code == 200)


def _dict(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
