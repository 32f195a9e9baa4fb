"""Discord's own description judges what is asked, and what the fake answers."""

from typing import Any

import pytest

from tests.fakes.discord.openapi import MISSING, OpenApi, is_here

pytestmark = pytest.mark.skipif(not is_here(), reason=MISSING)

POST = ("POST", "/channels/{channel_id}/messages")
EDIT = ("PATCH", "/channels/{channel_id}/messages/{message_id}")
KNOWN = {"id": 1, "filename": "a.png", "url": "https://a.example/a.png", "size": 3, "spoiler": True}


@pytest.fixture(scope="module")
def judge() -> OpenApi:
    return OpenApi.load()


@pytest.mark.parametrize(
    ("route", "body"),
    [
        (POST, {"content": "x", "nonce": "1", "enforce_nonce": True, "tts": False}),
        (POST, {"attachments": [{"id": 0, "filename": "a.png", "is_spoiler": True}]}),
        (EDIT, {"content": None, "embeds": [], "tts": False, "attachments": [KNOWN]}),
        (
            ("PUT", "/applications/{application_id}/commands"),
            [{"name": "a", "description": "b", "type": 1, "nsfw": True}],
        ),
    ],
)
def test_what_discord_takes_is_let_through(
    judge: OpenApi, route: tuple[str, str], body: Any
) -> None:
    assert judge.of_request(*route, {}, body) == []


@pytest.mark.parametrize(
    ("route", "query", "body", "part"),
    [
        (POST, {}, {"content": "x", "colour": 1}, "colour"),
        (POST, {}, {"content": 7}, "content"),
        (POST, {}, {"attachments": [{"filename": "a"}]}, "id"),
        (POST, {}, {"embeds": [{"title": "x" * 257}]}, "title"),
        (POST, {"wait": "true"}, {"content": "x"}, "wait"),
        (
            POST,
            {},
            {"components": [{"type": 1, "components": [{"type": 2, "style": 1, "size": 3}]}]},
            "components[0].components[0].size",
        ),
        (
            ("POST", "/interactions/{interaction_id}/{interaction_token}/callback"),
            {"with_response": "perhaps"},
            {"type": 5},
            "with_response",
        ),
        (("POST", "/nowhere"), {}, {}, "/nowhere"),
    ],
)
def test_what_discord_would_not_understand_is_named(
    judge: OpenApi, route: tuple[str, str], query: dict[str, str], body: Any, part: str
) -> None:
    (problem,) = judge.of_request(*route, query, body)
    assert part in problem


def test_an_answer_of_the_fake_is_judged_too(judge: OpenApi) -> None:
    assert judge.of_answer("GET", "/users/@me", 200, {"id": "1"})
    assert judge.of_answer("GET", "/users/@me", 204, None)
    assert judge.of_answer("GET", "/gateway/bot", 200, {"url": "x", "shards": "1"})


def test_a_wrong_part_of_a_card_is_named_where_it_is(judge: OpenApi) -> None:
    row = {"type": 1, "components": [{"type": 2, "style": "red", "custom_id": "a", "label": "A"}]}
    body = {"components": [{"type": 17, "components": [row]}]}
    (problem,) = judge.of_request(*POST, {}, body)
    assert problem.startswith("$.components[0].components[0].components[0].style")
    (problem,) = judge.of_request(*POST, {}, {"components": [{"type": 99}]})
    assert problem.startswith("$.components[0]")
