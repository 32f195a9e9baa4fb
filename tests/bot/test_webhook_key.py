"""The key of outgoing webhooks: kept for its owner alone, and checkable by anybody."""

import base64
import hashlib
import stat
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bot.webhook_key import KeyDamaged, WebhookKey

BODY = b'{"status": "OK"}'


def public(key: WebhookKey) -> Ed25519PublicKey:
    """What a receiver makes of the key set."""
    [found] = key.jwks["keys"]
    assert (found["kty"], found["crv"]) == ("OKP", "Ed25519")
    return Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(found["x"] + "=="))


def test_a_signature_is_over_the_four_lines_that_fals_receivers_put_together(
    tmp_path: Path,
) -> None:
    key = WebhookKey.load(tmp_path)
    headers = key.headers("id-1", "key-abc", 1_800_000_000, BODY)
    lines = [
        headers["X-Fal-Webhook-Request-Id"],
        headers["X-Fal-Webhook-User-Id"],
        headers["X-Fal-Webhook-Timestamp"],
        hashlib.sha256(BODY).hexdigest(),
    ]
    assert lines[:3] == ["id-1", "key-abc", "1800000000"]
    signature = bytes.fromhex(headers["X-Fal-Webhook-Signature"])
    public(key).verify(signature, "\n".join(lines).encode())
    lines[3] = hashlib.sha256(BODY + b" ").hexdigest()
    with pytest.raises(InvalidSignature):
        public(key).verify(signature, "\n".join(lines).encode())


def test_the_key_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    first = WebhookKey.load(tmp_path)
    assert WebhookKey.load(tmp_path).jwks == first.jwks
    [file] = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_every_instance_has_its_own_key(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    one, two = (WebhookKey.load(folder).jwks["keys"][0] for folder in folders)
    assert one["x"] != two["x"]
    assert one["kid"] != two["kid"]


def test_a_start_that_was_cut_off_while_it_made_the_key_is_made_good(tmp_path: Path) -> None:
    (tmp_path / ".webhook.key.part").write_bytes(b"half")
    key = WebhookKey.load(tmp_path)
    assert WebhookKey.load(tmp_path).jwks == key.jwks
    assert [file.name for file in tmp_path.iterdir()] == ["webhook.key"]


@pytest.mark.parametrize("content", [b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\n"])
def test_a_damaged_key_is_said_and_never_replaced_quietly(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "webhook.key").write_bytes(content)
    with pytest.raises(KeyDamaged, match=r"webhook\.key is damaged; remove it"):
        WebhookKey.load(tmp_path)
    assert (tmp_path / "webhook.key").read_bytes() == content
