"""Talking to the fake without a library."""

from typing import Any

import aiohttp
import discord as library
import pytest

from tests.fakes.discord import Channel, FakeDiscord


async def post(discord: FakeDiscord, place: Channel, body: dict[str, Any]) -> tuple[int, Any]:
    return await call(discord, "POST", f"/channels/{place.id}/messages", body)


async def call(
    discord: FakeDiscord, method: str, path: str, body: object = None
) -> tuple[int, Any]:
    headers = {"Authorization": f"Bot {discord.token}"}
    url = discord.api_url + path
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, url, json=body) as answer,
    ):
        return answer.status, await answer.json() if answer.status != 204 else None


async def put_command(discord: FakeDiscord) -> None:
    """One command, `a`, with the options `b` and `c`."""
    text = {"type": 3, "name": "b", "description": "x", "required": True, "autocomplete": True}
    number = {"type": 4, "name": "c", "description": "x", "min_value": 1, "max_value": 4}
    options = [text | {"min_length": 1, "max_length": 10}, number]
    path = f"/applications/{discord.app_id}/commands"
    await call(discord, "PUT", path, [{"name": "a", "description": "x", "options": options}])


async def call_back(
    discord: FakeDiscord, body: dict[str, Any], *, known: bool = True
) -> tuple[int, Any]:
    """Answer what a person has done last (or something unknown), as a bot without a library."""
    identity, token = 1, "unknown"
    if known:
        identity, token = discord.interactions.latest.id, discord.interactions.latest.token
    return await call(discord, "POST", f"/interactions/{identity}/{token}/callback", body)


async def refused(call: Any) -> int:
    with pytest.raises(library.HTTPException) as caught:
        await call
    return caught.value.code
