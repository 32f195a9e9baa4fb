from collections.abc import AsyncIterator

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from tests.fakes.slack import Channel, FakeSlack, User
from tests.slack_fake.demo import Demo, http_mode, socket_mode


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    async with FakeSlack() as fake:
        fake.processing = 0.05
        yield fake


@pytest.fixture
def ana(slack: FakeSlack) -> User:
    return slack.user("Ana")


@pytest.fixture
def general(slack: FakeSlack, ana: User) -> Channel:
    """A public channel with Ana and the bot in it."""
    return slack.channel("general", ana)


@pytest.fixture
def client(slack: FakeSlack) -> AsyncWebClient:
    """The real client, with no retries of its own."""
    return AsyncWebClient(token=slack.bot_token, base_url=slack.api_url, retry_handlers=[])


@pytest.fixture
async def app(slack: FakeSlack, general: Channel) -> AsyncIterator[Demo]:
    """The app in Socket Mode."""
    async with socket_mode(slack) as demo:
        yield demo


@pytest.fixture(params=["socket", "http"])
async def either(
    request: pytest.FixtureRequest, slack: FakeSlack, general: Channel
) -> AsyncIterator[Demo]:
    """The app in Socket Mode, and again behind a request URL."""
    mode = socket_mode if request.param == "socket" else http_mode
    async with mode(slack) as demo:
        yield demo
