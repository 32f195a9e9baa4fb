"""`atelier preset publish … rules`: the owner's part of curating, called in this process."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner, Result

from bot.cli import cli
from bot.log import OWN_PACKAGES

Command = Callable[..., Result]


@pytest.fixture(autouse=True)
def _put_logging_back() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in OWN_PACKAGES:
        logging.getLogger(name).setLevel(logging.NOTSET)
    structlog.reset_defaults()


@pytest.fixture
def atelier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ATELIER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("ATELIER_BACKEND", "demo")
    monkeypatch.setenv("COLUMNS", "200")
    runner = CliRunner()
    return lambda *args: runner.invoke(cli, list(args))


def said(atelier: Command, *args: str) -> str:
    done = atelier(*args)
    assert done.exit_code == 0, done.output
    return done.stdout


def told(atelier: Command, *args: str) -> Any:
    return json.loads(said(atelier, *args, "--json"))


def refused(atelier: Command, *args: str) -> str:
    done = atelier(*args, "--json")
    assert (done.exit_code, done.stdout) == (2, ""), done.output
    return done.stderr


def test_the_owner_shares_curates_and_makes_rules(atelier: Command) -> None:
    said(atelier, "preset", "create", "dreamy", "--lora", "glow:0.5")
    assert "is now open to everybody on this Atelier" in said(
        atelier, "preset", "publish", "dreamy"
    )
    assert "is now @local/misty" in said(atelier, "preset", "rename", "dreamy", "misty")
    assert told(atelier, "preset", "show", "dreamy")["audience"] == "public"

    assert told(atelier, "preset", "waiting") == {"waiting": [], "reports": []}
    said(atelier, "preset", "hide", "comic", "--reason", "too loud")
    assert "There is no preset comic here." in refused(atelier, "preset", "show", "comic")
    assert told(atelier, "preset", "show", "comic", "--in", "public")["audience"] == "person"
    said(atelier, "preset", "show-again", "comic")
    log = said(atelier, "preset", "log")
    assert "too loud" in log
    assert "@atelier/comic" in log

    rules = "preset", "rules"
    denied = told(atelier, *rules, "add", "deny", "lora", "glow", "--reason", "stolen")
    assert denied == {"said": "Denied now: the LoRA glow."}
    assert "is denied on this Atelier: stolen" in refused(atelier, "preset", "show", "misty")
    said(atelier, *rules, "set", "--in", "12345", "--publishing", "open", "--nsfw", "1")
    there = told(atelier, *rules, "show", "--in", "12345")
    assert (there["publishing"], there["nsfw"]) == ("open", 1)
    assert [(one["name"], one["place"]) for one in there["rules"]] == [("the LoRA glow", "public")]
    said(atelier, *rules, "drop", "deny", "lora", "glow")
    assert "no such rule" in refused(atelier, *rules, "drop", "deny", "lora", "glow")
    assert told(atelier, "preset", "show", "misty")["audience"] == "public"
