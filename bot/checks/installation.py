"""The program itself: versions, settings, and whether it runs already or could listen."""

import errno
import http.client
import importlib.metadata
import json
import platform
import socket
import sqlite3
from collections.abc import Iterator
from typing import Any, Final

from bot.app import DataFolderLock
from bot.checks.finding import Finding, broken, ok, reason, warning
from bot.settings import ENV_FILE, Settings, SettingsError, load_settings, unknown_variables

_OLDEST_SQLITE: Final = (3, 37)
"""The first with STRICT tables, which the schema of `jobs.db` has."""

_HEALTH_S: Final = 2.0
_READINESS_S: Final = 6.0
"""`/readyz` gives its own checks five seconds."""

_ANSWER_BYTES: Final = 64 * 1024
_HERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def versions() -> Iterator[Finding]:
    """What runs here."""
    yield ok(
        f"Atelier {importlib.metadata.version('atelier')} on Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}, {platform.system()} {platform.machine()}."
    )
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        oldest = ".".join(map(str, _OLDEST_SQLITE))
        yield broken(
            f"SQLite {sqlite3.sqlite_version} is too old for Atelier's database.",
            f"Use a Python that comes with SQLite {oldest} or newer.",
        )


# --- Settings ---------------------------------------------------------------------------------


def read_settings() -> tuple[Settings | None, list[Finding]]:
    """The settings, where they can be used, and what there is to say about them."""
    try:
        settings = load_settings()
    except SettingsError as error:
        advice = "What depends on settings is not looked at until then."
        return None, [broken(str(error), advice), *_unknown()]
    file = ENV_FILE.absolute()
    source = f"and {file}" if file.is_file() else f"alone, as there is no {file}"
    found = ok(f"Every setting can be used; they come from the environment {source}.")
    return settings, [found, *_unknown()]


def _unknown() -> list[Finding]:
    try:
        sentences = unknown_variables()
    except (OSError, UnicodeDecodeError):  # reading the settings has said so
        return []
    return [warning(sentence, "Correct or remove it.") for sentence in sentences]


# --- Is it running? ---------------------------------------------------------------------------


def running(settings: Settings) -> Iterator[Finding]:
    """Whether an Atelier works here now, and whether one could listen."""
    held = _is_held(settings)
    yield ok(
        "An Atelier works in this data folder now; `atelier imagine` hands its jobs to it."
        if held
        else "No Atelier works in this data folder now; `atelier imagine` draws by itself."
    )
    yield from _port(settings, held=held)


def _is_held(settings: Settings) -> bool:
    # Making the file here could give it to another user than the one who runs Atelier.
    if not (settings.data_dir / "engine.lock").exists():
        return False
    lock = DataFolderLock(settings)
    free = lock.take()
    lock.release()
    return not free


def _port(settings: Settings, *, held: bool) -> Iterator[Finding]:
    host, port = settings.host, settings.port
    if port == 0:
        yield ok(f"The HTTP server takes any free port of {host}.")
        return
    try:
        _listen(host, port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            yield _no_port(host, port, error)
            return
    else:
        yield ok(f"Port {port} on {host} is free for the HTTP server.")
        return
    if _ask(host, port, "/healthz", _HEALTH_S) != {"status": "ok"}:
        yield broken(
            f"Port {port} on {host} is taken by a program that does not answer like Atelier.",
            "Stop that program, or set ATELIER_PORT to another number.",
        )
    elif not held:
        yield broken(
            f"Port {port} on {host} is taken by an Atelier that works in another data folder.",
            "Stop that one, or set ATELIER_PORT to another number for this one.",
        )
    else:
        yield from _readiness(host, port)


def _readiness(host: str, port: int) -> Iterator[Finding]:
    answer = _ask(host, port, "/readyz", _READINESS_S)
    if answer is None:
        yield broken(
            f"The Atelier that runs on port {port} does not say whether it is ready.",
            "Look into its log; restarting it loses no job.",
        )
    elif failing := answer.get("failing"):
        sentences = " ".join(map(str, failing))
        yield broken(f"The Atelier that runs on port {port} cannot do its work: {sentences}")
    else:
        yield ok(f"The Atelier that runs on port {port} of {host} is ready.")


def _listen(host: str, port: int) -> None:
    """Take the port the way the server does, and let it go again."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    with socket.socket(family, kind, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1)


def _no_port(host: str, port: int, error: OSError) -> Finding:
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return broken(
            f"{host} is no address of this machine, so the HTTP server cannot listen.",
            "Set ATELIER_HOST to one that is, such as 127.0.0.1, or 0.0.0.0 for all of them.",
        )
    return broken(
        f"The HTTP server cannot listen on port {port} of {host} ({reason(error)}).",
        "Set ATELIER_PORT to a free number from 1024 on.",
    )


def _ask(host: str, port: int, path: str, timeout: float) -> dict[str, Any] | None:
    """Get a JSON object from a server of this machine; None when there comes no such thing."""
    # Not urllib, which would ask a proxy for 127.0.0.1 where the environment names one.
    connection = http.client.HTTPConnection(_HERE.get(host, host), port, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = json.loads(connection.getresponse().read(_ANSWER_BYTES))
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return answer if isinstance(answer, dict) else None
