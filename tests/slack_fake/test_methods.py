"""The Web API as the real client sees it: scopes, errors, rates, faults, pages."""

import asyncio
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient

from tests.fakes.slack import Channel, FakeSlack, Fault, User
from tests.slack_fake.demo import card, upload


async def refused(call: Any) -> Any:
    with pytest.raises(SlackApiError) as caught:
        await call
    return caught.value.response


async def test_a_missing_scope_is_named_with_those_that_are_there(
    slack: FakeSlack, client: AsyncWebClient, ana: User, general: Channel
) -> None:
    slack.team.scopes = {"chat:write", "commands"}
    for call, needed in (
        (client.users_info(user=ana.id), "users:read"),
        (client.conversations_history(channel=general.id), "channels:history"),
        (client.conversations_open(users=ana.id), "im:write"),
        (client.files_info(file="F1"), "files:read"),
    ):
        answer = await refused(call)
        assert answer["error"] == "missing_scope"
        assert (answer["needed"], answer["provided"]) == (needed, "chat:write,commands")
    answer = await client.auth_test()
    assert answer.headers["X-OAuth-Scopes"] == "chat:write,commands"
    answer = await client.chat_postMessage(channel=general.id, text="x")
    assert answer.headers["X-Accepted-OAuth-Scopes"] == "chat:write"


async def test_where_the_app_may_not_post(
    slack: FakeSlack, client: AsyncWebClient, ana: User, general: Channel
) -> None:
    slack.team.scopes.discard("chat:write.public")
    away = slack.channel("away", ana, has_bot=False)
    hidden = slack.channel("hidden", ana, has_bot=False, private=True)
    archived = slack.channel("archived", ana)
    archived.archived = True
    general.refusal = "restricted_action"
    gone = slack.user("Gone")
    gone.deactivated = True
    for channel, error in (
        (away.id, "not_in_channel"),
        (hidden.id, "channel_not_found"),
        (archived.id, "is_archived"),
        (general.id, "restricted_action"),
        (gone.id, "user_disabled"),
        ("C012345678", "channel_not_found"),
    ):
        call = client.chat_postMessage(channel=channel, text="x")
        assert (await refused(call))["error"] == error
    slack.team.scopes.add("chat:write.public")
    await client.chat_postMessage(channel=away.id, text="x")
    assert (await client.chat_postMessage(channel=ana.id, text="x"))["channel"].startswith("D")


async def test_tokens_that_are_wrong_or_revoked(slack: FakeSlack, client: AsyncWebClient) -> None:
    for token, error in (("x", "invalid_auth"), (slack.app_token, "not_allowed_token_type")):
        wrong = AsyncWebClient(token=token, base_url=slack.api_url)
        assert (await refused(wrong.auth_test()))["error"] == error
    opened = client.apps_connections_open(app_token=slack.bot_token)
    assert (await refused(opened))["error"] == "not_allowed_token_type"
    slack.revoke()
    assert (await refused(client.auth_test()))["error"] == "token_revoked"


async def test_only_the_apps_own_open_messages_can_be_changed(
    slack: FakeSlack, client: AsyncWebClient, ana: User, general: Channel
) -> None:
    said = await slack.write(ana, general, "hello")
    private = await client.chat_postEphemeral(channel=general.id, user=ana.id, text="x")
    direct = await client.chat_postMessage(channel=ana.id, text="x")
    for channel, ts, error in (
        (general.id, said.ts, "cant_update_message"),
        (general.id, private["message_ts"], "message_not_found"),
        (ana.id, direct["ts"], "channel_not_found"),
        (general.id, "1.2", "message_not_found"),
    ):
        answer = await refused(client.chat_update(channel=channel, ts=ts, text="y"))
        assert answer["error"] == error
    await client.chat_update(channel=direct["channel"], ts=direct["ts"], text="y")
    answer = await refused(client.chat_delete(channel=general.id, ts=said.ts))
    assert answer["error"] == "cant_delete_message"


async def test_history_gives_metadata_when_asked_and_leaves_replies_to_their_thread(
    slack: FakeSlack, client: AsyncWebClient, general: Channel
) -> None:
    slack.processing = 0.0
    file = await upload(client, b"no picture at all")
    assert file
    metadata = {"event_type": "job", "event_payload": {"id": "1"}}
    first = await client.chat_postMessage(channel=general.id, text="a", metadata=metadata)
    await client.chat_postMessage(channel=general.id, text="b", thread_ts=first["ts"])
    await client.chat_postMessage(channel=general.id, text="c", blocks=card())
    history = await client.conversations_history(channel=general.id, limit=1)
    assert [m["text"] for m in history["messages"]] == ["c"]
    cursor = history["response_metadata"]["next_cursor"]
    more = await client.conversations_history(
        channel=general.id, cursor=cursor, include_all_metadata=True
    )
    assert [(m["text"], m["metadata"], m["reply_count"]) for m in more["messages"]] == [
        ("a", metadata, 1)
    ]
    later = await client.conversations_history(channel=general.id, oldest=first["ts"])
    assert [m["text"] for m in later["messages"]] == ["c"]
    replies = await client.conversations_replies(channel=general.id, ts=first["ts"])
    assert [m["text"] for m in replies["messages"]] == ["a", "b"]
    assert "metadata" not in replies["messages"][0]
    wrong = client.chat_postMessage(channel=general.id, text="d", thread_ts="1.2")
    assert (await refused(wrong))["error"] == "thread_not_found"


