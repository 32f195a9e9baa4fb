"""Settings of an installation in a folder of its own."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bot.settings import Settings, load_settings, variable

Configure = Callable[..., Settings]
"""Sets variables by the names of their fields and reads the settings again."""


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configure:
    monkeypatch.chdir(tmp_path)

    def read(**values: object) -> Settings:
        for name, value in values.items():
            monkeypatch.setenv(variable(name), str(value))
        return load_settings()

    return read
