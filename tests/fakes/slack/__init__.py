"""A Slack on loopback that the real slack_bolt and slack_sdk, or a whole `atelier run`, talk to.

    async with FakeSlack() as slack:
        ana = slack.user("Ana")
        general = slack.channel("general", ana)
        ...                                  # start the app at slack.api_url with slack.bot_token
        await slack.sockets.until_connected()
        answer = await slack.slash(ana, general, "/imagine", "a cat")
        result = await slack.posted(general, lambda m: m.buttons)
        (seen,) = [s for s in slack.seen_by(ana, general) if s.message is result]
        assert seen.pictures[0].image.size == (512, 512)
        again = await slack.click(ana, result, "Again")

`user`, `channel`, `conversation`, `install` … set the scene (world.py); `slash`, `click`, `submit`
… are what people do (actors.py); `seen_by`, `files_of` and `pictures_of` are what they see
(seeing.py); `clock.move` lets time pass; `api.calls`, `api.limited`, `delivery.late` and
`violations` tell what the app did; `api.faults`, `delivery.copies`, `sockets.kill` … make trouble.
The app is told things over its sockets, or by signed HTTP once `requests.url` is set.

It knows: the Web API methods in chat.py, conversations.py, files.py, views.py and people.py, with
scopes, tiers and Slack's error names; the 3 s of acknowledgements and triggers; 5 uses of a
response URL in 30 minutes; the processing of fresh files; that posting shares a file and editing
does not; events told again without an ack. Blocks and views are judged by `@slack/types` as JSON
Schema where shared/data has it, by slack_sdk's models, and by rules.py.

It does not know, and takes the cautious side of what nobody has tried on Slack itself: pictures by
file in private messages and by response URLs are broken unless the channel already has the file;
in modals, unless the person sees a channel that has it. It fetches no `image_url`, renders no
mrkdwn, and has no streaming, canvases, workflows, reactions, pins, enterprise grids, OAuth
installs, shared channels or edits by people. With `alt_txt`, an upload into a channel is never
shared, which on Slack happens sometimes.
"""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from aiohttp import web

from tests.fakes.slack.actors import Actors
from tests.fakes.slack.answers import Answer, Refused
from tests.fakes.slack.api import Api, Call, Fault, spoilt
from tests.fakes.slack.asking import Method
from tests.fakes.slack.chat import Chat
from tests.fakes.slack.conversations import Conversations
from tests.fakes.slack.delivery import COMMAND, EVENT, INTERACTIVE, Delivery, Envelope
from tests.fakes.slack.files import Files
from tests.fakes.slack.interactions import Interactions
from tests.fakes.slack.limits import Rates
from tests.fakes.slack.messages import Messages
from tests.fakes.slack.people import People
from tests.fakes.slack.requests import Reply, Requests, signature
from tests.fakes.slack.seeing import Eyes, Picture, Seen
from tests.fakes.slack.sockets import Sockets
from tests.fakes.slack.state import Channel, File, Message, Team, User, View
from tests.fakes.slack.views import Views
from tests.fakes.slack.world import World

__all__ = [
    "COMMAND",
    "EVENT",
    "INTERACTIVE",
    "Answer",
    "Call",
    "Channel",
    "Envelope",
    "FakeSlack",
    "Fault",
    "File",
    "Message",
    "Picture",
    "Rates",
    "Refused",
    "Reply",
    "Seen",
    "Team",
    "User",
    "View",
    "signature",
]


