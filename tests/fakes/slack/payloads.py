"""The payloads that Slack sends, with the keys that slack_bolt and apps look at."""

import re

from tests.fakes.slack.interactions import Act
from tests.fakes.slack.state import DM, PRIVATE, Channel, Json, Team, User
from tests.fakes.slack.world import World

_URL = re.compile(r"https?://[^\s<>|]+")


def escaped(text: str) -> str:
    """Text as Slack writes it in messages: entities, and links in angle brackets.

    References such as `<@U…>` that are already there stay.
    """
    kept = re.split(r"(<[@#!][^<>]*>)", text)
    for number in range(0, len(kept), 2):
        plain = kept[number].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        kept[number] = _URL.sub(lambda m: f"<{m[0]}>", plain)
    return "".join(kept)


def channel_name(channel: Channel) -> str:
    return {DM: "directmessage", PRIVATE: "privategroup"}.get(channel.kind, channel.name)


def command(world: World, act: Act, name: str, text: str, url: str) -> dict[str, str]:
    """A slash command's fields."""
    assert act.channel is not None
    team = act.user.team
    return {
        "token": "fake",
        "team_id": team.id,
        "team_domain": team.domain,
        "channel_id": act.channel.id,
        "channel_name": channel_name(act.channel),
        "user_id": act.user.id,
        "user_name": act.user.name.lower(),
        "command": name,
        "text": text,
        "api_app_id": world.app_id,
        "is_enterprise_install": "false",
        "response_url": url,
        "trigger_id": act.trigger,
    }


def event(world: World, team: Team, inner: Json, identity: str) -> Json:
    """An event in its wrapping."""
    return {
        "token": "fake",
        "team_id": team.id,
        "context_team_id": team.id,
        "api_app_id": world.app_id,
        "event": inner,
        "type": "event_callback",
        "event_id": identity,
        "event_time": int(world.clock.now()),
        "authorizations": [
            {
                "enterprise_id": None,
                "team_id": team.id,
                "user_id": team.bot.id,
                "is_bot": True,
                "is_enterprise_install": False,
            }
        ],
        "is_ext_shared_channel": False,
    }


def interactive(world: World, act: Act, kind: str) -> Json:
    """What all clicks, menus, forms and shortcuts have in common."""
    return {
        "type": kind,
        "token": "fake",
        "api_app_id": world.app_id,
        "team": {"id": act.user.team.id, "domain": act.user.team.domain},
        "user": user(act.user),
        "enterprise": None,
        "is_enterprise_install": False,
        "trigger_id": act.trigger,
    }


def user(person: User) -> Json:
    return {
        "id": person.id,
        "username": person.name.lower(),
        "name": person.name.lower(),
        "team_id": person.team.id,
    }


def channel(place: Channel) -> Json:
    return {"id": place.id, "name": channel_name(place)}
