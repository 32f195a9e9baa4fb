"""LoRA files on their way to fal: by their public address, or uploaded once to fal's storage.

As in fal's own clients, `files/upload` takes a file and answers with its `access_url`. A larger
one goes in parts, each by PUT to `{access_url}/multipart/{uploadId}/{number}`, and `…/complete`
puts them together.

    LoraRejected                    the file on this machine cannot be read
    Unreachable     (retryable)     no answer, or trouble of the service that did not pass
    FalError
    ├── KeyRefused, AccessRefused   the key is not good for uploads
    ├── StorageMissing              the service takes no files at all
    ├── UploadRefused               it does not take this one
    └── AnswerRefused               an answer that is none, or that names another server
"""

import asyncio
import json
import re
import time
import weakref
from collections.abc import AsyncGenerator, Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import httpx
from pydantic import BaseModel, Field

from backends.base import LoraFile
from backends.errors import LoraRejected, Unreachable
from backends.fal.errors import FalError
from backends.fal.file_server import Address, FileServer, StorageAnswer, StorageTrouble
from backends.fal.gateway import Gateway
from backends.fal.upload_book import UploadBook

Report = Callable[[str, float | None], None]
"""Told what is being done and, where it is known, which part of it (0 to 1) is done."""

LIFETIME_S: Final = 7 * 86_400
"""How long the service is asked to keep a file."""
MARGIN_S: Final = 86_400
"""An address is not given out any more this long before its file ends: jobs may queue."""

WHOLE_UP_TO: Final = 90 * 2**20
PART: Final = 10 * 2**20
_PARTS_AT_ONCE: Final = 4
_BLOCK: Final = 2**20
_DEADLINE_S: Final = 3600.0

_FILE: Final = {"Content-Type": "application/octet-stream"}
_JSON: Final = {"Content-Type": "application/json"}

_CREDENTIAL: Final = re.compile(
    r"token|secret|passw|credential|signature|^sig$|key|auth|^x-(?:amz|goog)-", re.IGNORECASE
)
"""Names of query parameters whose values open something that is not public."""


class UploadRefused(FalError):
    """The service does not take the file."""


class _Uploaded(BaseModel):
    access_url: Address


class _InParts(_Uploaded):
    upload_id: Annotated[str, Field(alias="uploadId", pattern=r"^[A-Za-z0-9_.~=+-]+$")]


class LoraUploads:
    """Gives each LoRA file an address that the service behind `gateway` can fetch.

    Addresses are remembered in `folder`, by the service's REST address and the file's hash.
    """

    def __init__(self, gateway: Gateway, http: httpx.AsyncClient, folder: Path) -> None:
        self._service = gateway.rest_url
        self._server = FileServer(gateway, http)
        self._book = UploadBook(folder / "uploads.json")
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    async def url_for(self, file: LoraFile, report: Report) -> str:
        """Return where the service finds the file, uploading it if that was not done before.

        A public URL is used as it is, unless it carries something like a token: the service keeps
        the requests that it gets.

        Raises:
            BackendError: see the tree above.
        """
        if file.public_url and is_public(file.public_url):
            return file.public_url
        async with self._locks.setdefault(file.sha256, asyncio.Lock()):
            if url := await self._book.find(self._service, file.sha256):
                return url
            until = time.time() + LIFETIME_S - MARGIN_S
            url = await self._upload(file, report)
            await self._book.keep(self._service, file.sha256, url, until)
            return url

    async def forget(self, file: LoraFile) -> None:
        """Upload the file anew next time: the service could not fetch it from its own storage."""
        await self._book.forget(self._service, file.sha256)

    async def _upload(self, file: LoraFile, report: Report) -> str:
        report(f"uploading the LoRA {file.name}", None)
        try:
            size = (await asyncio.to_thread(file.path.stat)).st_size
            upload = _Upload(self._server, file, size, report)
            async with asyncio.timeout(_DEADLINE_S):
                return await (upload.whole if size <= WHOLE_UP_TO else upload.in_parts)()
        except StorageTrouble as error:
            raise Unreachable(
                f"The LoRA {file.name} could not be uploaded: {error}. Nothing was drawn or paid "
                "for; try again in a few minutes."
            ) from None
        except TimeoutError:
            raise Unreachable(
                f"The LoRA {file.name} could not be uploaded within {_DEADLINE_S / 60:.0f} minutes."
                " Nothing was drawn or paid for; try again, or use a LoRA with a public URL."
            ) from None
        except OSError as error:
            raise LoraRejected(
                file.name, f"its file cannot be read ({(error.strerror or 'damaged').lower()})."
            ) from None


