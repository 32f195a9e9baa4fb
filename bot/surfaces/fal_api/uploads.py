"""Upload storage as fal's clients use it, in four ways that end in the same store.

    token      POST /storage/auth/token, then POST /files/upload with the token
               … for a large file POST /files/upload/multipart, PUT each part, POST complete
    initiate   POST /storage/upload/initiate, then PUT to the URL that it gives, without any key
               … for a large file POST /storage/upload/initiate-multipart, then the same

Files are read without a key by whoever knows their URL, as on fal.
"""

import contextlib
import datetime as dt
import json
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field, ValidationError

from bot.multipart import MOST_PARTS, MultipartUploads
from bot.permissions import Requester
from bot.signing import BadLink, Signer
from bot.surfaces.fal_api.endpoints import base_of
from bot.surfaces.fal_api.errors import account
from bot.uploads import (
    KEEP_S,
    PREFIX,
    BadUpload,
    NotStored,
    QuotaReached,
    Slot,
    UploadError,
    Uploads,
    UploadTooLarge,
    UploadUnknown,
)

TOKEN_S: Final = 3600.0
"""Seconds for which an upload may be begun with a token, or made to a URL."""
_STATUS: Final[dict[type[UploadError], int]] = {
    UploadTooLarge: 413,
    QuotaReached: 403,
    UploadUnknown: 404,
    BadUpload: 400,
    NotStored: 507,
}
_LONGEST_BODY: Final = 4 * 2**20
_TOKEN: Final = "upload token"  # noqa: S105 -- what it is signed for
_SLOT: Final = "upload to a slot"
_PARTS: Final = "upload in parts"
_FILE: Final = f"{PREFIX}{{file_id}}/{{name}}"
_MULTIPART: Final = f"{_FILE}/multipart/{{upload_id}}"


class Announcement(BaseModel):
    """What a client says about a file before it sends it."""

    file_name: str = Field("upload.bin", max_length=1000)


class PartName(BaseModel):
    partNumber: int = Field(ge=1, le=MOST_PARTS)  # noqa: N815 -- fal's name
    etag: str = Field(max_length=200)


class Parts(BaseModel):
    parts: list[PartName] = Field(max_length=MOST_PARTS)


_Body = TypeVar("_Body", bound=BaseModel)
FileName = Annotated[str, Header(alias="X-Fal-File-Name", max_length=1000)]


def create_router(
    uploads: Uploads,
    multipart: MultipartUploads,
    signer: Signer,
    access: Callable[[Request], Requester],
    public_url: str | None = None,
) -> APIRouter:
    """The routes; `access` tells who asks and is not asked where a token or URL says it."""
    router = APIRouter()
    tickets = _Tickets(signer)

    def base(request: Request) -> str:
        return base_of(request, public_url)

    _add_token_flow(router, uploads, multipart, tickets, access, base)
    _add_initiate_flow(router, uploads, multipart, tickets, access, base)
    _add_parts(router, multipart, tickets)

    @router.api_route(_FILE, methods=["GET", "HEAD"])
    async def read(request: Request) -> FileResponse:
        """Always a download: what somebody uploaded never runs in a page of ours."""
        with _told():
            if (upload := await uploads.find(request.url.path)) is None:
                raise UploadUnknown("There is no such file here, or it has expired.")
        return FileResponse(
            upload.path,
            media_type="application/octet-stream",
            filename=upload.name,
            headers={
                "Cache-Control": "private, max-age=3600",
                "Content-Security-Policy": "default-src 'none'; sandbox",
                "X-Content-Type-Options": "nosniff",
            },
        )

    return router


def _add_token_flow(
    router: APIRouter,
    uploads: Uploads,
    multipart: MultipartUploads,
    tickets: "_Tickets",
    access: Callable[[Request], Requester],
    base: Callable[[Request], str],
) -> None:
    @router.post("/storage/auth/token")
    async def token(
        request: Request, requester: Annotated[Requester, Depends(access)]
    ) -> dict[str, str]:
        until = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=TOKEN_S)
        return {
            "token": tickets.token(requester.id),
            "token_type": "Bearer",
            "base_url": base(request),
            "expires_at": until.isoformat(),
        }

    @router.post("/files/upload")
    async def upload(request: Request, name: FileName = "upload.bin") -> dict[str, str]:
        slot = Slot.new(name, tickets.requester(request), _lifetime(request))
        with _told():
            await uploads.store(slot, request.stream())
        return {"access_url": base(request) + slot.path}

    @router.post("/files/upload/multipart")
    async def begin(request: Request, name: FileName = "upload.bin") -> dict[str, str]:
        slot = Slot.new(name, tickets.requester(request), _lifetime(request))
        with _told():
            upload_id = multipart.begin(slot)
        return {"access_url": base(request) + slot.path, "uploadId": upload_id}


