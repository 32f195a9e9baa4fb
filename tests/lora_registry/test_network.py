"""Which hosts and addresses are refused, written down one by one."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_registry._network import address_refusal, host_refusal

REFUSED = {
    "127.0.0.1": "this machine",
    "127.255.255.254": "this machine",
    "::1": "this machine",
    "0.0.0.0": "no address",
    "0.1.2.3": "no address",
    "::": "no address",
    "10.0.0.1": "private",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.168.1.1": "private",
    "fc00::1": "private",
    "fd00:ec2::254": "private",
    "100.64.0.1": "carrier",
    "100.100.100.200": "carrier",
    "169.254.169.254": "link-local",
    "169.254.170.2": "link-local",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "fec0::1": "site-local",
    "168.63.129.16": "metadata",
    "224.0.0.1": "multicast",
    "239.255.255.250": "multicast",
    "ff02::1": "multicast",
    "::ffff:127.0.0.1": "disguise",
    "::ffff:93.184.216.34": "disguise",
    "::127.0.0.1": "disguise",
    "64:ff9b::7f00:1": "disguise",
    "64:ff9b:1::a00:1": "disguise",
    "2001:0:53aa:64c:0:0:80ff:fffe": "disguise",
    "2002:7f00:1::1": "disguise",
    "192.88.99.1": "disguise",
    "192.0.2.1": "documentation",
    "198.51.100.1": "documentation",
    "203.0.113.1": "documentation",
    "2001:db8::1": "documentation",
    "3fff::1": "documentation",
    "192.0.0.192": "reserved",
    "198.18.0.1": "reserved",
    "240.0.0.1": "reserved",
    "255.255.255.255": "reserved",
    "100::1": "reserved",
    "2001:2::1": "reserved",
    "5f00::1": "reserved",
    "::ffff:0:7f00:1": "reserved",
    "4000::1": "reserved",
    "not an address": "no address",
    "2130706433": "no address",
}


@pytest.mark.parametrize(("address", "why"), REFUSED.items())
def test_an_address_that_is_not_public_is_refused_by_its_kind(address: str, why: str) -> None:
    assert why in (address_refusal(address) or "")


@pytest.mark.parametrize(
    "address",
    ["93.184.216.34", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"],
)
def test_a_public_address_is_not_refused(address: str) -> None:
    assert address_refusal(address) is None


@given(st.integers(0, 2**32 - 1))
def test_no_ipv4_address_gets_through_in_an_ipv6_disguise(number: int) -> None:
    ip = ipaddress.IPv4Address(number)
    high, low = number >> 16, number & 0xFFFF
    for disguise in (
        f"::ffff:{ip}",
        f"::{ip}",
        f"64:ff9b::{ip}",
        f"64:ff9b:1::{ip}",
        f"2002:{high:x}:{low:x}::1",
    ):
        assert address_refusal(disguise)


@given(st.ip_addresses())
def test_nothing_that_python_calls_special_is_let_through(
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    special = ip.is_private or ip.is_multicast or ip.is_reserved or ip.is_unspecified
    if special or ip.is_loopback or ip.is_link_local or not ip.is_global:
        assert address_refusal(str(ip))


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("2130706433", "number in place"),
        ("0x7f000001", "number in place"),
        ("0x7f.1", "number in place"),
        ("127.1", "number in place"),
        ("0177.0.0.1", "number in place"),
        ("017700000001", "number in place"),
        ("1.2.3.0x4", "number in place"),
        ("93.184.216.34.5", "number in place"),
        ("0", "number in place"),
        ("127.0.0.1", "this machine"),
        ("::1", "this machine"),
        ("fe80::1%25eth0", "no address"),
        ("2606:4700::1111%25eth0", "no address"),
        ("localhost", "private network"),
        ("app.localhost", "private network"),
        ("ip6-localhost", "private network"),
        ("redis", "private network"),
        ("printer.local", "private network"),
        ("metadata.google.internal", "private network"),
        ("router.home.arpa", "private network"),
        ("nas.lan", "private network"),
        ("a..b", "no name"),
        ("a%20b.com", "no name"),
        ("%31%32%37.com", "no name"),
        (f"{'a' * 64}.com", "no name"),
        (f"{'a.' * 130}com", "no name"),
    ],
)
def test_a_host_that_is_no_public_name_is_refused_before_any_lookup(host: str, why: str) -> None:
    assert why in (host_refusal(host) or "")


@pytest.mark.parametrize(
    "host",
    ["huggingface.co", "xn--bcher-kva.de", "a_b.example.com", "93.184.216.34", "2606:4700::1111",
     "internal.example.com", "1password.com", "cdn-lfs-us-1.hf.co"],
)  # fmt: skip
def test_a_public_name_or_address_may_be_looked_up(host: str) -> None:
    assert host_refusal(host) is None
