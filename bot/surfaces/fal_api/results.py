"""Result files: whoever holds the signed link may fetch the picture, until the link expires."""

from typing import Final

from fastapi import APIRouter
from fastapi.responses import Response

from bot import wording
from bot.commands.jobs import PictureGone, PictureUnreadable
from bot.signing import BadLink
from bot.surfaces.fal_api.api import FalApi
from bot.surfaces.fal_api.errors import account, infrastructure
from bot.surfaces.fal_api.refusals import RETRY_AFTER_S

_HEADERS: Final = {
    "Cache-Control": "private, max-age=86400, immutable",
    "X-Robots-Tag": "noindex",
}


def create_router(api: FalApi) -> APIRouter:
    """The route."""
    router = APIRouter()

    @router.api_route("/files/results/{link}/{name}", methods=["GET", "HEAD"])
    async def picture(link: str, name: str) -> Response:
        """The name is for people and their folders; the link alone says which picture."""
        try:
            job_id, index = api.signer.read_link(link)
            found, data = await api.jobs.bytes_of(job_id, index)
        except BadLink as error:
            raise account(404, str(error)) from error
        except PictureGone as error:
            raise account(404, wording.PICTURE_GONE) from error
        except PictureUnreadable as error:
            sentence = wording.PICTURE_UNREADABLE
            raise infrastructure(
                503, sentence, "internal_error", retry_after=RETRY_AFTER_S
            ) from error
        return Response(data, media_type=f"image/{found.format}", headers=_HEADERS)

    return router
