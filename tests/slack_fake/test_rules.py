"""What Slack refuses of messages and views; each wrong request is caught and named."""

from typing import Any

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tests.fakes.slack import Channel, FakeSlack, User, rules, schema
from tests.slack_fake.demo import Json, card, form, image, plain

BUTTON = {"type": "button", "text": plain("Go"), "action_id": "go"}
SECTION = {"type": "section", "text": {"type": "mrkdwn", "text": "hi"}}
PICTURE = {"type": "image", "image_url": "https://a.example/a.png", "alt_text": "a"}
SELECT = {
    "type": "static_select",
    "action_id": "s",
    "options": [{"text": plain("A"), "value": "a"}],
}


def actions(*elements: Json) -> Json:
    return {"type": "actions", "elements": list(elements)}


def options(number: int, **changed: Any) -> list[Json]:
    return [{"text": plain("A"), "value": str(n)} | changed for n in range(number)]


WRONG = {
    "51 blocks": [SECTION] * 51,
    "no text": [SECTION | {"text": {"type": "mrkdwn", "text": ""}}],
    "long section": [SECTION | {"text": {"type": "mrkdwn", "text": "x" * 3001}}],
    "long header": [{"type": "header", "text": plain("x" * 151)}],
    "eleven fields": [{"type": "section", "fields": [SECTION["text"]] * 11}],
    "two pictures": [PICTURE | {"slack_file": {"id": "F012345678"}}],
    "no picture": [{"type": "image", "alt_text": "a"}],
    "id and url": [image("F012345678") | {"slack_file": {"id": "F012345678", "url": "https://x"}}],
    "no file's id": [image("012345678")],
    "no alt text": [PICTURE | {"alt_text": ""}],
    "long alt text": [PICTURE | {"alt_text": "x" * 2001}],
    "26 buttons": [actions(*(BUTTON | {"action_id": str(n)} for n in range(26)))],
    "no buttons": [actions()],
    "one action_id twice": [actions(BUTTON, BUTTON)],
    "one block_id twice": [SECTION | {"block_id": "a"}, SECTION | {"block_id": "a"}],
    "long action_id": [actions(BUTTON | {"action_id": "x" * 256})],
    "long value": [actions(BUTTON | {"value": "x" * 2001})],
    "long label": [actions(BUTTON | {"text": plain("x" * 76)})],
    "markup on a button": [actions(BUTTON | {"text": {"type": "mrkdwn", "text": "*Go*"}})],
    "unknown style": [actions(BUTTON | {"style": "blue"})],
    "unknown key": [SECTION | {"colour": "blue"}],
    "unknown block": [{"type": "spoiler", "text": plain("x")}],
    "read back": [image("F012345678") | {"image_width": 8, "fallback": "8x8px image"}],
    "101 options": [actions(SELECT | {"options": options(101)})],
    "long option": [actions(SELECT | {"options": options(1, value="x" * 151)})],
    "equal options": [actions(SELECT | {"options": options(2, value="x")})],
    "strange initial option": [actions(SELECT | {"initial_option": options(1)[0]})],
    "11 context elements": [{"type": "context", "elements": [SECTION["text"]] * 11}],
    "11 in a container": [
        {"type": "container", "title": plain("T"), "child_blocks": [SECTION] * 11}
    ],
    "no title of a container": [{"type": "container", "child_blocks": [SECTION]}],
    "collapsed for ever": [
        {
            "type": "container",
            "title": plain("T"),
            "child_blocks": [SECTION],
            "default_collapsed": True,
        }
    ],
}
BY_SCHEMA = {"markup on a button", "unknown style", "unknown key", "unknown block", "read back"}
"""What only `@slack/types` knows."""


@pytest.mark.parametrize("name", WRONG)
def test_wrong_blocks_are_named(name: str) -> None:
    if name in BY_SCHEMA and not schema.is_here():
        pytest.skip(schema.MISSING)
    assert rules.of_blocks(WRONG[name])


def test_most_is_caught_where_slacks_schema_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "is_here", lambda: False)
    assert {n for n in WRONG if not rules.of_blocks(WRONG[n])} <= BY_SCHEMA


