"""A small app on the real slack_bolt that does once what ours does all the time."""

import asyncio
import contextlib
import io
import re
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web
from PIL import Image
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tests.fakes.slack import FakeSlack

Json = dict[str, Any]


def picture(colour: str = "red", kind: str = "PNG") -> bytes:
    """A small picture of one colour."""
    with io.BytesIO() as file:
        Image.new("RGB", (8, 8), colour).save(file, kind)
        return file.getvalue()


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def image(file: str, alt: str = "a cat") -> Json:
    return {"type": "image", "slack_file": {"id": file}, "alt_text": alt}


def card(*files: str, hidden: bool = False) -> list[Json]:
    """A result: pictures, a line, and buttons."""
    pictures = [image(f) for f in files]
    if hidden:
        pictures = [
            {
                "type": "container",
                "title": plain("Sensitive, open to view"),
                "is_collapsible": True,
                "default_collapsed": True,
                "child_blocks": pictures,
            }
        ]
    button = {"type": "button", "text": plain("Edit"), "action_id": "v1:edit:job1", "value": "job1"}
    line = {"type": "section", "text": {"type": "mrkdwn", "text": "seed 7"}}
    return [*pictures, line, {"type": "actions", "elements": [button]}]


def form(title: str = "Imagine", callback_id: str = "form") -> Json:
    """A modal with a text and an external select."""
    text = {"type": "plain_text_input", "action_id": "value", "max_length": 100}
    search = {"type": "external_select", "action_id": "preset", "min_query_length": 0}
    return {
        "type": "modal",
        "callback_id": callback_id,
        "title": plain(title),
        "submit": plain("Draw"),
        "blocks": [
            {"type": "input", "block_id": "prompt", "label": plain("Prompt"), "element": text},
            {
                "type": "input",
                "block_id": "preset",
                "label": plain("Preset"),
                "element": search,
                "optional": True,
            },
        ],
    }


async def upload(client: AsyncWebClient, data: bytes, name: str = "cat.png") -> str:
    """The id of a file that has been uploaded and shared with nobody."""
    answer = await client.files_upload_v2(file=data, filename=name)
    return str(answer["files"][0]["id"])


async def post(client: AsyncWebClient, channel: str, blocks: list[Json], **more: Any) -> Any:
    """Post, again and again as long as a file is not ready."""
    for _ in range(40):
        try:
            return await client.chat_postMessage(
                channel=channel, blocks=blocks, text="done", **more
            )
        except SlackApiError as error:
            if "invalid slack file" not in str(error.response.data):
                raise
        await asyncio.sleep(0.05)
    raise AssertionError("the file never became ready")


