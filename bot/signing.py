"""The instance's secret, and what is signed with it: links to pictures, sessions, the web token."""

import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from itsdangerous import BadData, URLSafeSerializer

LINK_DAYS: Final = 2
"""A link works for one to two days; its text changes at most once a day, so browsers may cache."""
SESSION_DAYS: Final = 30
_DAY_S: Final = 86_400
_FILE_NAME: Final = "secret.key"


class BadLink(Exception):
    """The text is no link of ours, or it has expired."""


def load_secret(folder: Path) -> str:
    """The secret in the data folder, made on the first start; only its owner may read the file.

    Raises:
        OSError: it can neither be read nor made.
    """
    path = folder / _FILE_NAME
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if secret := path.read_text("ascii").strip():
            return secret
        path.unlink()  # a start that was cut off between making and writing it
        return load_secret(folder)
    secret = secrets.token_urlsafe(32)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secret)
        file.flush()
        os.fsync(file.fileno())
    return secret


class Signer:
    """Signs and reads. What was signed for one purpose is nothing for another."""

    def __init__(self, secret: str, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._clock = clock

    def link(self, job_id: str, index: int) -> str:
        """An unguessable name for a picture, which expires."""
        return self._sign("picture", [job_id, index], LINK_DAYS)

    def read_link(self, text: str) -> tuple[str, int]:
        """The job and the picture's index.

        Raises:
            BadLink
        """
        match self._read("picture", text):
            case [str(job_id), int(index)] if 0 <= index < 4:
                return job_id, index
            case _:
                raise BadLink("This link is not valid.")

    def ticket(self, purpose: str, value: object, seconds: float) -> str:
        """A text that gives back `value` (of JSON) for so many seconds."""
        return self._sealed(purpose, value, self._clock() + seconds)

    def read_ticket(self, purpose: str, text: str) -> object:
        """The value of a ticket.

        Raises:
            BadLink
        """
        return self._read(purpose, text)

    def session(self) -> str:
        """What a browser keeps after it has shown the token."""
        return self._sign("session", "owner", SESSION_DAYS)

    def is_session(self, text: str) -> bool:
        try:
            return self._read("session", text) == "owner"
        except BadLink:
            return False

    @property
    def web_token(self) -> str:
        """What opens the playground from another machine; the same until the secret changes."""
        digest = hmac.new(self._secret.encode(), b"atelier web token", hashlib.sha256)
        return digest.hexdigest()[:32]

    def is_web_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self.web_token.encode())

    def _sign(self, purpose: str, value: object, days: int) -> str:
        return self._sealed(purpose, value, (int(self._clock()) // _DAY_S + days) * _DAY_S)

    def _sealed(self, purpose: str, value: object, until: float) -> str:
        signed = self._serializer(purpose).dumps([until, value])
        return signed if isinstance(signed, str) else signed.decode()

    def _read(self, purpose: str, text: str) -> object:
        try:
            until, value = self._serializer(purpose).loads(text)
        except (BadData, ValueError, TypeError) as error:
            raise BadLink("This link is not valid.") from error
        if self._clock() >= until:
            raise BadLink("This link has expired; reload the page for a new one.")
        return value

    def _serializer(self, purpose: str) -> URLSafeSerializer:
        return URLSafeSerializer(
            self._secret, salt=f"atelier {purpose}", signer_kwargs={"digest_method": hashlib.sha256}
        )