async def test_what_is_told_of_people_and_places(
    slack: FakeSlack, client: AsyncWebClient, ana: User, general: Channel
) -> None:
    boss = slack.user("Boss", admin=True)
    group = slack.usergroup("artists", ana)
    told = (await client.users_info(user=boss.id))["user"]
    assert (told["is_admin"], told["is_restricted"]) == (True, False)
    assert "locale" not in told
    told = (await client.users_info(user=boss.id, include_locale=True))["user"]
    assert told["locale"] == "en-US"
    assert len((await client.users_list())["members"]) == 3
    groups = (await client.usergroups_list(include_users=True))["usergroups"]
    assert [(g["id"], g["users"]) for g in groups] == [(group, [ana.id])]
    info = (await client.conversations_info(channel=general.id))["channel"]
    assert (info["is_member"], info["is_private"]) == (True, False)
    members = (await client.conversations_members(channel=general.id))["members"]
    assert set(members) == {ana.id, slack.team.bot.id}
    assert (await client.team_info())["team"]["name"] == "Home"
    bot = (await client.auth_test())["bot_id"]
    assert (await client.bots_info(bot=bot))["bot"]["app_id"] == slack.app_id
    ts = (await client.chat_postMessage(channel=general.id, text="x"))["ts"]
    link = (await client.chat_getPermalink(channel=general.id, message_ts=ts))["permalink"]
    assert link.endswith(f"/{general.id}/p{ts.replace('.', '')}")


async def test_calls_beyond_their_rate_are_told_to_wait(
    slack: FakeSlack, client: AsyncWebClient, general: Channel
) -> None:
    slack.limits.rates.posts_in_channel = (1, 1.0)
    slack.limits.rates.tiers[3] = (2, 60.0)
    ts = (await client.chat_postMessage(channel=general.id, text="x"))["ts"]
    answer = await refused(client.chat_postMessage(channel=general.id, text="x"))
    assert (answer.status_code, answer["error"]) == (429, "ratelimited")
    assert answer.headers["Retry-After"] == "1"
    for number in range(3):
        call = client.chat_update(channel=general.id, ts=ts, text=f"{number}")
        last = await call if number < 2 else await refused(call)
    assert 0 < int(last.headers["Retry-After"]) <= 60
    assert [c.method for c in slack.api.limited] == ["chat.postMessage", "chat.update"]
    slack.clock.move(60)
    await client.chat_update(channel=general.id, ts=ts, text="again")
    slack.limits.rates.enforced = False
    for _ in range(5):
        await client.chat_postMessage(channel=general.id, text="x")


async def test_faults_hit_before_or_after_a_call_takes_effect(
    slack: FakeSlack, client: AsyncWebClient, general: Channel
) -> None:
    faults = slack.api.faults
    faults.append(Fault("chat.postMessage", status=500))
    with pytest.raises(SlackApiError):
        await client.chat_postMessage(channel=general.id, text="lost")
    faults.append(Fault("chat.postMessage", cut=True, after=True))
    with pytest.raises(aiohttp.ClientError):
        await client.chat_postMessage(channel=general.id, text="said")
    faults.append(Fault("chat.postMessage", error="fatal_error"))
    answer = await refused(client.chat_postMessage(channel=general.id, text="lost"))
    assert answer["error"] == "fatal_error"
    client.timeout = 0.1  # type: ignore[assignment]
    faults.append(Fault("chat.postMessage", delay=0.3, after=True))
    with pytest.raises(TimeoutError):
        await client.chat_postMessage(channel=general.id, text="late")
    await slack.posted(general, lambda m: m.text == "late")
    assert [m.text for m in general.posted] == ["said", "late"]
    faults.append(Fault("upload", status=500))
    with pytest.raises(Exception, match="500"):
        await upload(client, b"x")


async def test_the_clients_own_handler_honours_retry_after(
    slack: FakeSlack, client: AsyncWebClient, general: Channel
) -> None:
    client.retry_handlers.append(AsyncRateLimitErrorRetryHandler(max_retry_count=1))
    slack.api.faults.append(Fault("chat.postMessage", status=429, retry_after=0))
    await asyncio.wait_for(client.chat_postMessage(channel=general.id, text="x"), 10)
    assert [c.status for c in slack.api.made("chat.postMessage")] == [429, 200]


async def test_an_unknown_method_is_a_violation(slack: FakeSlack, client: AsyncWebClient) -> None:
    assert (await refused(client.api_call("files.upload")))["error"] == "unknown_method"
    assert slack.violations.pop() == "files.upload: the fake has no such method"
