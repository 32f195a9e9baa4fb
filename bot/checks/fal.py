"""fal, or what stands in for it: is it reached, and does it take the key?"""

from collections.abc import Iterator
from typing import Final
from uuid import UUID

import httpx

from backends.base import Flux1Request
from backends.fal.error_bodies import read_error
from backends.fal.errors import FalError
from bot.app import fal_gateway
from bot.checks.finding import Finding, broken, ok, warning
from bot.settings import Settings

_PATIENCE_S: Final = 10.0
_NOBODY: Final = str(UUID(int=0))
"""A request that does not exist: asking for it costs nothing and draws nothing."""


def service(settings: Settings) -> Iterator[Finding]:
    """Ask the service for a request that it cannot have; nothing is paid for."""
    if not settings.draws_with_fal:
        if settings.backend == "fal":
            yield broken(
                "ATELIER_BACKEND is fal, but there is no key for it.", "Set FAL_KEY in .env."
            )
        return
    gateway = fal_gateway(settings)
    url = gateway.call(gateway.request_url(Flux1Request.endpoint, _NOBODY, "/status"))
    try:
        answer = httpx.get(url, headers=gateway.headers(), timeout=_PATIENCE_S, trust_env=False)
    except httpx.HTTPError as error:
        yield broken(
            f"{gateway.host} cannot be reached ({type(error).__name__}).",
            "See that this machine has a network, and correct FAL_QUEUE_URL if it is set.",
        )
        return
    yield _verdict(gateway.host, answer)


def _verdict(host: str, answer: httpx.Response) -> Finding:
    if answer.is_redirect:
        return broken(
            f"{host} sends Atelier on to another address, which does not get the key.",
            "Set FAL_QUEUE_URL to that address if it is the right one.",
        )
    if answer.status_code in {401, 403}:
        try:
            body = answer.json()
        except ValueError:
            body = None
        error: FalError = read_error(answer.status_code, answer.headers, body)
        return broken(str(error), "Set FAL_KEY in .env to a key that works.")
    if answer.status_code >= 500 or answer.status_code == 429:
        return warning(f"{host} has trouble of its own ({answer.status_code}).", "Try again later.")
    return ok(f"{host} is reached, and takes the key.")
