"""From fal's output to pictures: fetched, looked at, and with their verdicts.

By now the request is paid for and its result is kept for minutes only. So fetching is tried for
about a minute, what arrives is delivered even when a part of it does not, and no error here lets
the request be sent again by itself.
"""

import asyncio
import io
from collections.abc import Mapping
from typing import Annotated, Any, Final

import httpx
import stamina
import structlog
from PIL import Image
from pydantic import BaseModel, Field, ValidationError

from backends.base import MAX_SEED, GenerationRequest, OutputFormat, Picture, Verdict
from backends.fal.errors import AnswerRefused, FalError
from lora_registry.fetch import (
    AddressRefused,
    FetchError,
    GuardedFetcher,
    NotFetched,
    TooLarge,
    TooSlow,
    Unreachable,
    decode_data_uri,
)

log = structlog.get_logger()

MAX_BYTES: Final = 32 * 2**20
MAX_PIXELS: Final = 2**26
"""Most pixels of a picture that are decoded, 8192×8192: a small file may claim far more."""

_TRIES: Final = 8
_TRYING_S: Final = 60.0
_LONGEST_WAIT_S: Final = 15.0
_GIVE_UP_S: Final = 120.0
"""When a fetch that began within `_TRYING_S` is cut off, too."""

_FORMATS: Final[Mapping[str, OutputFormat]] = {"PNG": "png", "JPEG": "jpeg", "WEBP": "webp"}


class PictureLost(FalError):
    """The picture was made and paid for, but could not be fetched from `host`."""

    def __init__(self, host: str, why: str) -> None:
        super().__init__(
            f"The picture was made and may have been billed, but it could not be fetched from "
            f"{host}: {why}. Trying again draws, and pays for, a new one."
        )
        self.host = host


class _Image(BaseModel):
    url: str


class _Output(BaseModel):
    """What is needed of fal's output; seeds and flags are looked at where they are used.

    fal tells one `seed` for all pictures. `seeds`, one a picture, comes from services that draw
    each picture with its own, as our own endpoint does.
    """

    images: Annotated[list[_Image], Field(min_length=1)]
    seed: Any = None
    seeds: Any = None
    has_nsfw_concepts: Any = None


async def read_pictures(
    body: Mapping[str, object], request: GenerationRequest, fetcher: GuardedFetcher
) -> tuple[Picture, ...]:
    """Fetch the pictures of a result, at most as many as were asked for.

    Fewer are returned where the service made fewer, or where only some could be fetched. Format,
    width and height are those of the bytes, whatever the service or the request says.

    Raises:
        AnswerRefused: the result names no pictures.
        PictureLost: not one of them could be fetched.
    """
    try:
        output = _Output.model_validate(body)
    except ValidationError:
        raise AnswerRefused(
            "The request ended without a picture that can be read, and may have been billed. "
            "Trying again sends, and pays for, a new one."
        ) from None
    images = output.images[: request.num_images]
    results = await asyncio.gather(
        *(_read(image.url, output, request, index, fetcher) for index, image in enumerate(images)),
        return_exceptions=True,
    )
    pictures = []
    losses = []
    for result in results:
        if isinstance(result, Picture):
            pictures.append(result)
        elif isinstance(result, PictureLost):
            losses.append(result)
        else:
            raise result
    for loss in losses:
        log.warning("a picture was lost", host=loss.host, reason=str(loss))
    if not pictures:
        raise losses[0]
    return tuple(pictures)


