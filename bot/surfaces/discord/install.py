"""What the app asks of a server, and the link that installs it there."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import urlencode

import discord

NEEDED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "view_channel": "change its messages after 15 minutes, when the short token has ended",
        "send_messages": "show a picture anew where its message was deleted, and call who wants it",
        "send_messages_in_threads": "the same in threads and forum posts",
        "attach_files": "show pictures at all",
        "read_message_history": "answer to the picture when it calls somebody",
    }
)
"""Permissions by discord.py's names, each with what it is for."""


def permissions() -> discord.Permissions:
    """All that is needed, and nothing else."""
    return discord.Permissions(**dict.fromkeys(NEEDED, True))


def invite_link(application_id: int) -> str:
    """Opens Discord's page on which somebody picks a server for the app."""
    query = {
        "client_id": str(application_id),
        "scope": "bot applications.commands",
        "permissions": str(permissions().value),
    }
    return f"https://discord.com/oauth2/authorize?{urlencode(query)}"