def _add_initiate_flow(
    router: APIRouter,
    uploads: Uploads,
    multipart: MultipartUploads,
    tickets: "_Tickets",
    access: Callable[[Request], Requester],
    base: Callable[[Request], str],
) -> None:
    @router.post("/storage/upload/initiate")
    async def initiate(
        request: Request, requester: Annotated[Requester, Depends(access)]
    ) -> dict[str, str]:
        file = await _read(request, Announcement)
        slot = Slot.new(file.file_name, requester.id, _lifetime(request))
        url = base(request) + slot.path
        return {"upload_url": f"{url}?ticket={tickets.for_slot(slot)}", "file_url": url}

    @router.post("/storage/upload/initiate-multipart")
    async def initiate_parts(
        request: Request, requester: Annotated[Requester, Depends(access)]
    ) -> dict[str, str]:
        file = await _read(request, Announcement)
        slot = Slot.new(file.file_name, requester.id, _lifetime(request))
        with _told():
            upload_id = multipart.begin(slot)
        url = base(request) + slot.path
        ticket = tickets.for_parts(upload_id)
        return {"upload_url": f"{url}/multipart/{upload_id}?ticket={ticket}", "file_url": url}

    @router.put(_FILE)
    async def put(request: Request, ticket: str) -> Response:
        slot = tickets.slot(ticket)
        if not request.url.path.endswith(slot.path):
            raise account(403, "This upload URL is for another file.")
        with _told():
            await uploads.store(slot, request.stream())
        return Response()


def _add_parts(router: APIRouter, multipart: MultipartUploads, tickets: "_Tickets") -> None:
    def allowed(request: Request, upload_id: str, ticket: str | None = None) -> str:
        """Let the upload's own ticket or its requester's token pass."""
        if ticket is not None:
            tickets.check_parts(ticket, upload_id)
            return upload_id
        requester = tickets.requester(request)
        with _told():
            if multipart.slot(upload_id).requester != requester:
                raise UploadUnknown("There is no such upload of yours.")
        return upload_id

    Allowed = Annotated[str, Depends(allowed)]  # noqa: N806 -- a type

    @router.put(f"{_MULTIPART}/{{number}}")
    async def part(request: Request, response: Response, upload: Allowed, number: int) -> Any:
        with _told():
            etag = await multipart.put(upload, number, request.stream())
        response.headers["etag"] = f'"{etag}"'
        return {"partNumber": number, "etag": etag}

    @router.post(f"{_MULTIPART}/complete")
    async def complete(request: Request, upload: Allowed) -> dict[str, int]:
        named = await _read(request, Parts)
        with _told():
            file = await multipart.complete(upload, [(p.partNumber, p.etag) for p in named.parts])
        return {"size": file.size}


class _Tickets:
    """What proves that somebody may upload, each for its own use and for `TOKEN_S`."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def token(self, requester: str) -> str:
        return self._signer.ticket(_TOKEN, requester, TOKEN_S)

    def requester(self, request: Request) -> str:
        """Whose token a request shows."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise account(401, "Uploads need the token that /storage/auth/token gives.")
        return str(self._read(_TOKEN, token.strip()))

    def for_slot(self, slot: Slot) -> str:
        value = [slot.id, slot.name, slot.requester, slot.lifetime]
        return self._signer.ticket(_SLOT, value, TOKEN_S)

    def slot(self, ticket: str) -> Slot:
        match self._read(_SLOT, ticket):
            case [str(file_id), str(name), str(requester), float(lifetime)]:
                return Slot(file_id, name, requester, lifetime)
            case _:
                raise account(401, "This upload URL is not valid.")

    def for_parts(self, upload_id: str) -> str:
        return self._signer.ticket(_PARTS, upload_id, TOKEN_S)

    def check_parts(self, ticket: str, upload_id: str) -> None:
        if self._read(_PARTS, ticket) != upload_id:
            raise account(403, "This upload URL is for another upload.")

    def _read(self, purpose: str, text: str) -> object:
        try:
            return self._signer.read_ticket(purpose, text)
        except BadLink as error:
            raise account(401, f"{error} Begin the upload again.") from error


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except UploadError as error:
        raise account(_STATUS[type(error)], str(error)) from error


async def _read(request: Request, model: type[_Body]) -> _Body:
    """Read a small JSON body, whose sender is known by now."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST_BODY:
            raise account(413, f"The request has more than {_LONGEST_BODY >> 20} MB.")
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        problems = [{**e, "loc": ("body", *e["loc"])} for e in error.errors(include_input=False)]
        raise RequestValidationError(problems) from None


def _lifetime(request: Request) -> float:
    """For how many seconds the client wants its file kept; it may only shorten what is usual."""
    headers = request.headers
    text = headers.get("x-fal-object-lifecycle") or headers.get("x-fal-object-lifecycle-preference")
    if text is None:
        return KEEP_S
    try:
        wanted = json.loads(text)["expiration_duration_seconds"]
        return float(wanted) if wanted else KEEP_S  # nought is for ever, as on fal
    except KeyError:
        return KEEP_S
    except (ValueError, TypeError):
        raise account(
            400, 'The lifecycle header is not valid; use {"expiration_duration_seconds": 3600}.'
        ) from None
