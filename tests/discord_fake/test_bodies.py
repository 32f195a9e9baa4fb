"""Messages, commands and callbacks of a wrong form are refused, and noted."""

import asyncio
from typing import Any

import pytest

from tests.discord_fake.wire import call, call_back, post, put_command
from tests.fakes.discord import Channel, FakeDiscord, Refused, User

WRONG_MESSAGES: dict[str, dict[str, Any]] = {
    "too long": {"content": "x" * 2001},
    "V2 with content": {
        "content": "x",
        "flags": 1 << 15,
        "components": [{"type": 10, "content": "y"}],
    },
    "V2 parts without the flag": {"components": [{"type": 10, "content": "y"}]},
    "eleven pictures": {
        "flags": 1 << 15,
        "components": [{"type": 12, "items": [{"media": {"url": "https://a.example/b"}}] * 11}],
    },
    "an unknown attachment": {
        "flags": 1 << 15,
        "components": [{"type": 12, "items": [{"media": {"url": "attachment://gone.png"}}]}],
    },
    "41 parts": {"flags": 1 << 15, "components": [{"type": 10, "content": "y"}] * 41},
    "4001 characters in parts": {
        "flags": 1 << 15,
        "components": [{"type": 10, "content": "y" * 2001}] * 2,
    },
    "a label of 81": {
        "content": "x",
        "components": [
            {
                "type": 1,
                "components": [{"type": 2, "style": 1, "label": "y" * 81, "custom_id": "a"}],
            }
        ],
    },
    "two buttons with one id": {
        "content": "x",
        "components": [
            {"type": 1, "components": [{"type": 2, "style": 1, "label": "y", "custom_id": "a"}] * 2}
        ],
    },
    "a link without an address": {
        "content": "x",
        "components": [{"type": 1, "components": [{"type": 2, "style": 5, "label": "y"}]}],
    },
    "six rows": {
        "content": "x",
        "components": [
            {"type": 1, "components": [{"type": 2, "style": 1, "label": "y", "custom_id": str(n)}]}
            for n in range(6)
        ],
    },
    "embeds of 6001": {"embeds": [{"description": "x" * 3001}] * 2},
    "a mention both ways": {
        "content": "x",
        "allowed_mentions": {"parse": ["users"], "users": ["1"]},
    },
}


@pytest.mark.parametrize("wrong", WRONG_MESSAGES)
async def test_a_malformed_message_is_refused_and_noted(
    discord: FakeDiscord, place: Channel, wrong: str
) -> None:
    status, answer = await post(discord, place, WRONG_MESSAGES[wrong])
    assert (status, answer["code"]) == (400, 50035)
    assert discord.violations
    discord.violations.clear()
    assert place.public == []


async def test_an_empty_message_is_refused(discord: FakeDiscord, place: Channel) -> None:
    assert (await post(discord, place, {"content": ""}))[1]["code"] == 50006


WRONG_COMMANDS: dict[str, list[dict[str, Any]]] = {
    "a name in capitals": [{"name": "Imagine", "description": "x"}],
    "twice": [{"name": "a", "description": "x"}] * 2,
    "no description": [{"name": "a"}],
    "a required option last": [
        {
            "name": "a",
            "description": "x",
            "options": [
                {"type": 3, "name": "b", "description": "x"},
                {"type": 3, "name": "c", "description": "x", "required": True},
            ],
        }
    ],
    "26 options": [
        {
            "name": "a",
            "description": "x",
            "options": [{"type": 3, "name": f"o{n}", "description": "x"} for n in range(26)],
        }
    ],
    "16 menus": [{"name": f"m{n}", "type": 3} for n in range(16)],
    "8001 characters": [
        {
            "name": "a",
            "description": "x",
            "options": [
                {
                    "type": 3,
                    "name": f"o{n}",
                    "description": "x" * 100,
                    "choices": [{"name": f"{m}" * 50, "value": f"{m}" * 50} for m in range(9)],
                }
                for n in range(9)
            ],
        }
    ],
}


@pytest.mark.parametrize("wrong", WRONG_COMMANDS)
async def test_malformed_commands_are_refused(discord: FakeDiscord, wrong: str) -> None:
    path = f"/applications/{discord.app_id}/commands"
    status, answer = await call(discord, "PUT", path, WRONG_COMMANDS[wrong])
    assert (status, answer["code"]) == (400, 50035)
    assert discord.violations
    discord.violations.clear()
    assert discord.commands.puts == 0


WRONG_ANSWERS: dict[str, dict[str, Any]] = {
    "a deferral that is V2": {"type": 5, "data": {"flags": 1 << 15}},
    "an update of no message": {"type": 7, "data": {"content": "x"}},
    "suggestions for a command": {"type": 8, "data": {"choices": []}},
    "a form of six rows": {
        "type": 9,
        "data": {
            "custom_id": "a",
            "title": "b",
            "components": [
                {
                    "type": 18,
                    "label": "c",
                    "component": {"type": 4, "custom_id": f"{n}", "style": 1},
                }
                for n in range(6)
            ],
        },
    },
    "a title of 46": {"type": 9, "data": {"custom_id": "a", "title": "b" * 46, "components": []}},
}


@pytest.mark.parametrize("wrong", WRONG_ANSWERS)
async def test_a_callback_that_does_not_fit_is_refused(
    discord: FakeDiscord, ana: User, place: Channel, wrong: str
) -> None:
    await put_command(discord)
    act = asyncio.create_task(discord.slash(ana, place, "a", b="x"))
    await asyncio.sleep(0)
    status, answer = await call_back(discord, WRONG_ANSWERS[wrong])
    assert (status, answer["code"]) == (400, 50035)
    discord.violations.clear()
    assert (await call_back(discord, {"type": 4, "data": {"content": "x"}}))[0] == 204
    assert (await act).text == "x"


async def test_26_suggestions_are_too_many(discord: FakeDiscord, ana: User, place: Channel) -> None:
    await put_command(discord)
    act = asyncio.create_task(discord.autocomplete(ana, place, "a", "b", b="x"))
    await asyncio.sleep(0)
    choices = [{"name": f"{n}", "value": f"{n}"} for n in range(26)]
    assert (await call_back(discord, {"type": 8, "data": {"choices": choices}}))[0] == 400
    discord.violations.clear()
    assert (await call_back(discord, {"type": 8, "data": {"choices": choices[:25]}}))[0] == 204
    assert await act == choices[:25]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "needs 'b'"),
        ({"b": "x" * 11}, "1 to 10 characters"),
        ({"b": 7}, "wrong kind"),
        ({"b": "x", "c": 9}, "not between"),
        ({"b": "x", "d": 1}, "no option"),
    ],
)
async def test_a_command_is_checked_before_it_is_sent(
    discord: FakeDiscord, ana: User, place: Channel, options: dict[str, object], sentence: str
) -> None:
    await put_command(discord)
    with pytest.raises(Refused, match=sentence):
        await discord.slash(ana, place, "a", **options)
