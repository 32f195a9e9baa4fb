"""Three seconds for acknowledgements and triggers, five uses of a response URL."""

import asyncio
import functools

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tests.fakes.slack import Channel, FakeSlack, User
from tests.slack_fake.demo import Demo, card, form, picture, upload


async def test_who_does_not_acknowledge_in_three_seconds_has_failed(
    slack: FakeSlack, either: Demo, ana: User, general: Channel
) -> None:
    either.gate.clear()
    act = asyncio.create_task(slack.slash(ana, general, "/imagine", "--x"))
    await slack.until(lambda: either.bodies)
    slack.clock.move(3.1)
    answer = await act
    assert answer.failed
    assert slack.delivery.late == [answer.envelope]
    either.gate.set()
    await slack.until(lambda: answer.envelope.acks)
    assert (answer.failed, answer.text, answer.envelope.acked) == (True, "", False)


async def test_a_late_form_stays_open_and_late_suggestions_are_none(
    slack: FakeSlack, app: Demo, ana: User, general: Channel
) -> None:
    act = slack.begin(ana, general)
    await app.client.views_open(trigger_id=act.trigger, view=form())
    modal = act.modal
    assert modal is not None
    app.gate.clear()
    for work in (
        slack.submit(ana, modal, {"Prompt": "a"}),
        slack.options(ana, modal, "preset", ""),
    ):
        seen = len(app.bodies)
        task = asyncio.create_task(work)
        await slack.until(functools.partial(heard_more, app, seen))
        slack.clock.move(3.1)
        await asyncio.wait([task])
    assert isinstance(task.exception(), AssertionError)
    assert modal.is_open
    assert len(slack.delivery.late) == 2


async def test_a_trigger_lives_three_seconds_and_serves_once(
    slack: FakeSlack, client: AsyncWebClient, ana: User, general: Channel
) -> None:
    act, old = slack.begin(ana, general), slack.begin(ana, general)
    await client.views_open(trigger_id=act.trigger, view=form())
    for seconds, trigger, error in (
        (0.0, act.trigger, "exchanged_trigger_id"),
        (0.0, "1.2.3", "invalid_trigger_id"),
        (3.1, old.trigger, "expired_trigger_id"),
    ):
        slack.clock.move(seconds)
        with pytest.raises(SlackApiError) as caught:
            await client.views_open(trigger_id=trigger, view=form())
        assert caught.value.response["error"] == error


async def test_a_response_url_serves_five_times_in_half_an_hour(
    slack: FakeSlack, ana: User, general: Channel
) -> None:
    act, old = slack.begin(ana, general), slack.begin(ana, general)
    url, old_url = slack.response_url(act), slack.response_url(old)
    for number in range(5):
        assert (await respond(url, text=f"{number}"))[0] == 200
    assert await respond(url, text="6") == (404, "used_url")
    assert slack.violations.pop() == "response_url: used 6 times; at most 5"
    slack.clock.move(1801)
    assert await respond(old_url, text="1") == (404, "expired_url")
    assert [s.text for s in slack.seen_by(ana, general)] == list("01234")
    assert all(s.private for s in slack.seen_by(ana, general))


async def test_a_response_url_replaces_and_deletes_what_was_clicked(
    slack: FakeSlack, app: Demo, ana: User, general: Channel
) -> None:
    await app.client.chat_postEphemeral(channel=general.id, user=ana.id, text="x", blocks=card())
    (private,) = [s.message for s in slack.seen_by(ana, general)]
    url = slack.response_url((await slack.click(ana, private, "Edit")).act)
    await respond(url, text="changed", replace_original=True)
    assert [s.text for s in slack.seen_by(ana, general)] == ["changed"]
    await respond(url, delete_original=True)
    assert slack.seen_by(ana, general) == []
    await respond(url, text="open", response_type="in_channel")
    assert [m.text for m in general.posted] == ["open"]
    slack.processing = 0.0
    blocks = card(await upload(app.client, picture()))
    await respond(url, text="x", blocks=blocks, response_type="in_channel")
    assert slack.seen_by(ana, general)[-1].pictures[0].broken


async def test_a_view_is_opened_once_by_its_name_and_overwritten_by_its_newest_hash_only(
    slack: FakeSlack, client: AsyncWebClient, ana: User, general: Channel
) -> None:
    act = slack.begin(ana, general)
    named = form() | {"external_id": "one"}
    view = (await client.views_open(trigger_id=act.trigger, view=named))["view"]
    with pytest.raises(SlackApiError) as caught:
        await client.views_open(trigger_id=slack.begin(ana, general).trigger, view=named)
    assert caught.value.response["error"] == "duplicate_external_id"
    await client.views_update(view_id=view["id"], hash=view["hash"], view=form("New"))
    assert act.modal is not None
    assert act.modal.title == "New"
    for error, arguments in (
        ("hash_conflict", {"view_id": view["id"], "hash": view["hash"]}),
        ("not_found", {"view_id": "V1"}),
    ):
        with pytest.raises(SlackApiError) as caught:
            await client.views_update(view=form(), **arguments)
        assert caught.value.response["error"] == error


def heard_more(app: Demo, than: int) -> bool:
    return len(app.bodies) > than


async def respond(url: str, **body: object) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as answer:
        text = await answer.text()
        return answer.status, text if answer.status == 200 else (await answer.json())["error"]
