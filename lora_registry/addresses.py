"""Web addresses of files, as people give them: what they are called and whether they are secret."""

import re
import urllib.parse
from typing import Final

_SECRET_NAME: Final = re.compile(
    r"token|key|sig|auth|secret|passw|credential|policy|expires|jwt", re.IGNORECASE
)


def file_name(url: str) -> str:
    """What people call the file behind a URL: the last part of its path."""
    last = urllib.parse.unquote(without_query(url).rstrip("/").rpartition("/")[2])
    return "".join(char for char in last if char.isprintable())[:100] or "?"


def without_query(url: str) -> str:
    """The URL without what may hold a token."""
    return re.split(r"[?#]", url, maxsplit=1)[0]


def may_hold_a_secret(url: str) -> bool:
    """Whether a parameter of the URL has the name of a token, a key or a signature."""
    query = urllib.parse.urlsplit(url).query
    names = (name for name, _ in urllib.parse.parse_qsl(query, keep_blank_values=True))
    return any(map(_SECRET_NAME.search, names))
