"""Structured logs on standard error: JSON for machines, coloured lines for a terminal.

Every record, ours or a library's, passes `withhold`, so neither a secret nor a prompt reaches the
log: values under telling keys are dropped, known secrets and token-shaped text are masked, and an
object is named by its class, never printed.
"""

import datetime as dt
import enum
import logging
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath
from typing import Any, Final, TextIO
from uuid import UUID

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

OWN_PACKAGES: Final = ("bot", "backends", "lora_registry")
MASK: Final = "[withheld]"

_SECRET_KEY: Final = re.compile(
    r"token|secret|passw|authorization|cookie|credential|api_?key|fal_?key|private_?key",
    re.IGNORECASE,
)
_TEXT_KEY: Final = re.compile(r"prompt|caption|^text$|^content$", re.IGNORECASE)
_SECRET_TEXT: Final = (
    # "Authorization: Key id:secret" and the like, also without the header's name
    re.compile(r"\b((?:proxy-)?authorization['\"]?\s*[:=]\s*)[^\r\n,}]+", re.IGNORECASE),
    re.compile(r"\b((?:bearer|key|basic)\s+)(?=\S*[\d:=])[\w.~+/=:-]{8,}", re.IGNORECASE),
    # https://user:password@host and ?token=…
    re.compile(r"(://)[^/\s@]+(?=@)"),
    re.compile(
        r"([?&][\w.-]*(?:token|key|secret|signature|sig|password|credential)=)[^&\s'\"]+",
        re.IGNORECASE,
    ),
    # tokens of Hugging Face, Slack, Discord and common APIs, by their shape
    re.compile(r"()\bhf_\w{16,}"),
    re.compile(r"()\bx(?:ox[a-z]|app)-[\w-]{10,}"),
    re.compile(r"()\b[\w-]{23,28}\.[\w-]{6,7}\.[\w-]{27,}"),
    re.compile(r"()\bsk-[\w-]{16,}"),
    # the paths in which Discord puts the token of an interaction
    re.compile(r"(/(?:webhooks|interactions)/\d+/)[\w.-]{20,}"),
    # pydantic's errors quote what they were given, and that may be a prompt
    re.compile(r"(\binput_value=).*"),
)
_CONTROLS: Final = {
    c: f"\\x{c:02x}" for c in (*range(32), *range(127, 160)) if chr(c) not in "\n\t"
}


def configure(
    level: str = "info", *, secrets: Iterable[str] = (), stream: TextIO | None = None
) -> None:
    """Send structlog's and the standard library's records to `stream` (standard error).

    `level` holds for Atelier's own packages; libraries are heard from warnings on, because their
    chatter carries URLs. `secrets` are masked wherever they appear. May be called again.
    """
    target = sys.stderr if stream is None else stream
    hide = withhold(secrets)
    arrive: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *arrive,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = _Handler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=arrive,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _write_exception,
                _order,
                hide,
                _renderer(target),
            ],
        )
    )
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    own = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(max(own, logging.WARNING))
    for package in OWN_PACKAGES:
        logging.getLogger(package).setLevel(own)
    logging.captureWarnings(capture=True)


def withhold(secrets: Iterable[str] = ()) -> Processor:
    """Build the processor that takes secrets and prompt text out of a record."""
    known = sorted({s for s in secrets if s}, key=len, reverse=True)

    def clean(text: str) -> str:
        for secret in known:
            text = text.replace(secret, MASK)
        for pattern in _SECRET_TEXT:
            text = pattern.sub(rf"\g<1>{MASK}", text)
        return text.translate(_CONTROLS)

    def process(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {key: _safe(key, value, clean) for key, value in event.items()}

    return process


def _safe(key: str, value: object, clean: Callable[[str], str]) -> Any:
    """Turn a value into what may be printed: plain data, cleaned."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if _SECRET_KEY.search(key):
        return MASK
    if _TEXT_KEY.search(key):
        return f"[{len(value)} characters]" if isinstance(value, str) else MASK
    match value:
        case enum.Enum():
            return clean(str(value.value))
        case str():
            return clean(value)
        case PurePath() | UUID() | dt.datetime() | dt.timedelta():
            return clean(str(value))
        case BaseException():
            return clean(f"{type(value).__name__}: {value}")
        case Mapping():
            return {clean(str(k)): _safe(str(k), v, clean) for k, v in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_safe("", item, clean) for item in value]
        case _:
            return f"<{type(value).__name__}>"


def _write_exception(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace `exc_info` by the traceback's text: frames and messages, no local variables."""
    given = event.pop("exc_info", None)
    error = given[1] if isinstance(given, tuple) else given
    if error is True:
        error = sys.exception()
    if isinstance(error, BaseException):
        event["exception"] = "".join(traceback.format_exception(error)).rstrip()
    return event


def _order(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    first = {key: event[key] for key in ("time", "level", "logger", "event") if key in event}
    return first | dict(event)


def _renderer(stream: TextIO) -> Processor:
    if stream.isatty():
        return structlog.dev.ConsoleRenderer(
            timestamp_key="time", exception_formatter=structlog.dev.plain_traceback
        )
    return structlog.processors.JSONRenderer(ensure_ascii=False)


class _Handler(logging.StreamHandler[TextIO]):
    """Marks the one handler that `configure` replaces."""
