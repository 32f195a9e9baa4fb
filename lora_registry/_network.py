"""A network that reaches only public addresses, and hosts that are trusted by name.

The table follows the IANA special-purpose registries (RFC 6890) and does not lean on
`ipaddress.is_global` alone, which answers differently from one Python release to the next and
calls NAT64, 6to4 and site-local addresses global.
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

import httpcore

from lora_registry._fetch_errors import AddressRefused, Unreachable

_REFUSED: Final = tuple(
    (ipaddress.ip_network(network), what)
    for what, networks in {
        "this machine itself": ["127.0.0.0/8", "::1/128"],
        "no address at all": ["0.0.0.0/8", "::/128"],
        "a private network": ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"],
        "a carrier's own network": ["100.64.0.0/10"],
        "a link-local address": ["169.254.0.0/16", "fe80::/10"],
        "a site-local address": ["fec0::/10"],
        "a cloud's metadata service": ["168.63.129.16/32"],
        "a multicast address": ["224.0.0.0/4", "ff00::/8"],
        "an IPv4 address in disguise": [
            "::/96",
            "::ffff:0:0/96",
            "64:ff9b::/96",
            "64:ff9b:1::/48",
            "2001::/32",
            "2002::/16",
            "192.88.99.0/24",
        ],
        "an address for documentation": [
            "192.0.2.0/24",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "2001:db8::/32",
            "3fff::/20",
        ],
        "a reserved address": [
            "192.0.0.0/24",
            "198.18.0.0/15",
            "240.0.0.0/4",
            "100::/64",
            "2001::/23",
        ],
    }.items()
    for network in networks
)
_GLOBAL_UNICAST_6: Final = ipaddress.ip_network("2000::/3")

_ADDRESSES_TRIED: Final = 4

_NUMERIC: Final = re.compile(r"(?:.*\.)?(?:\d+|0x[0-9a-f]*)", re.IGNORECASE)
"""What resolvers read as an IPv4 address: the last label is a number (WHATWG URL, 3.5)."""

_NAME: Final = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})+")
_LOCAL_NAME: Final = re.compile(
    r"(?:.*\.)?(?:localhost|localdomain|local|internal|intranet|lan|home|corp|home\.arpa)"
)


def address_refusal(address: str) -> str | None:
    """Say why `address` must not be dialled; None for a public unicast address."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return "it is no address"
    for network, what in _REFUSED:
        if ip in network:
            return f"it leads to {what}"
    if not ip.is_global or (ip.version == 6 and ip not in _GLOBAL_UNICAST_6):
        return "it leads to a reserved address"
    return None


def host_refusal(host: str) -> str | None:
    """Say why the host of a URL must not even be looked up.

    `host` is lower case, in ASCII, an IPv6 address without its brackets. A name that passes may
    still resolve to an address that does not.
    """
    if ":" in host:
        return "it is no address" if "%" in host else address_refusal(host)
    if _NUMERIC.fullmatch(host):
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            return "it is a number in place of a name"
        return address_refusal(host)
    if "." not in host or _LOCAL_NAME.fullmatch(host):
        return "it is a name of a private network"
    return None if _NAME.fullmatch(host) else "it is no name of a site"


Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Looks up every address of a host name; raises OSError when there is none."""


async def system_resolve(host: str, port: int) -> Sequence[str]:
    """Ask the system's resolver for every address of `host`."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


class GuardedNetwork(httpcore.AsyncNetworkBackend):
    """Resolves once, checks every address, and dials exactly what was checked.

    Hosts that `trusts` says yes to are dialled unchecked.
    """

    def __init__(
        self,
        trusts: Callable[[str], bool],
        resolve: Resolve,
        network: httpcore.AsyncNetworkBackend,
    ) -> None:
        self._trusts = trusts
        self._resolve = resolve
        self._network = network

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 -- httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise Unreachable(f"{host} cannot be found. Check the address for typos.") from error
        if not self._trusts(host):
            for address in addresses:
                if why := address_refusal(address):
                    raise refused(host, why)
        tried = addresses[:_ADDRESSES_TRIED]
        failure: Exception = httpcore.ConnectError("the name has no address")
        for address in tried:
            try:
                return await self._network.connect_tcp(
                    address, port, timeout and timeout / len(tried), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


def refused(host: str, why: str) -> AddressRefused:
    """Word a refusal. The address itself stays unsaid: it would map the private network."""
    return AddressRefused(f"{host[:80]} was refused: {why}. Use the address of a public site.")
