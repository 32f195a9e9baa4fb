"""Versions, settings, and whether an Atelier runs here or could."""

import asyncio
import socket
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from bot.app import DataFolderLock
from bot.checks.finding import Finding, Status
from bot.checks.installation import read_settings, running, versions
from bot.http import HttpServer, create_app
from bot.settings import Settings
from tests.bot.checks.conftest import Configure


def test_the_versions_come_first() -> None:
    (found,) = versions()
    assert found.status is Status.OK
    assert found.what.startswith("Atelier 0.")
    assert f"SQLite {sqlite3.sqlite_version}" in found.what


def test_an_sqlite_without_strict_tables_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 31, 1))
    _, found = versions()
    assert found.status is Status.BROKEN
    assert "SQLite 3.37 or newer" in found.advice


# --- Settings ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("configure")
def test_without_any_setting_it_is_said_where_they_would_come_from(tmp_path: Path) -> None:
    settings, (found,) = read_settings()
    assert settings is not None
    assert found.status is Status.OK
    assert f"there is no {tmp_path / '.env'}" in found.what
    (tmp_path / ".env").write_text("ATELIER_PORT=9000\n")
    _, (found,) = read_settings()
    assert f"and {tmp_path / '.env'}" in found.what


def test_every_wrong_variable_is_named_and_no_secret_is_shown(
    monkeypatch: pytest.MonkeyPatch, configure: Configure
) -> None:
    configure()
    monkeypatch.setenv("ATELIER_PORT", "http")
    monkeypatch.setenv("ATELIER_BACKEND", "gpu")
    monkeypatch.setenv("HF_TOKEN", "hf_very secret")
    settings, (found,) = read_settings()
    assert settings is None
    assert found.status is Status.BROKEN
    for name in ("ATELIER_PORT is “http”", "ATELIER_BACKEND is “gpu”", "HF_TOKEN is not usable"):
        assert name in found.what
    assert "secret" not in found.what + found.advice


@pytest.mark.parametrize("port", ["8470", "wrong"])
def test_an_unknown_variable_is_a_warning_whether_or_not_the_others_are_right(
    monkeypatch: pytest.MonkeyPatch, configure: Configure, port: str
) -> None:
    configure()
    monkeypatch.setenv("ATELIER_PORT", port)
    monkeypatch.setenv("ATELIER_LORADIR", "/loras")
    _, found = read_settings()
    assert found[-1].status is Status.WARNING
    assert "did you mean ATELIER_LORA_DIR?" in found[-1].what


@pytest.mark.usefixtures("configure")
def test_an_unreadable_env_file_is_one_finding(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"ATELIER_PORT=\xff\xfe")
    settings, (found,) = read_settings()
    assert settings is None
    assert ".env cannot be read" in found.what


# --- Is it running? ---------------------------------------------------------------------------


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    """A listening port."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        yield listener


@pytest.fixture
def settings(configure: Configure, taken: socket.socket) -> Settings:
    """Those of an installation whose port is taken."""
    return configure(port=taken.getsockname()[1])


@pytest.fixture
def held(settings: Settings) -> Iterator[None]:
    """An Atelier works in the data folder."""
    lock = DataFolderLock(settings)
    assert lock.take()
    yield
    lock.release()


@pytest.fixture
async def failing(settings: Settings, taken: socket.socket) -> AsyncIterator[list[str]]:
    """An Atelier answers on the taken port; it fails what stands in the list."""
    taken.close()
    sentences: list[str] = []

    async def readiness() -> list[str]:
        return sentences

    server = HttpServer(
        create_app(readiness, CollectorRegistry()), host="127.0.0.1", port=settings.port
    )
    await server.start()
    yield sentences
    await server.stop()


async def look(settings: Settings) -> tuple[Finding, Finding]:
    """The finding about the folder and the one about the port."""
    folder, port = await asyncio.to_thread(lambda: list(running(settings)))
    return folder, port


async def test_a_fresh_installation_does_not_run_and_its_port_is_free(
    settings: Settings, taken: socket.socket
) -> None:
    taken.close()
    folder, port = await look(settings)
    assert "No Atelier works in this data folder" in folder.what
    assert (port.status, "is free" in port.what) == (Status.OK, True)
    assert not settings.data_dir.exists()


async def test_any_free_port_needs_no_look(configure: Configure) -> None:
    _, port = await look(configure(port=0))
    assert port.status is Status.OK
    assert "any free port" in port.what


@pytest.mark.usefixtures("held")
async def test_a_running_atelier_is_found_and_asked_whether_it_is_ready(
    settings: Settings, failing: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # not for this machine's own address
    folder, port = await look(settings)
    assert "An Atelier works in this data folder now" in folder.what
    assert (port.status, "is ready" in port.what) == (Status.OK, True)
    failing.append("The disk is full; free some space.")
    _, port = await look(settings)
    assert port.status is Status.BROKEN
    assert "The disk is full; free some space." in port.what


@pytest.mark.usefixtures("failing")
async def test_an_atelier_of_another_data_folder_holds_the_port(settings: Settings) -> None:
    folder, port = await look(settings)
    assert "No Atelier works in this data folder" in folder.what
    assert port.status is Status.BROKEN
    assert "another data folder" in port.what
    assert "ATELIER_PORT" in port.advice


async def test_a_silent_program_on_the_port_is_not_waited_for(settings: Settings) -> None:
    async with asyncio.timeout(10):
        _, port = await look(settings)
    assert port.status is Status.BROKEN
    assert "does not answer like Atelier" in port.what


async def test_an_address_of_another_machine_cannot_be_listened_on(configure: Configure) -> None:
    _, port = await look(configure(host="192.0.2.1", port=8470))  # RFC 5737
    assert port.status is Status.BROKEN
    assert "192.0.2.1 is no address of this machine" in port.what
    assert "ATELIER_HOST" in port.advice


async def test_looking_lets_go_of_the_folder_and_of_the_port(
    settings: Settings, taken: socket.socket
) -> None:
    taken.close()
    lock = DataFolderLock(settings)
    assert lock.take()
    lock.release()
    await look(settings)
    assert lock.take()
    lock.release()
    _, port = await look(settings)
    assert port.status is Status.OK
