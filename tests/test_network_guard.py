"""No test reaches anything but this machine, nor does a program that a test starts."""

import asyncio
import importlib
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

guard = importlib.import_module("loopback_only")


@pytest.fixture(autouse=True)
def _forget_the_attempts_made_here() -> Iterator[None]:
    before = len(guard.attempts)
    yield
    del guard.attempts[before:]


@pytest.mark.parametrize("address", [("93.184.215.14", 443), ("10.0.0.1", 80), ("0.0.0.0", 80)])
def test_no_connection_leaves_this_machine(address: tuple[str, int]) -> None:
    with pytest.raises(guard.NetworkForbidden):
        socket.create_connection(address, timeout=1)


def test_no_datagram_leaves_this_machine() -> None:
    with (
        socket.socket(type=socket.SOCK_DGRAM) as line,
        pytest.raises(guard.NetworkForbidden),
    ):
        line.sendto(b"", ("192.0.2.1", 53))


async def test_no_name_is_looked_up_not_even_by_asyncio() -> None:
    with pytest.raises(guard.NetworkForbidden, match=r"queue\.fal\.run"):
        await asyncio.open_connection("queue.fal.run", 443)


async def test_this_machine_can_be_reached_by_name_and_by_number() -> None:
    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        for host in ("127.0.0.1", "localhost"):
            reader, writer = await asyncio.open_connection(host, port)
            assert await reader.read() == b"hello"
            writer.close()


def test_a_program_that_a_test_starts_is_guarded_too() -> None:
    code = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.returncode != 0
    assert "NetworkForbidden" in done.stderr
