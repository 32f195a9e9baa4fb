"""What Slack must know of the app: its commands, shortcuts, events and scopes, as a manifest.

Everything follows from what the code does. The fields and their lengths are those of Slack's
“App manifest reference” and of its own schema, slackapi/manifest-schema.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from bot.surfaces.ids import CustomId
from bot.surfaces.slack.routes import COMMANDS, EVENTS
from bot.surfaces.slack.shortcuts import SHORTCUTS

Json = dict[str, Any]

NAME: Final = "Atelier"
_SHORT: Final = "Pictures from words with FLUX and LoRA presets, where you already talk."
_LONG: Final = (
    "Type /imagine with what you want to see: progress shows in one message, and then the picture "
    "comes with its settings and buttons to go on from there. Presets are looks that a workspace "
    "keeps and shares. Pictures that a checker flags, or that nothing could check, never appear "
    "openly. The app runs on a machine of whoever has installed it, and draws there or with fal."
)
_COLOUR: Final = "#2d2a3e"

_ABOUT: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "/imagine": ("Draw a picture from words", "a lighthouse in a storm --size landscape_4_3"),
        "/preset": (
            "Find, use and keep looks to draw with",
            "list | search WORDS | show NAME | create | help",
        ),
        "/queue": ("See what you have asked for, and end it", "all | cancel"),
        "/atelier": (
            "Help, and settings of this workspace and your own",
            "help | settings | defaults | privacy",
        ),
    }
)
"""What Slack says of each command while it is typed, and a hint at what may follow it."""

_HISTORY: Final = ("channels:history", "groups:history", "im:history", "mpim:history")

CALLS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "apps.connections.open": (),
        "auth.test": (),
        "chat.delete": ("chat:write",),
        "chat.postEphemeral": ("chat:write",),
        # The second one is for public channels that nobody has invited the bot to.
        "chat.postMessage": ("chat:write", "chat:write.public"),
        "chat.update": ("chat:write",),
        "conversations.history": _HISTORY,
        "conversations.info": ("channels:read", "groups:read"),
        "conversations.open": ("im:write",),
        "conversations.replies": _HISTORY,
        "files.completeUploadExternal": ("files:write",),
        "files.delete": ("files:write",),
        "files.getUploadURLExternal": ("files:write",),
        "files.info": ("files:read",),
        "usergroups.list": ("usergroups:read",),
        "users.info": ("users:read",),
        "views.open": (),
        "views.publish": (),
        "views.update": (),
    }
)
"""Methods of the Web API that are called with the bot's token, and the scopes that each needs."""

_LISTENS: Final[Mapping[str, str]] = MappingProxyType(
    {"app_mention": "app_mentions:read", "message.im": "im:history"}
)
"""Events that need a scope of their own."""


def scopes() -> list[str]:
    """The scopes of the bot's token, in alphabetical order."""
    needed = {"commands"}
    needed.update(*CALLS.values())
    needed.update(_LISTENS[name] for name in EVENTS if name in _LISTENS)
    return sorted(needed)


def page(request_url: str | None = None) -> str:
    """The manifest as the text that is pasted into Slack."""
    return json.dumps(manifest(request_url), indent=2, ensure_ascii=False) + "\n"


def manifest(request_url: str | None = None) -> Json:
    """The app in Socket Mode, or with its events told at `request_url`."""
    told = {} if request_url is None else {"request_url": request_url}
    # Menus that search ask for their options at an address of their own.
    asked = {} if request_url is None else {"message_menu_options_url": request_url}
    return {
        "display_information": {
            "name": NAME,
            "description": _SHORT,
            "long_description": _LONG,
            "background_color": _COLOUR,
        },
        "features": {
            "app_home": {
                "home_tab_enabled": "app_home_opened" in EVENTS,
                "messages_tab_enabled": True,
                "messages_tab_read_only_enabled": False,
            },
            "bot_user": {"display_name": NAME, "always_online": True},
            "shortcuts": [
                {
                    "name": one.name,
                    "type": "message",
                    "callback_id": str(CustomId(verb)),
                    "description": one.about,
                }
                for verb, one in SHORTCUTS.items()
            ],
            "slash_commands": [_command(name, request_url) for name in COMMANDS],
        },
        "oauth_config": {"scopes": {"bot": scopes()}},
        "settings": {
            "event_subscriptions": {**told, "bot_events": list(EVENTS)},
            "interactivity": {"is_enabled": True, **told, **asked},
            "org_deploy_enabled": False,
            "socket_mode_enabled": request_url is None,
            "token_rotation_enabled": False,
        },
    }


def _command(name: str, request_url: str | None) -> Json:
    about, hint = _ABOUT[name]
    return {
        "command": name,
        **({} if request_url is None else {"url": request_url}),
        "description": about,
        "usage_hint": hint,
        "should_escape": False,
    }
