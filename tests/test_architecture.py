"""The arrows of docs/design.md hold, and nothing heavy is loaded before it is needed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

DRAWING = {"accelerate", "diffusers", "numpy", "peft", "safetensors", "torch", "transformers"}
SERVING = {"aiosqlite", "fastapi", "httpx", "obstore", "PIL", "uvicorn"}


def loaded_by(code: str, folder: Path) -> set[str]:
    """Run `code` in a fresh interpreter and list the top-level modules it has loaded."""
    report = (
        "import json, sys\n"
        "try:\n"
        f"    exec({code!r})\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        "names = sorted({name.partition('.')[0] for name in sys.modules})\n"
        "print()\n"
        "print(json.dumps(names))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", report], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_import_rules_hold(root: Path) -> None:
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [program, "--no-cache", "--no-logo"], cwd=root, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "module",
    ["bot", "bot.app", "bot.cli", "bot.http", "bot.jobs.supervisor", "backends.base"],
)
def test_importing_the_bot_loads_nothing_that_draws(module: str, tmp_path: Path) -> None:
    assert not loaded_by(f"import {module}", tmp_path) & DRAWING


def test_help_loads_neither_what_draws_nor_what_serves(tmp_path: Path) -> None:
    code = "import sys; sys.argv = ['atelier', '--help']; from bot.cli import main; main()"
    assert not loaded_by(code, tmp_path) & (DRAWING | SERVING)


def test_a_bot_without_the_local_extra_can_be_imported(tmp_path: Path) -> None:
    """As in the slim image: none of the drawing packages is there to be imported."""
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({sorted(DRAWING)!r}))\n"
        "import bot.app, bot.cli\n"
    )
    loaded_by(code, tmp_path)
