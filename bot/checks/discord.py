"""Discord: does it accept the token, and may the bot do its work in each server?"""

from collections.abc import Iterator
from typing import Any, Final

import httpx

from bot.checks.finding import Finding, broken, ok, warning
from bot.settings import Settings

_PATIENCE_S: Final = 10.0
_MOST_SERVERS: Final = 200
_MOST_NAMED: Final = 10


def application(settings: Settings) -> Iterator[Finding]:
    """Ask Discord who we are and where; nothing is changed there."""
    if settings.discord_token is None:
        return
    try:
        with httpx.Client(
            base_url=settings.discord_api_url,
            headers={"Authorization": f"Bot {settings.discord_token.get_secret_value()}"},
            timeout=_PATIENCE_S,
            trust_env=False,
        ) as discord:
            who = discord.get("/users/@me")
            if who.status_code == 401:
                yield broken(
                    "Discord does not accept DISCORD_TOKEN.",
                    "Copy it anew: developer portal, your application, page Bot, Reset Token.",
                )
                return
            who.raise_for_status()
            where = discord.get("/users/@me/guilds", params={"limit": _MOST_SERVERS})
            where.raise_for_status()
            me, servers = who.json(), where.json()
    except (httpx.HTTPError, ValueError) as error:
        yield broken(
            f"Discord cannot be asked ({type(error).__name__}).",
            "See that this machine has a network, and correct DISCORD_API_URL if it is set.",
        )
        return
    yield from _servers(me, servers)


def _servers(me: dict[str, Any], servers: list[dict[str, Any]]) -> Iterator[Finding]:
    from bot.surfaces.discord.install import invite_link, permissions

    # A bot's user has the id of its application, but for some that were made before 2016.
    link = invite_link(int(me["id"]))
    if not servers:
        yield warning(f"The bot {me['username']} is in no server yet.", f"Invite it: {link}")
        return
    yield ok(f"Discord knows the bot {me['username']}; it is in {len(servers)} servers: {link}")
    needed = permissions()
    lacking = 0
    for server in servers:
        held = type(needed)(int(server.get("permissions", 0)))
        missing = [name for name, wanted in needed if wanted and not getattr(held, name)]
        if missing and not held.administrator:
            lacking += 1
            if lacking <= _MOST_NAMED:
                names = ", ".join(name.replace("_", " ") for name in missing)
                yield warning(
                    f"In the server {server['name']} the bot lacks: {names}.",
                    f"Give its role these permissions, or invite it again: {link}",
                )