class Demo:
    """The app. `bodies` is what it was told, `gate` holds its acknowledgements back."""

    def __init__(self, slack: FakeSlack) -> None:
        self.slack = slack
        self.bodies: list[Json] = []
        self.errors: list[Exception] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.app = AsyncApp(
            token=slack.bot_token,
            signing_secret=slack.requests.secret,
            client=AsyncWebClient(token=slack.bot_token, base_url=slack.api_url),
        )
        self.app.use(self._note)
        self.app.error(self._keep)
        self.app.command("/imagine")(self._command)
        self.app.event("app_mention")(self._mention)
        self.app.event("message")(self._message)
        self.app.event("app_home_opened")(self._home)
        self.app.event("tokens_revoked")(self._message)
        self.app.action(re.compile("v1:.*"))(self._edit)
        self.app.action("pick")(self._picked)
        self.app.shortcut("from_message")(self._shortcut)
        self.app.options("preset")(self._options)
        self.app.view("form")(self._sent)
        self.app.view_closed("form")(self._closed)
        self.app.view("stack")(self._stacked)
        self.next: Json = {}
        """What the next submit of a form called `stack` is answered."""

    @property
    def client(self) -> AsyncWebClient:
        return self.app.client

    async def _note(self, body: Json, next: Any) -> None:  # noqa: A002
        self.bodies.append(body)
        await self.gate.wait()
        await next()

    async def _keep(self, error: Exception) -> None:
        self.errors.append(error)

    async def _command(self, ack: Any, command: Json, client: AsyncWebClient, respond: Any) -> None:
        if not command["text"]:
            await ack()
            await client.views_open(trigger_id=command["trigger_id"], view=form())
        elif command["text"].startswith("--"):
            await ack("I do not know that flag.")
        else:
            await ack()
            await self.draw(command["channel_id"], command["text"])

    async def _mention(self, event: Json) -> None:
        await self.draw(event["channel"], event["text"], event.get("thread_ts") or event["ts"])

    async def _message(self, event: Json) -> None:
        if event.get("channel_type") == "im" and "subtype" not in event:
            await self.draw(event["channel"], event["text"])

    async def _edit(self, ack: Any, body: Json, client: AsyncWebClient) -> None:
        await ack()
        await client.views_open(trigger_id=body["trigger_id"], view=form("Edit"))

    async def _picked(self, ack: Any, respond: Any, action: Json) -> None:
        await ack()
        await respond(f"You chose {action['selected_option']['value']}.", replace_original=False)

    async def _shortcut(self, ack: Any, shortcut: Json, client: AsyncWebClient) -> None:
        await ack()
        view = form("From a message")
        view["blocks"][0]["element"]["initial_value"] = shortcut["message"]["text"]
        await client.views_open(trigger_id=shortcut["trigger_id"], view=view)

    async def _options(self, ack: Any, payload: Json) -> None:
        names = [n for n in ("dreamy", "ghibli") if n.startswith(payload["value"])]
        await ack(options=[{"text": plain(n.title()), "value": n} for n in names])

    async def _sent(self, ack: Any, view: Json, body: Json) -> None:
        values = view["state"]["values"]
        prompt, preset = values["prompt"]["value"]["value"], values["preset"]["preset"]
        if prompt == "nothing":
            await ack(response_action="errors", errors={"prompt": "Say what to draw."})
            return
        await ack()
        chosen = (preset["selected_option"] or {}).get("value")
        channel = await self.client.conversations_open(users=body["user"]["id"])
        await self.draw(channel["channel"]["id"], f"{prompt} {chosen}")

    async def _closed(self, ack: Any) -> None:
        await ack()

    async def _stacked(self, ack: Any) -> None:
        await ack(**self.next)

    async def _home(self, event: Json, client: AsyncWebClient) -> None:
        line = {"type": "section", "text": {"type": "mrkdwn", "text": "Your presets"}}
        view = {"type": "home", "blocks": [line, card()[-1]]}
        await client.views_publish(user_id=event["user"], view=view)

    async def draw(self, channel: str, text: str, thread: str | None = None) -> None:
        """Progress in one message, the result in a new one, the progress taken away."""
        at: Json = {"thread_ts": thread} if thread else {}
        first = await self.client.chat_postMessage(channel=channel, text="0 %", **at)
        await self.client.chat_update(channel=first["channel"], ts=first["ts"], text="50 %")
        file = await upload(self.client, picture())
        metadata = {"event_type": "job", "event_payload": {"prompt": text}}
        place = first["channel"]
        await post(self.client, place, card(file), metadata=metadata, **at)
        await self.client.chat_delete(channel=place, ts=first["ts"])


@contextlib.asynccontextmanager
async def socket_mode(slack: FakeSlack) -> AsyncIterator[Demo]:
    """The app, connected by Socket Mode."""
    demo = Demo(slack)
    handler = AsyncSocketModeHandler(demo.app, slack.app_token, ping_interval=0.2)
    await handler.connect_async()  # type: ignore[no-untyped-call]
    await slack.sockets.until_connected()
    try:
        yield demo
    finally:
        demo.gate.set()
        await handler.close_async()  # type: ignore[no-untyped-call]


@contextlib.asynccontextmanager
async def http_mode(slack: FakeSlack) -> AsyncIterator[Demo]:
    """The app, behind a request URL."""
    demo = Demo(slack)
    runner = web.AppRunner(demo.app.web_app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    slack.requests.url = "http://{}:{}/slack/events".format(*runner.addresses[0][:2])
    try:
        yield demo
    finally:
        demo.gate.set()
        await runner.cleanup()