def test_right_blocks_are_let_through() -> None:
    right = [*card("F012345678", hidden=True), actions(SELECT, BUTTON), PICTURE]
    assert rules.of_blocks(right) == []
    assert rules.of_blocks([SECTION] * 50) == []
    assert rules.of_view(form()) == []
    assert rules.of_view({"type": "home", "blocks": [SECTION] * 100}) == []


WRONG_VIEWS: dict[str, Json] = {
    "long title": {"title": plain("x" * 25)},
    "long submit": {"submit": plain("x" * 25)},
    "no submit": {"submit": None},
    "no title": {"title": None},
    "long metadata": {"private_metadata": "x" * 3001},
    "long callback_id": {"callback_id": "x" * 256},
    "101 blocks": {"blocks": [SECTION] * 101},
    "no blocks": {"blocks": []},
    "no view": {"type": "message"},
    "too large": {"blocks": [SECTION | {"text": plain("x" * 3000)}] * 90},
    "unknown key": {"colour": "blue"},
    "unknown block": {"blocks": [{"type": "spoiler"}]},
}


@pytest.mark.parametrize("name", WRONG_VIEWS)
def test_wrong_views_are_named(name: str) -> None:
    if name in BY_SCHEMA and not schema.is_here():
        pytest.skip(schema.MISSING)
    view = {k: v for k, v in (form() | WRONG_VIEWS[name]).items() if v is not None}
    assert rules.of_view(view)


@pytest.mark.parametrize(
    "answer",
    [
        {"options": options(101)},
        {"options": options(1, text=plain("x" * 76))},
        {"options": options(1, value="x" * 151)},
        {"options": [], "option_groups": []},
        {},
    ],
)
def test_wrong_suggestions_are_named(answer: Json) -> None:
    assert rules.of_options(answer)
    assert rules.of_options({"options": options(100)}) == []


async def test_a_wrong_request_is_refused_in_slacks_words_and_remembered(
    slack: FakeSlack, client: AsyncWebClient, general: Channel
) -> None:
    blocks = [SECTION] * 51
    with pytest.raises(SlackApiError) as caught:
        await client.chat_postMessage(channel=general.id, text="x", blocks=blocks)
    answer = caught.value.response
    assert answer["error"] == "invalid_blocks"
    assert answer["errors"] == ["no more than 50 items allowed [json-pointer:/blocks]"]
    assert answer["response_metadata"]["messages"][0].startswith("[ERROR] no more than 50")
    assert general.posted == []
    assert slack.violations.pop().startswith("chat.postMessage: no more than 50")


async def test_a_wrong_view_is_refused_and_leaves_the_trigger_whole(
    slack: FakeSlack, client: AsyncWebClient, ana: User, general: Channel
) -> None:
    act = slack.begin(ana, general)
    with pytest.raises(SlackApiError) as caught:
        await client.views_open(trigger_id=act.trigger, view=form("x" * 25))
    assert caught.value.response["error"] == "invalid_arguments"
    assert slack.violations
    slack.violations.clear()
    await client.views_open(trigger_id=act.trigger, view=form())


@pytest.mark.filterwarnings("ignore:The top-level `text` argument is missing")
async def test_text_that_is_missing_or_too_long(
    slack: FakeSlack, client: AsyncWebClient, general: Channel
) -> None:
    message = (await client.chat_postMessage(channel=general.id, text="x"))["ts"]
    for call, error in (
        (client.chat_postMessage(channel=general.id, text=""), "no_text"),
        (client.chat_update(channel=general.id, ts=message, text="x" * 4001), "msg_too_long"),
        (client.chat_update(channel=general.id, ts=message), "no_text"),
        (
            client.chat_postMessage(channel=general.id, text="x", metadata={"event_type": "job"}),
            "invalid_metadata_format",
        ),
    ):
        with pytest.raises(SlackApiError) as caught:
            await call
        assert caught.value.response["error"] == error
    slack.violations.clear()
    await client.chat_postMessage(channel=general.id, text="x" * 40_001)
    assert len(general.posted[-1].text) == 40_000
    assert slack.violations.pop().endswith("and is cut")


async def test_an_edit_with_text_alone_takes_the_blocks_away(
    client: AsyncWebClient, general: Channel
) -> None:
    message = (await client.chat_postMessage(channel=general.id, text="x", blocks=card()))["ts"]
    await client.chat_update(channel=general.id, ts=message, text="y")
    assert (general.posted[0].text, general.posted[0].blocks) == ("y", [])
