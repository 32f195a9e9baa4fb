"""Reading a request's body: a JSON object of bounded size."""

import asyncio
import json
import math
from typing import Any, Final

from fastapi import Request

from bot.surfaces.fal_api.errors import ApiError, Detail, account, invalid

MAX_BODY: Final = 64 * 2**20
MAX_PLAIN: Final = 2**20
"""What a body may have beside the LoRAs in it; checking more would keep everybody else waiting."""
_IDLE_S: Final = 30.0


async def read_fields(request: Request) -> dict[str, Any]:
    """The fields of a request.

    Raises:
        ApiError: the body is too large, stops arriving, is no JSON object, or has numbers that
            JSON does not know.
    """
    return await asyncio.to_thread(_fields, await _body(request))


async def _body(request: Request) -> bytearray:
    body, now = bytearray(), asyncio.get_running_loop().time
    try:
        async with asyncio.timeout(_IDLE_S) as patience:
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    raise _too_large(f"{MAX_BODY >> 20} MB")
                patience.reschedule(now() + _IDLE_S)
    except TimeoutError:
        raise account(400, "The request stopped arriving halfway; send it again.") from None
    return body


def _fields(body: bytearray) -> dict[str, Any]:
    try:
        fields = json.loads(body, parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        sentence = "The body is not JSON."
        raise invalid(Detail(("body",), sentence, "json_invalid")) from error
    if not isinstance(fields, dict):
        sentence = "The body is not a JSON object with the fields of the request."
        raise invalid(Detail(("body",), sentence, "dict_type", fields))
    inline = _inline(fields.get("loras"))
    # A client may escape the slashes of base64, one character in 64.
    if len(body) - inline - inline // 32 > MAX_PLAIN:
        raise _too_large(f"{MAX_PLAIN >> 20} MB beside the LoRAs in it")
    return fields


def _inline(loras: object) -> int:
    """How many characters of a body are LoRAs as data URIs."""
    listed = loras if isinstance(loras, list) else []
    paths = [lora.get("path") for lora in listed if isinstance(lora, dict)]
    return sum(len(p) for p in paths if isinstance(p, str) and p[:5].lower() == "data:")


def _too_large(most: str) -> ApiError:
    return account(
        413, f"The request has more than {most}; upload large files and give their addresses."
    )


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        _no_number(text)
    return number
