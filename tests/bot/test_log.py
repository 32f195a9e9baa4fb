"""Logs: structured, and free of secrets and prompts whatever is thrown at them."""

import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydantic import BaseModel, SecretStr, ValidationError

from backends.base import parse_request
from bot import log

PROMPT = "a very private cat] , input_type=on the moon"
SECRET = "correct-horse-battery"


class Lines(io.StringIO):
    """A stream in memory that may claim to be a terminal."""

    def __init__(self, terminal: bool = False) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.fixture(autouse=True)
def _put_logging_back() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in log.OWN_PACKAGES:
        logging.getLogger(name).setLevel(logging.NOTSET)
    structlog.reset_defaults()


@pytest.fixture
def written() -> Callable[[], list[dict[str, Any]]]:
    """Configure JSON logs at debug, and give what has been written since."""
    stream = Lines()
    log.configure("debug", secrets=[SECRET], stream=stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_is_one_line_of_json_with_its_time_level_and_logger(
    written: Callable[[], list[dict[str, Any]]],
) -> None:
    structlog.get_logger("bot.jobs").info("job started", job="7c1", attempt=2, path=Path("/srv"))
    (record,) = written()
    assert list(record)[:4] == ["time", "level", "logger", "event"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", record.pop("time"))
    assert record == {
        "event": "job started",
        "level": "info",
        "logger": "bot.jobs",
        "job": "7c1",
        "attempt": 2,
        "path": "/srv",
    }


def test_what_is_bound_to_a_task_is_in_its_records(
    written: Callable[[], list[dict[str, Any]]],
) -> None:
    with structlog.contextvars.bound_contextvars(job="7c1"):
        structlog.get_logger("bot").info("ours")
        logging.getLogger("backends.local").warning("the standard library's")
    assert [record["job"] for record in written()] == ["7c1", "7c1"]


class Thing(BaseModel):
    """Something that knows a secret and a prompt."""

    prompt: str = PROMPT
    secret: str = SECRET


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": PROMPT},
        {"negative_prompt": PROMPT},
        {"request": parse_request({"prompt": PROMPT})},
        {"request": {"loras": [], "prompt": PROMPT}},
        {"things": [Thing(), {"text": PROMPT}]},
        {"hf_token": "whatever it is"},
        {"headers": {"Authorization": "whatever it is"}},
        {"api_key": SecretStr("whatever it is")},
        {"url": f"https://me:{SECRET}@host/x"},
        {"detail": ("deep", {"inside": [SECRET]})},
    ],
    ids=str,
)
def test_fields_give_away_neither_secret_nor_prompt(
    fields: dict[str, Any], written: Callable[[], list[dict[str, Any]]]
) -> None:
    structlog.get_logger("bot").info("something happened", **fields)
    (record,) = written()
    text = json.dumps(record)
    for hidden in ("private cat", SECRET, "whatever it is"):
        assert hidden not in text


def test_the_length_of_a_prompt_may_be_known(
    written: Callable[[], list[dict[str, Any]]],
) -> None:
    structlog.get_logger("bot").info("parsed", prompt="a cat", prompt_tokens=4)
    assert (written()[0]["prompt"], written()[0]["prompt_tokens"]) == ("[5 characters]", 4)


@pytest.mark.parametrize(
    "message",
    [
        "Authorization: Key 0a1b2c3d:4e5f6a7b8c9d",
        "{'authorization': 'Bearer 4e5f6a7b8c9d'}",
        "sent Bearer 4e5f6a7b8c9d along",
        "GET https://host.example/v1?format=a&token=4e5f6a7b8c9d failed",
        "GET https://host.example/v1?X-Amz-Signature=4e5f6a7b8c9d",
        "https://user:4e5f6a7b8c9d@host.example/",
        "using hf_AbCdEfGhIj4e5f6a7b8c9dKlMnOp",
        "using xoxb-12345678-4e5f6a7b8c9d",
        "rate limited on /webhooks/42/aW50ZXJhY3Rpb246NzQ4e5f6a7b8c9d/messages/@original",
        "using MTIzNDU2Nzg5MDEyMzQ1Njc4OTA.GaBcDe.4e5f6a7b8c9d_4e5f6a7b8c9d_4e5f6a",
    ],
)
def test_what_looks_like_a_token_is_masked_in_any_text(
    message: str, written: Callable[[], list[dict[str, Any]]]
) -> None:
    logging.getLogger("some.library").warning(message)
    (record,) = written()
    assert "4e5f6a7b8c9d" not in record["event"]
    assert log.MASK in record["event"]


def test_ordinary_sentences_stay_as_they_are(
    written: Callable[[], list[dict[str, Any]]],
) -> None:
    sentence = "the key generation took 3 s; basic checks passed; see https://host.example/a?b=c"
    structlog.get_logger("bot").info(sentence)
    assert written()[0]["event"] == sentence


def test_an_exception_is_written_with_its_frames_and_without_what_it_was_given(
    written: Callable[[], list[dict[str, Any]]],
) -> None:
    class Strict(BaseModel):
        steps: int

    def fail() -> None:
        Strict.model_validate({"steps": PROMPT})

    try:
        fail()
    except ValidationError:
        structlog.get_logger("bot").exception("job failed")
        logging.getLogger("bot").exception("job failed")
    for record in written():
        assert "in fail" in record["exception"]
        assert "valid integer" in record["exception"]
        assert "private cat" not in record["exception"]
        assert "on the moon" not in record["exception"]


def test_an_error_as_a_field_is_its_type_and_its_sentence(
    written: Callable[[], list[dict[str, Any]]],
) -> None:
    structlog.get_logger("bot").info("retrying", error=OSError(f"refused by {SECRET}"))
    assert written()[0]["error"] == f"OSError: refused by {log.MASK}"


def test_control_characters_cannot_forge_a_line_on_a_terminal() -> None:
    stream = Lines(terminal=True)
    log.configure("info", stream=stream)
    structlog.get_logger("bot").info("preset loaded", name="nice\x1b[2K\rerror all is lost")
    assert "\x1b[2K" not in stream.getvalue()
    assert "\r" not in stream.getvalue()
    assert "preset loaded" in stream.getvalue()


def test_a_terminal_shows_an_exception_without_the_values_of_variables() -> None:
    stream = Lines(terminal=True)
    log.configure("info", stream=stream)

    def draw(prompt: str) -> None:
        raise RuntimeError(f"no memory left for {len(prompt)} characters")

    try:
        draw(PROMPT)
    except RuntimeError:
        structlog.get_logger("bot").exception("job failed")
    assert "no memory left" in stream.getvalue()
    assert "private cat" not in stream.getvalue()


def test_the_level_holds_for_our_packages_and_libraries_speak_from_warnings_on() -> None:
    stream = Lines()
    log.configure("info", stream=stream)
    structlog.get_logger("bot.jobs").debug("too much")
    structlog.get_logger("bot.jobs").info("ours")
    logging.getLogger("httpx").info("GET https://host.example/?token=1")
    logging.getLogger("httpx").warning("theirs")
    events = [json.loads(line)["event"] for line in stream.getvalue().splitlines()]
    assert events == ["ours", "theirs"]


def test_configuring_again_replaces_the_stream() -> None:
    first, second = Lines(), Lines()
    log.configure("info", stream=first)
    log.configure("info", stream=second)
    structlog.get_logger("bot").info("once")
    assert first.getvalue() == ""
    assert len(second.getvalue().splitlines()) == 1
