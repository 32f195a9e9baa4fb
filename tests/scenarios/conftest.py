"""Folders for the scenarios of the command line."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.command_line import CommandLine, Service


@pytest.fixture
def atelier(tmp_path: Path) -> Iterator[CommandLine]:
    """A fresh installation; nothing of it runs afterwards."""
    command = CommandLine(tmp_path)
    yield command
    command.clean_up()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CommandLine, Service]]:
    """An installation whose service runs, for everything that does not mind others' jobs."""
    command = CommandLine(tmp_path_factory.mktemp("served"))
    with command.running() as service:
        yield command, service
        assert service.process.poll() is None, f"{service.process.returncode}: {service.log}"
    command.clean_up()


@pytest.fixture
def name() -> str:
    """A file name that no other test uses."""
    return uuid.uuid4().hex[:8]
