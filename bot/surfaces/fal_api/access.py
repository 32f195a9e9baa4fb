"""Who may use the endpoint, and whose requests are whose.

    with ATELIER_API_KEYS     whoever shows one of the keys; each key is a requester of its own
    without                   this machine only: peer and Host are loopback, no proxy in between

Without a key, any page in a browser of this machine could have it draw. So there a browser's
request is only answered when the page, too, is from this machine.
"""

import hashlib
import hmac
from collections.abc import Iterable

from fastapi import Request

from bot.permissions import Requester
from bot.surfaces.fal_api.errors import account
from bot.surfaces.loopback import host_in, is_local, is_loopback

_NO_KEY = "This server asks for an API key: send it as `Authorization: Key …`."
_WRONG_KEY = "No user found for Key ID and Secret: this server does not know the key."
_CLOSED = (
    "This server has no API keys, so it only answers this machine. Its operator sets them with "
    "ATELIER_API_KEYS."
)
_FOREIGN = "Without API keys, this server does not answer pages from other sites."


class Access:
    """Tells a request's requester. `check` is a dependency of every route that needs one."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._digests = tuple(_digest(key) for key in keys)

    @property
    def open(self) -> bool:
        """Whether there are no keys."""
        return not self._digests

    def check(self, request: Request) -> Requester:
        """Who asks.

        Raises:
            ApiError: 401 or 403.
        """
        return self._local(request) if self.open else self._by_key(request)

    def _local(self, request: Request) -> Requester:
        if not is_local(request):
            raise account(401, _CLOSED)
        origin = request.headers.get("origin")
        if origin is not None and not is_loopback(host_in(origin)):
            raise account(403, _FOREIGN)
        return Requester("local", program=True)

    def _by_key(self, request: Request) -> Requester:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() not in {"key", "bearer"} or not key.strip():
            raise account(401, _NO_KEY)
        given = _digest(key.strip())
        # Every key is compared, each in constant time: how long it takes tells nothing.
        if True not in [hmac.compare_digest(given, known) for known in self._digests]:
            raise account(401, _WRONG_KEY)
        return Requester(f"key-{given.hex()[:12]}", program=True)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
