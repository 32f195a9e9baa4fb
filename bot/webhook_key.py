"""The key that signs outgoing webhooks, and how receivers check it: fal's scheme.

A signature is ED25519 over four lines: request id, user id, time in seconds since 1970, and the
SHA-256 (hex) of the body. Receivers find the public part at `/.well-known/jwks.json` (RFC 8037).
"""

import base64
import contextlib
import hashlib
import os
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_FILE_NAME: Final = "webhook.key"
_PREFIX: Final = "X-Fal-Webhook-"


class KeyDamaged(Exception):
    """The key's file holds something else; str() says what to do."""


class WebhookKey:
    """Signs. One per instance, so that receivers may keep its public part."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private

    @classmethod
    def load(cls, folder: Path) -> "WebhookKey":
        """The key in the data folder, made on the first start; only its owner may read the file.

        Raises:
            OSError: it can neither be read nor made.
            KeyDamaged: the file holds something else; str() says what to do.
        """
        path = folder / _FILE_NAME
        if not path.exists():
            _make(path)
        pem = path.read_bytes()
        with contextlib.suppress(ValueError, TypeError, UnsupportedAlgorithm):
            private = serialization.load_pem_private_key(pem, password=None)
            if isinstance(private, Ed25519PrivateKey):
                return cls(private)
        raise KeyDamaged(f"{path} is damaged; remove it, and a new key is made.")

    @property
    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public part as a JSON Web Key Set."""
        public = self._private.public_key().public_bytes_raw()
        key = {
            "kty": "OKP",
            "crv": "Ed25519",
            "use": "sig",
            "alg": "EdDSA",
            "kid": hashlib.sha256(public).hexdigest()[:16],
            "x": base64.urlsafe_b64encode(public).rstrip(b"=").decode(),
        }
        return {"keys": [key]}

    def headers(self, request_id: str, user_id: str, timestamp: int, body: bytes) -> dict[str, str]:
        """The headers of a webhook with this body. Hashing takes a millisecond a megabyte."""
        lines = (request_id, user_id, str(timestamp), hashlib.sha256(body).hexdigest())
        return {
            "Content-Type": "application/json",
            f"{_PREFIX}Request-Id": request_id,
            f"{_PREFIX}User-Id": user_id,
            f"{_PREFIX}Timestamp": str(timestamp),
            f"{_PREFIX}Signature": self._private.sign("\n".join(lines).encode()).hex(),
        }


def _make(path: Path) -> None:
    """Write a new key beside its place first, so that a start that is cut off leaves none."""
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    unfinished = path.with_name(f".{path.name}.part")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
