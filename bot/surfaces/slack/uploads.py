"""Pictures become files at Slack, which nobody sees until a message shows them."""

import asyncio
import io
from dataclasses import dataclass, field
from typing import Final

import httpx
from PIL import Image
from slack_sdk.web.async_client import AsyncWebClient

from bot.recipe import RecipeError, embed
from bot.surfaces.base import DeliveredPicture
from bot.surfaces.slack.calls import CallFailed, called

_TIMEOUT: Final = httpx.Timeout(60.0, connect=10.0)
_SUFFIXES: Final = {"png": "png", "jpeg": "jpg"}


@dataclass(frozen=True, slots=True)
class Shaped:
    """A picture in a format that Slack shows; `change` says what was done to it, or None."""

    data: bytes = field(repr=False)
    suffix: str
    change: str | None = None


async def shaped(picture: DeliveredPicture) -> Shaped:
    """Slack shows no WebP inside messages, so that is sent as PNG, its recipe inside."""
    suffix = _SUFFIXES.get(picture.stored.format)
    if suffix is not None:
        return Shaped(picture.data, suffix)
    data = await asyncio.to_thread(_as_png, picture)
    return Shaped(data, "png", "sent as PNG, since Slack shows no WebP")


async def upload(
    client: AsyncWebClient,
    http: httpx.AsyncClient,
    data: bytes,
    name: str,
    *,
    channel: str | None = None,
    words: str | None = None,
) -> str:
    """Bring a file to Slack, shared with nobody but a `channel`; returns Slack's id of it.

    `words` stand above it there.

    `http` carries no credentials: the address that Slack gives is enough.

    Raises:
        Busy, Closed, CallFailed: a file that was brought in part is never seen by anybody.
    """
    ticket = await called(
        "files.getUploadURLExternal",
        client.files_getUploadURLExternal(filename=name, length=len(data)),
    )
    try:
        sent = await http.post(str(ticket["upload_url"]), content=data, timeout=_TIMEOUT)
    except httpx.HTTPError as error:
        raise CallFailed("upload", type(error).__name__) from error
    if sent.status_code != httpx.codes.OK:
        raise CallFailed("upload", f"HTTP {sent.status_code}")
    file = str(ticket["file_id"])
    await called(
        "files.completeUploadExternal",
        client.files_completeUploadExternal(
            files=[{"id": file, "title": name}], channel_id=channel, initial_comment=words
        ),
    )
    return file


def _as_png(picture: DeliveredPicture) -> bytes:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(picture.data)) as image:
        image.save(buffer, "PNG")
    try:
        return embed(buffer.getvalue(), picture.stored.recipe)
    except RecipeError:
        return buffer.getvalue()
