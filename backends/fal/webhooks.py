"""Webhooks of a fal-compatible service: whether a request really comes from it.

The sender signs four lines with Ed25519: request id, user id, time, and the SHA-256 of the body in
hex. Its public keys are a JWKS at `/.well-known/jwks.json` of the service's REST address.

    WebhookRefused        str(error) is a sentence for the log
    ├── Unsigned          a header is missing or cannot be read
    ├── Stale             signed too long ago, or in the future
    ├── Forged            none of the service's keys made this signature
    └── KeysUnavailable   the service's keys cannot be read now; sending it again may work
"""

import asyncio
import base64
import binascii
import hashlib
import re
import time
from collections.abc import AsyncIterable, Callable, Mapping
from typing import Final

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, Field, ValidationError

TOLERANCE_S: Final = 300
KEYS_LIFETIME_S: Final = 24 * 3600
KEYS_PAUSE_S: Final = 60
"""Least time between two fetches of the keys, however many requests with bad signatures come."""

_FETCH_TIMEOUT_S: Final = 10.0
_MAX_JWKS: Final = 64 * 1024
_MAX_KEYS: Final = 16

_ID: Final = re.compile(r"[!-~]{1,200}")
_SECONDS: Final = re.compile(r"[0-9]{1,12}")
_SIGNATURE: Final = re.compile(r"[0-9a-fA-F]{128}")


class WebhookRefused(Exception):
    """Base of the tree."""


class Unsigned(WebhookRefused):
    """The request is no webhook of fal's form."""


class Stale(WebhookRefused):
    """The request was not signed just now: it may be an old one that somebody sends again."""


class Forged(WebhookRefused):
    """The signature fits none of the service's keys."""


class KeysUnavailable(WebhookRefused):
    """The service's public keys cannot be read."""


class WebhookVerifier:
    """Verifies what claims to come from the service at `rest_url`.

    Its keys are fetched with `http`, without credentials, when they are first needed; they are kept
    for a day and fetched again when none fits. `clock` gives seconds since 1970.
    """

    def __init__(
        self, rest_url: str, http: httpx.AsyncClient, clock: Callable[[], float] = time.time
    ) -> None:
        self._url = f"{rest_url.rstrip('/')}/.well-known/jwks.json"
        self._http = http
        self._clock = clock
        self._fetching = asyncio.Lock()
        self._keys: tuple[Ed25519PublicKey, ...] = ()
        self._fetched_at = self._tried_at = float("-inf")

    async def verify(self, headers: Mapping[str, str], body: AsyncIterable[bytes]) -> str:
        """Return the id of the request that this webhook tells about.

        `headers` have lower-case names, or do not care. `body` is read only when the headers are in
        order, and is not kept.

        Raises:
            WebhookRefused: see the tree above.
        """
        request_id = _header(headers, "request-id", _ID)
        user_id = _header(headers, "user-id", _ID)
        timestamp = _header(headers, "timestamp", _SECONDS)
        signature = bytes.fromhex(_header(headers, "signature", _SIGNATURE))
        if abs(off := self._clock() - int(timestamp)) > TOLERANCE_S:
            raise Stale(
                f"A webhook was refused: it was signed {abs(off):.0f} seconds "
                f"{'ago' if off > 0 else 'from now'}, and {TOLERANCE_S} are allowed. If this "
                "repeats, set this machine's clock."
            )
        digest = hashlib.sha256()
        async for chunk in body:
            digest.update(chunk)
        message = "\n".join((request_id, user_id, timestamp, digest.hexdigest())).encode()
        for renewed in (False, True):
            if _fits(await self._current_keys(renewed=renewed), signature, message):
                return request_id
        raise Forged("A webhook was refused: its signature was made by none of the service's keys.")

    async def _current_keys(self, *, renewed: bool) -> tuple[Ed25519PublicKey, ...]:
        """The service's keys; fetched anew when they are old, or `renewed` and not just fetched.

        Raises:
            KeysUnavailable: there are none, or only old ones.
        """
        async with self._fetching:
            now = self._clock()
            old = not 0 <= now - self._fetched_at < KEYS_LIFETIME_S
            paused = 0 <= now - self._tried_at < KEYS_PAUSE_S
            if (old or renewed) and not paused:
                keys = await self._fetch()
                self._tried_at = now
                if keys:
                    self._keys, self._fetched_at, old = keys, now, False
            if old:
                raise KeysUnavailable(
                    f"A webhook could not be verified: there are no keys at {self._url}. Results "
                    "are asked for instead; if this repeats, check FAL_REST_URL."
                )
            return self._keys

    async def _fetch(self) -> tuple[Ed25519PublicKey, ...]:
        """The keys as the service now has them; none where they cannot be read."""
        data = bytearray()
        try:
            async with (
                asyncio.timeout(_FETCH_TIMEOUT_S),
                self._http.stream("GET", self._url, follow_redirects=False) as answer,
            ):
                if answer.status_code != httpx.codes.OK:
                    return ()
                async for chunk in answer.aiter_bytes():
                    data += chunk
                    if len(data) > _MAX_JWKS:
                        return ()
            return _parse(bytes(data))
        except (httpx.HTTPError, TimeoutError, ValidationError):
            return ()


class _Jwk(BaseModel):
    """Of a JSON Web Key (RFC 8037), only what an Ed25519 key needs."""

    kty: str | None = None
    crv: str | None = None
    x: str = ""


class _Jwks(BaseModel):
    keys: list[_Jwk] = Field(max_length=_MAX_KEYS)


def _parse(document: bytes) -> tuple[Ed25519PublicKey, ...]:
    """Read a JWKS, leaving out keys of other kinds."""
    found = []
    for key in _Jwks.model_validate_json(document).keys:
        if key.kty not in {None, "OKP"} or key.crv not in {None, "Ed25519"}:
            continue
        try:
            raw = base64.urlsafe_b64decode(key.x + "=" * (-len(key.x) % 4))
            found.append(Ed25519PublicKey.from_public_bytes(raw))
        except (binascii.Error, ValueError):
            continue
    return tuple(found)


def _header(headers: Mapping[str, str], name: str, form: re.Pattern[str]) -> str:
    value = headers.get(f"x-fal-webhook-{name}", "")
    if not form.fullmatch(value):
        raise Unsigned(
            f"A webhook was refused: its header X-Fal-Webhook-{name.title()} is missing or cannot "
            "be read."
        )
    return value


def _fits(keys: tuple[Ed25519PublicKey, ...], signature: bytes, message: bytes) -> bool:
    for key in keys:
        try:
            key.verify(signature, message)
        except InvalidSignature:
            continue
        return True
    return False
