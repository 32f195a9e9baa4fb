"""Tokens at rest: what the database and the data folder hold of them only we can open."""

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken


class Vault:
    """Seals with the instance's secret. What another secret has sealed cannot be opened."""

    def __init__(self, secret: str) -> None:
        key = hashlib.sha256(b"atelier tokens at rest\0" + secret.encode()).digest()
        self._fernet = Fernet(base64.urlsafe_b64encode(key))

    def seal(self, text: str) -> str:
        """Encrypt and authenticate; the same text gives another result each time."""
        return self._fernet.encrypt(text.encode()).decode("ascii")

    def open(self, sealed: str) -> str | None:
        """The text, or None where it was not sealed here, or was changed since."""
        try:
            return self._fernet.decrypt(sealed).decode()
        except InvalidToken:
            return None
