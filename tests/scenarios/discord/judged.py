"""What Discord would say to the requests that SimCord has taken."""

import re
from collections.abc import Iterator
from typing import Any, Final

from simcord import HttpLogEntry

from tests.fakes.discord import rules
from tests.fakes.discord.openapi import OpenApi, is_here

_TEMPLATES: Final = tuple(
    (re.compile(re.sub(r"{\w+}", "[^/]+", template)), template)
    for template in (
        "/applications/{application_id}/commands",
        "/channels/{channel_id}/messages",
        "/channels/{channel_id}/messages/{message_id}",
        "/interactions/{interaction_id}/{interaction_token}/callback",
        "/oauth2/applications/@me",
        "/webhooks/{webhook_id}/{webhook_token}",
        "/webhooks/{webhook_id}/{webhook_token}/messages/@original",
        "/webhooks/{webhook_id}/{webhook_token}/messages/{message_id}",
    )
)
_MESSAGE, _UPDATE, _CHOICES, _MODAL = 4, 7, 8, 9
"""Types of callbacks."""


def complaints(request: HttpLogEntry) -> list[str]:
    """What is wrong with a request: by Discord's OpenAPI file, where it is here, and its prose."""
    template = next((t for known, t in _TEMPLATES if known.fullmatch(request.path)), None)
    if template is None:
        return [f"{request.method} {request.path}: add its template"]
    found = list(_by_the_prose(request))
    if is_here():
        query = {name: str(value) for name, value in (request.params or {}).items()}
        found += OpenApi.load().of_request(request.method, template, query, request.json)
    return [f"{request.method} {template}: {one}" for one in found]


def _by_the_prose(request: HttpLogEntry) -> Iterator[str]:
    body: Any = request.json
    if not body:
        return
    if request.path.endswith("/commands"):
        yield from rules.of_commands(body)
    elif not request.path.endswith("/callback"):
        yield from rules.of_message(body, v2=not body.get("content"))
    elif body["type"] in (_MESSAGE, _UPDATE):
        yield from rules.of_message(body["data"], v2=True)
    elif body["type"] == _MODAL:
        yield from rules.of_modal(body["data"])
    elif body["type"] == _CHOICES:
        yield from rules.of_choices(body["data"])
