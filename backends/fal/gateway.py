"""Where a fal-compatible service is, and how it wants to be asked.

Whatever URL a service returns, its origin is dropped: requests, and with them the key, go to the
configured one only. Status, result and cancel are asked of owner and app, without a sub-path
(`fal-ai/flux-2/lora` is submitted, `fal-ai/flux-2/requests/ID` is asked), as in fal's own clients.
"""

import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import httpx

AuthScheme = Literal["Key", "Bearer", "none"]

_PREFIXED: Final = frozenset({"workflows", "comfy"})
"""Namespaces in front of owner and app."""

_SEGMENT: Final = re.compile(r"[\w.:~-]{1,200}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Gateway:
    """A service that speaks fal's queue protocol; URLs without a slash at their end or a query.

    `rest_url` is where files are uploaded. `extra_query` goes with every call to `queue_url`.

    Raises:
        ValueError: a URL or the key cannot be one; the text is a sentence for the owner.
    """

    queue_url: str
    rest_url: str
    key: str | None = field(default=None, repr=False)
    scheme: AuthScheme = "Key"
    extra_query: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for name in ("queue_url", "rest_url"):
            object.__setattr__(self, name, _base(getattr(self, name)))
        if self.key is not None and not re.fullmatch(r"[!-~]+", self.key):
            raise ValueError("The fal key is empty or has spaces or line breaks; copy it again.")

    @property
    def host(self) -> str:
        """The host of `queue_url`, in ASCII and without its port."""
        return httpx.URL(self.queue_url).raw_host.decode("ascii")

    def headers(self) -> dict[str, str]:
        """What identifies us. For this gateway's two addresses only, never for another host."""
        if self.key is None or self.scheme == "none":
            return {}
        return {"Authorization": f"{self.scheme} {self.key}"}

    def call(self, url: str, **query: str) -> httpx.URL:
        """Complete one of this gateway's URLs by `query` and the extra query."""
        return httpx.URL(url).copy_merge_params({**query, **self.extra_query})

    def submit_url(self, endpoint: str) -> str:
        """Where a request to `endpoint` is posted."""
        return f"{self.queue_url}/{endpoint}"

    def request_url(self, endpoint: str, request_id: str, tail: str = "") -> str:
        """A request's own URL: its result, or with a tail such as `/status` something else."""
        parts = endpoint.split("/")
        app = "/".join(parts[: 3 if parts[0] in _PREFIXED else 2])
        return f"{self.queue_url}/{app}/requests/{request_id}{tail}"

    def rebase(self, returned: object, built: str) -> str:
        """Move a URL that a service returned to the configured base.

        Where its path does not lead to the same thing of the same request as `built` (from
        `request_url`) does, `built` is used.
        """
        if not isinstance(returned, str) or not re.fullmatch(r"[!-~]{1,2000}", returned):
            return built
        try:
            split = urllib.parse.urlsplit(returned)
        except ValueError:
            return built
        prefix = urllib.parse.urlsplit(self.queue_url).path
        path = split.path
        if prefix and path.startswith(f"{prefix}/"):
            path = path.removeprefix(prefix)
        segments = path.removeprefix("/").removesuffix("/").split("/")
        tail = built[built.rindex("/requests/") :]
        same = f"/{'/'.join(segments)}".removesuffix("/response").endswith(tail)
        if not same or not all(is_segment(segment) for segment in segments):
            return built
        query = f"?{split.query}" if split.query else ""
        return f"{self.queue_url}/{'/'.join(segments)}{query}"


def is_segment(text: object) -> bool:
    """Whether this can stand between two slashes of a URL and mean only itself."""
    return isinstance(text, str) and bool(_SEGMENT.fullmatch(text)) and bool(text.strip("."))


def _base(text: str) -> str:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in {"http", "https"} or not url.host or url.query or url.userinfo:
        raise ValueError(
            f"{text.partition('?')[0]!r} is no address of a fal service; use one such as "
            "https://queue.fal.run, without a user name and a query."
        )
    return text.rstrip("/")