class _Upload:
    """One file on its way."""

    def __init__(self, server: FileServer, file: LoraFile, size: int, report: Report) -> None:
        self._server = server
        self._file = file
        self._size = size
        self._report = report
        self._sent: dict[int, int] = {}

    async def whole(self) -> str:
        headers = {**_FILE, **self._naming, "Content-Length": str(self._size)}
        blocks = partial(self._blocks, 0, self._size)
        answer = await self._server.send("POST", "/files/upload", headers, blocks)
        return self._accepted(answer).read(_Uploaded).access_url

    async def in_parts(self) -> str:
        headers = {**_FILE, **self._naming}
        answer = await self._server.send("POST", "/files/upload/multipart", headers)
        upload = self._accepted(answer).read(_InParts)
        url = f"{upload.access_url}/multipart/{upload.upload_id}"
        etags: dict[int, str] = {}
        parts = enumerate(range(0, self._size, PART), start=1)

        async def send_parts() -> None:
            for number, start in parts:
                length = min(PART, self._size - start)
                headers = {**_FILE, "Content-Length": str(length)}
                blocks = partial(self._blocks, start, length)
                answer = await self._server.send("PUT", f"{url}/{number}", headers, blocks)
                etags[number] = self._accepted(answer).headers.get("etag", "")

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(_PARTS_AT_ONCE):
                    group.create_task(send_parts())
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        made = [{"partNumber": number, "etag": etags[number]} for number in sorted(etags)]
        body = json.dumps({"parts": made}).encode()
        self._accepted(await self._server.send("POST", f"{url}/complete", _JSON, body))
        return upload.access_url

    @property
    def _naming(self) -> dict[str, str]:
        """The file by its hash, since people's names for it are theirs, and how long to keep it.

        The file server reads the first of the two lifetimes, older storage the second.
        """
        lifetime = json.dumps({"expiration_duration_seconds": LIFETIME_S})
        return {
            "X-Fal-File-Name": f"{self._file.sha256[:16]}.safetensors",
            "X-Fal-Object-Lifecycle": lifetime,
            "X-Fal-Object-Lifecycle-Preference": lifetime,
        }

    async def _blocks(self, start: int, length: int) -> AsyncGenerator[bytes, None]:
        """Read a part of the file, telling how much of the whole has been sent."""
        end = start + length
        with await asyncio.to_thread(self._file.path.open, "rb") as file:
            file.seek(start)
            while block := await asyncio.to_thread(file.read, min(_BLOCK, end - start)):
                yield block
                start += len(block)
                self._sent[end] = length - (end - start)
                fraction = sum(self._sent.values()) / self._size
                self._report(f"uploading the LoRA {self._file.name}", fraction)

    def _accepted(self, answer: StorageAnswer) -> StorageAnswer:
        if 200 <= answer.status < 300:
            return answer
        if answer.status == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
            why = f"it is too large for {answer.host}"
        else:
            why = f"{answer.host} answered {answer.status}"
        raise UploadRefused(
            f"The LoRA {self._file.name} could not be uploaded: {why}. Use another LoRA, or one "
            "with a public URL.",
            status=answer.status,
        )


def is_public(url: str) -> bool:
    """Whether this URL opens nothing that is not open to everybody, by the looks of it."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    if parsed.scheme not in {"http", "https"} or parsed.userinfo:
        return False
    return not any(_CREDENTIAL.search(name) for name in parsed.params)