class FakeSlack(Actors, World):
    """One Slack with one app in it, served as long as it is entered.

    Leaving it fails where the app broke Slack's rules. A test that breaks them on purpose clears
    `violations` after having looked at them.
    """

    def __init__(self) -> None:
        World.__init__(self)
        self.app_token = f"xapp-1-{self.app_id}-fake"
        self.delivery = Delivery(self)
        self.sockets = Sockets(self, self.delivery)
        self.requests = Requests(self, self.delivery, "fake-signing-secret")
        self.delivery.carry = self._carry
        self.delivery.ready = lambda: bool(self.requests.url or self.sockets.connected)
        messages = Messages(self)
        self._interactions = Interactions(self, messages)
        views = Views(self, messages, self._interactions)
        Actors.__init__(self, self, messages, self._interactions, views, self.delivery)
        self.announce = self._announce
        self._files = Files(self, messages)
        parts = (Chat(self, messages), Conversations(self, messages), self._files, views)
        methods = {k: v for p in (*parts, People(self)) for k, v in p.methods.items()}
        methods["apps.connections.open"] = Method(
            lambda asked: self.sockets.ticket(), 0, ("connections:write",)
        )
        self.api = Api(self, methods, self.app_token)
        self._eyes = Eyes(self)
        self._runner: web.AppRunner | None = None

    @property
    def api_url(self) -> str:
        """For `SLACK_API_URL`."""
        return f"{self.address}/api/"

    @property
    def bot_token(self) -> str:
        """For `SLACK_BOT_TOKEN`: the one of the first workspace."""
        return self.team.bot_token

    @property
    def environment(self) -> dict[str, str]:
        """What points a whole process at this Slack: Socket Mode, or HTTP with `requests.url`."""
        common = {"SLACK_API_URL": self.api_url, "SLACK_BOT_TOKEN": self.bot_token}
        if self.requests.url is None:
            return common | {"SLACK_APP_TOKEN": self.app_token}
        return common | {"SLACK_SIGNING_SECRET": self.requests.secret}

    # --- What people see ------------------------------------------------------------------------

    def seen_by(self, user: User, channel: Channel) -> list[Seen]:
        """The messages that this person sees in a channel, threads included, oldest first."""
        return self._eyes.channel(user, channel)

    def sight(self, user: User, message: Message) -> Seen:
        """One message as this person sees it."""
        return self._eyes.message(user, message)

    def files_of(self, user: User, channel: Channel) -> list[File]:
        """The files that a channel's Files tab lists, with their names and previews."""
        return self._eyes.files(user, channel)

    def pictures_of(self, view: View) -> tuple[Picture, ...]:
        """The pictures of a modal or Home tab as its person sees them."""
        return self._eyes.view(view)

    async def repeat(self, what: Answer | Envelope) -> None:
        """Tell the app the same thing once more: the same envelope, or a retry over HTTP."""
        await self.delivery.repeat(what.envelope if isinstance(what, Answer) else what)

    # --- Serving --------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=256 << 20)
        app.router.add_route("*", "/api/{method}", self.api.serve)
        app.router.add_get("/link/", self.sockets.serve)
        app.router.add_post("/upload/v1/{file}", self._take_upload)
        app.router.add_post("/response/{hook}", self._take_response)
        app.router.add_get("/files-pri/{team}-{file}/{name}", self._give_file)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.address = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._runner is not None
        await self.delivery.stop()
        await self._runner.cleanup()
        if error is None:
            assert not self.violations, "\n".join(self.violations)

    async def _carry(self, envelope: Envelope) -> bool:
        if self.requests.url is not None:
            return await self.requests.carry(envelope)
        return await self.sockets.carry(envelope)

    async def _take_upload(self, request: web.Request) -> web.StreamResponse:
        return await self._with_fault("upload", request, self._files.take)

    async def _give_file(self, request: web.Request) -> web.StreamResponse:
        return await self._with_fault("files-pri", request, self._files.give)

    async def _take_response(self, request: web.Request) -> web.StreamResponse:
        return await self._with_fault("response_url", request, self._interactions.hooked)

    async def _with_fault(
        self,
        name: str,
        request: web.Request,
        serve: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        fault = self.api.fault(name)
        if fault is not None:
            await asyncio.sleep(fault.delay)
            if fault.spoils and not fault.after:
                return spoilt(fault, request)
        answer = await serve(request)
        return spoilt(fault, request) if fault is not None and fault.spoils else answer
