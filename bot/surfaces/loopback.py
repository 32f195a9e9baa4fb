"""Who sits at this machine: the question behind every access without a key or a token."""

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from fastapi import Request

_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


def is_local(request: Request) -> bool:
    """Whether peer and Host are both loopback and nothing has passed the request on."""
    peer = request.client.host if request.client else ""
    forwarded = any(name in request.headers for name in _FORWARDED)
    return is_loopback(peer) and is_loopback(host_of(request)) and not forwarded


def host_of(request: Request) -> str:
    """The name under which we were called, without its port and in lower case."""
    return host_in(f"//{request.headers.get('host', '')}")


def host_in(url: str) -> str:
    """The host that a URL names, in lower case; empty where it names none."""
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether a host's name or address leads to the machine that uses it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
