"""What can go wrong while something is fetched; the tree is drawn in `fetch.py`."""

import contextlib
import errno
import ssl
from collections.abc import Iterator

import httpcore


class FetchError(Exception):
    """Base of the tree. `str(error)` is a sentence for the person who gave the URL."""


class AddressRefused(FetchError):
    """The address, or one it leads to, may not be fetched."""


class Unreachable(FetchError):
    """No connection, no valid certificate, or the answer broke off. May work later."""


class NotFetched(FetchError):
    """The server answered, but not with the file.

    `status` is the HTTP status, `retry_after` the seconds it asked us to wait, where it did.
    """

    def __init__(self, message: str, status: int, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class TooLarge(FetchError):
    """The file has more than `limit` bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The file is too large: at most {readable_size(limit)} can be fetched here. "
            "Use a smaller one."
        )
        self.limit = limit


class TooSlow(FetchError):
    """The server kept us waiting too long. May work later."""


class HashMismatch(FetchError):
    """The file is not the one that was expected; both SHA-256 are given in hex."""

    def __init__(self, expected: str, actual: str) -> None:
        super().__init__(
            f"The file is not the expected one: its SHA-256 starts with {actual[:12]}, not "
            f"{expected[:12]}. It was replaced at its source; check it there before using it."
        )
        self.expected = expected
        self.actual = actual


class NotSaved(FetchError):
    """The file cannot be written where it belongs."""


class DiskFull(NotSaved):
    """Too little space is left on the disk."""


@contextlib.contextmanager
def network_errors_told(host: str) -> Iterator[None]:
    """Say what httpcore, ssl and sockets raise in our own words; the one spot that does."""
    try:
        yield
    except (httpcore.TimeoutException, TimeoutError) as error:
        raise TooSlow(
            f"{host} does not answer in time. Try again later or use another source."
        ) from error
    except (
        httpcore.NetworkError,
        httpcore.ProtocolError,
        httpcore.ProxyError,
        httpcore.UnsupportedProtocol,
        httpcore.ConnectionNotAvailable,
        OSError,
    ) as error:
        if isinstance(error.__context__, ssl.SSLCertVerificationError):
            problem = f"{host} has no valid certificate for its name. It may not be the real site"
        elif isinstance(error, httpcore.ConnectError):
            problem = f"{host} cannot be reached. Check the address, or try again later"
        else:
            problem = f"{host} broke off in the middle of its answer. Try again later"
        raise Unreachable(f"{problem}.") from error


@contextlib.contextmanager
def disk_errors_told() -> Iterator[None]:
    """Say what went wrong with the disk; without the path, which is the owner's business."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFull("The disk is too full to save the file. Make room on it.") from error
        raise NotSaved(f"The file cannot be saved: {error.strerror or error}.") from error


def readable_size(size: float) -> str:
    """Write a number of bytes for people."""
    for unit in ("bytes", "KB", "MB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GB"