async def _read(
    url: str, output: _Output, request: GenerationRequest, index: int, fetcher: GuardedFetcher
) -> Picture:
    if url[:5].lower() == "data:":
        host = "the answer itself"
        try:
            data = await asyncio.to_thread(decode_data_uri, url, MAX_BYTES)
        except TooLarge as error:
            raise PictureLost(host, _why(error)) from None
        except FetchError:
            raise PictureLost(host, "it is damaged") from None
    else:
        host = _host(url)
        try:
            async with asyncio.timeout(_GIVE_UP_S):
                data = await _fetch(url, fetcher)
        except TimeoutError:
            raise PictureLost(host, "it was too slow") from None
        except FetchError as error:
            raise PictureLost(host, _why(error)) from None
    try:
        kind, width, height = await asyncio.to_thread(_look, data)
    except ValueError as error:
        raise PictureLost(host, str(error)) from None
    seed, verdict = _seed(output, request, index), _verdict(output, request, index)
    return Picture(data, kind, width, height, seed, verdict)


async def _fetch(url: str, fetcher: GuardedFetcher) -> bytes:
    async for attempt in stamina.retry_context(
        on=_may_pass,
        attempts=_TRIES,
        timeout=_TRYING_S,
        wait_initial=0.5,
        wait_max=_LONGEST_WAIT_S,
        wait_jitter=1.0,
    ):
        with attempt:
            return await fetcher.read(url, MAX_BYTES)
    raise AssertionError  # the last attempt returns or raises


def _may_pass(error: Exception) -> bool | float:
    """Whether to try again; a number is after how many seconds the server wants it."""
    if isinstance(error, NotFetched):
        # Right after the end, a file may not have reached all of a CDN's servers yet.
        if error.status not in {404, 408, 425, 429} and error.status < 500:
            return False
        return min(float(error.retry_after), _LONGEST_WAIT_S) if error.retry_after else True
    return isinstance(error, TooSlow | Unreachable)


def _why(error: FetchError) -> str:
    match error:
        case AddressRefused():
            return (
                "this address may not be fetched from. If it is right, the owner can add its host "
                "to ATELIER_TRUSTED_HOSTS"
            )
        case NotFetched():
            return f"the server answered {error.status}"
        case TooLarge():
            return f"it has more than {MAX_BYTES >> 20} MB"
        case TooSlow():
            return "it was too slow"
        case _:
            return "the connection failed"


def _look(data: bytes) -> tuple[OutputFormat, int, int]:
    """Format, width and height of a picture that decodes from its first to its last byte.

    Raises:
        ValueError: completes the sentence "it could not be fetched: …".
    """
    try:
        with Image.open(io.BytesIO(data), formats=tuple(_FORMATS)) as image:
            kind, (width, height) = _FORMATS[image.format or ""], image.size
            if small := width * height <= MAX_PIXELS:
                image.load()
    except Exception:  # noqa: BLE001 - Pillow's decoders raise whatever they come across
        raise ValueError("what came is not a whole PNG, JPEG or WebP") from None
    if not small:
        raise ValueError(f"what came claims to have {width}×{height} pixels")
    return kind, width, height


def _seed(output: _Output, request: GenerationRequest, index: int) -> int:
    seeds = output.seeds if isinstance(output.seeds, list) else []
    told = [*seeds[index : index + 1], output.seed, request.seed]
    return next((seed for seed in told if _is_seed(seed)), 0)


def _is_seed(value: object) -> bool:
    return type(value) is int and 0 <= value <= MAX_SEED


def _verdict(output: _Output, request: GenerationRequest, index: int) -> Verdict:
    """A flag counts only where the checker was on and every picture has its own."""
    flags = output.has_nsfw_concepts
    if not (request.enable_safety_checker and isinstance(flags, list)):
        return Verdict.UNCHECKED
    # In a short list nobody knows which picture a flag is about.
    if len(flags) < len(output.images) or not isinstance(flags[index], bool):
        return Verdict.UNCHECKED
    return Verdict.FLAGGED if flags[index] else Verdict.CLEAR


def _host(url: str) -> str:
    """Whom to name; never the path, with which everybody could see the picture."""
    try:
        return httpx.URL(url).raw_host.decode("ascii") or "an address without a host"
    except httpx.InvalidURL:
        return "an address that cannot be read"
