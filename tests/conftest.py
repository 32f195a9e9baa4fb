"""What holds for every test: nobody's settings, no network, and no skip that CI would hide."""

import importlib
import os
import shutil
import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final

import hypothesis
import pytest

ROOT: Final = Path(__file__).parent.parent
GUARD: Final = Path(__file__).parent / "network_guard"
IN_CI: Final = os.environ.get("ATELIER_CI") == "1"
NEEDS: Final = {
    "browser": ("chromium", "Chromium is not installed (Debian: apt-get install chromium)"),
    "node": ("node", "Node.js is not installed (Debian: apt-get install nodejs)"),
}

_SETTINGS: Final = ("ATELIER_", "DISCORD_", "SLACK_", "FAL_", "HF_", "CIVITAI_")

# The owner's own settings and keys are neither used nor seen by a test or by what it starts.
for _name in list(os.environ):
    if _name.startswith(_SETTINGS) and _name != "ATELIER_CI":
        del os.environ[_name]

# No test leaves this machine: see network_guard. Rust and C clients are told so in their own way.
sys.path.insert(0, str(GUARD))
os.environ["PYTHONPATH"] = os.pathsep.join(
    p for p in (str(GUARD), os.environ.get("PYTHONPATH", "")) if p
)
os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
_attempts: list[str] = importlib.import_module("loopback_only").attempts

# Two workers share two cores: a thread pool in each would only get in the other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell that starts the tests in the background has SIGINT ignored, and children inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is slow, not wrong.
hypothesis.settings.register_profile("atelier", deadline=None)
hypothesis.settings.load_profile("atelier")


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root folder."""
    return ROOT


@pytest.fixture(autouse=True)
def _stay_on_this_machine() -> Iterator[None]:
    """Fail a test that tried to leave, even where its code swallowed the error."""
    before = len(_attempts)
    yield
    tried = _attempts[before:]
    assert not tried, f"tried to reach {', '.join(sorted(set(tried)))}"


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, (program, reason) in NEEDS.items():
        if item.get_closest_marker(marker) and shutil.which(program) is None:
            pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a browser or Node test that skips has failed: there, what it needs is installed."""
    report = yield
    if IN_CI and report.skipped and any(map(item.get_closest_marker, NEEDS)):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report
