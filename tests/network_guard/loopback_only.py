"""Keeps a Python process on this machine: every connection or look-up elsewhere raises.

The guard is an audit hook, which no code can take off again. `tests/conftest.py` imports this
module and puts its folder on PYTHONPATH: there `sitecustomize`, which Python imports as it starts,
does the same in every Python process that a test starts.
"""

import ipaddress
import sys

CONNECTS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
LOOKUPS = frozenset({"socket.getaddrinfo", "socket.gethostbyname"})
attempts: list[str] = []


class NetworkForbidden(RuntimeError):
    """A test tried to leave this machine. No OSError, so that no code takes it for a bad line."""


def guard(event: str, arguments: tuple[object, ...]) -> None:
    """Raise for an address that is not loopback and for a name that only DNS could know."""
    if event in CONNECTS:
        # A Unix socket's address is text, an Internet socket's starts with the host.
        address = arguments[1]
        if isinstance(address, tuple) and not _is_loopback(str(address[0])):
            _refuse(str(address[0]))
    elif event in LOOKUPS and not _needs_no_dns(arguments[0]):
        _refuse(str(arguments[0]))


def _refuse(host: str) -> None:
    attempts.append(host)
    raise NetworkForbidden(f"a test tried to reach {host}; tests reach only this machine")


def _is_loopback(host: str) -> bool:
    if host in ("localhost", ""):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _needs_no_dns(host: object) -> bool:
    if not host:
        return True
    name = host.decode() if isinstance(host, bytes) else str(host)
    if name == "localhost":
        return True
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


sys.addaudithook(guard)
