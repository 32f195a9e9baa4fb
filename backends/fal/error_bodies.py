"""Reads fal's error bodies, all three forms of them, into the tree of `errors.py`.

    {"detail": [{"loc", "msg", "type", "ctx"?, "input"?}]}    the model; `type` may be pydantic's
    {"detail": "text", "error_type": "…"}                     the queue and its machines
    {"detail": "text"}                                        key and account

What a service writes is quoted only where we have nothing better, shortened, and never where it
holds the prompt, the key or an address.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from backends.errors import shown
from backends.fal.error_types import STATUSES, Meaning, meaning
from backends.fal.errors import (
    AccessRefused,
    BalanceExhausted,
    FalError,
    FileRefused,
    InputRefused,
    LoraNotFetched,
    ServiceTimeout,
    ServiceTrouble,
)

_LONGEST_QUOTE: Final = 160
_MOST_DETAILS: Final = 3
_TYPE: Final = re.compile(r"[\w.-]{1,80}", re.ASCII)
_MONEY: Final = re.compile(r"balance|locked|top.?up|billing|credit|payment", re.IGNORECASE)
_YES: Final = frozenset({"1", "true", "yes"})
_NO: Final = frozenset({"0", "false", "no"})
_LIMITS: Final = (
    "gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "expected",
)  # fmt: skip
_PRIVATE: Final = frozenset({"prompt", "negative_prompt"})


@dataclass(frozen=True, slots=True)
class Sent:
    """What an error may be about, but must not repeat: prompt, LoRAs as (name, address), key."""

    prompt: str = field(default="", repr=False)
    loras: Sequence[tuple[str, str]] = ()
    key: str | None = field(default=None, repr=False)

    def appears_in(self, text: str) -> bool:
        """Whether the text repeats anything of it, or any part of the key."""
        secrets = [self.prompt, *(url for _, url in self.loras), *(self.key or "").split(":")]
        return any(secret and secret in text for secret in secrets)


@dataclass(frozen=True, slots=True)
class _Detail:
    """One entry of the first form, or all there is of the others."""

    type: str | None
    text: str
    loc: tuple[str | int, ...] = ()
    value: Any = None
    context: Mapping[str, Any] | None = None


def read_error(
    status: int | None, headers: Mapping[str, str], body: object, sent: Sent | None = None
) -> FalError:
    """Say what an answer with `status` 400 or above means, or without one, a failed request."""
    sent = sent or Sent()
    details = _details(body, headers)
    first = details[0]
    facts: dict[str, Any] = {
        "type": first.type,
        "status": status,
        "request_id": headers.get("x-fal-request-id"),
        "retry_advice": retry_advice(headers),
    }
    kind, _ = _meaning(status, first)
    sentences = dict.fromkeys(_sentence(status, detail, sent) for detail in details)
    sentence = " ".join(list(sentences)[:_MOST_DETAILS])
    if issubclass(kind, ServiceTrouble | ServiceTimeout):
        useless = facts["retry_advice"] is False
        sentence += " fal says that trying again will not help." if useless else " Try again later."
    if issubclass(kind, LoraNotFetched):
        if not (lora := _lora(first, sent)) and not sent.loras:
            return FileRefused(sentence, **facts)
        return LoraNotFetched(sentence, name=lora, **facts)
    return kind(sentence, **facts)


def retry_advice(headers: Mapping[str, str]) -> bool | None:
    """What fal's older or newer header says about trying again; None where it says nothing."""
    for name in ("x-fal-needs-retry", "x-fal-retryable"):
        value = headers.get(name, "").strip().lower()
        if value in _YES | _NO:
            return value in _YES
    return None


def is_fals(headers: Mapping[str, str], body: object) -> bool:
    """Whether an error comes from fal or its model, not from something in front of it."""
    return any(detail.type for detail in _details(body, headers))


def _details(body: object, headers: Mapping[str, str]) -> list[_Detail]:
    fields = body if isinstance(body, Mapping) else {}
    found = fields.get("detail")
    if isinstance(found, list) and (entries := [e for e in found if isinstance(e, Mapping)]):
        return [_entry(entry) for entry in entries]
    text = next((t for t in (found, fields.get("error")) if isinstance(t, str)), "")
    type_ = _type(fields.get("error_type")) or _type(headers.get("x-fal-error-type"))
    return [_Detail(type_, text)]


def _entry(entry: Mapping[str, Any]) -> _Detail:
    loc = entry.get("loc")
    parts = loc if isinstance(loc, list) else []
    path = [part for part in parts if isinstance(part, str | int)]
    text, context = entry.get("msg"), entry.get("ctx")
    return _Detail(
        _type(entry.get("type")),
        text if isinstance(text, str) else "",
        tuple(path[1:] if path[:1] == ["body"] else path),
        entry.get("input"),
        context if isinstance(context, Mapping) else None,
    )


def _type(value: object) -> str | None:
    return value if isinstance(value, str) and _TYPE.fullmatch(value) else None


def _meaning(status: int | None, detail: _Detail) -> Meaning:
    if (known := meaning(detail.type)) is not None:
        return known
    if status is None:
        return FalError, "fal could not draw this."
    if status == 403:
        if _MONEY.search(detail.text):
            return STATUSES[402]
        return AccessRefused, "This fal key may not do this."
    if status in STATUSES:
        return STATUSES[status]
    if status >= 500:
        return ServiceTrouble, f"fal has trouble of its own ({status})."
    return (InputRefused if detail.loc else FalError), f"fal refused {{subject}} ({status})."


def _sentence(status: int | None, detail: _Detail, sent: Sent) -> str:
    kind, template = _meaning(status, detail)
    limit = _limit(detail)
    if "{limit}" in template and limit is None:
        template = "{subject}; that is outside of what fal takes."
    text = template.format(
        subject=_subject(detail, sent, complete=template.startswith("{subject};")), limit=limit
    )
    text = text[0].upper() + text[1:] if text.startswith("the ") else text
    known = meaning(detail.type) is not None or kind is BalanceExhausted or status == 401
    if known or not (quote := _quote(detail.text, sent)):
        return text
    return f"{text.removesuffix('.')}: “{quote}”."


def _subject(detail: _Detail, sent: Sent, *, complete: bool) -> str:
    """Name what an error is about; as "FIELD is VALUE" where a `complete` clause is wanted."""
    lora = _lora(detail, sent)
    field = ".".join(map(str, detail.loc))
    if not complete:
        if lora:
            return f"the LoRA “{lora}”"
        return field or ("one of the LoRAs" if len(sent.loras) > 1 else "the request")
    if detail.loc and detail.loc[-1] not in _PRIVATE:
        value = detail.value
        if isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= 40):
            return f"{field} is {shown(value)}"
    return f"{field or 'A value'} cannot be used as it is"


def _lora(detail: _Detail, sent: Sent) -> str | None:
    """The LoRA that an error is about: by its place, by its address, or as the only one."""
    match detail.loc:
        case ("loras", int(index), *_) if 0 <= index < len(sent.loras):
            return sent.loras[index][0]
    address = detail.value if isinstance(detail.value, str) else detail.text
    named = [name for name, url in sent.loras if url and url in address]
    if len(named) == 1:
        return named[0]
    about_files = meaning(detail.type) is not None and detail.type == "file_download_error"
    return sent.loras[0][0] if about_files and len(sent.loras) == 1 else None


def _limit(detail: _Detail) -> str | None:
    context = detail.context or {}
    value = next((context[name] for name in _LIMITS if name in context), None)
    if isinstance(value, list):
        return ", ".join(str(item) for item in value[:12]) or None
    return str(value)[:_LONGEST_QUOTE] if isinstance(value, int | float | str) else None


def _quote(text: str, sent: Sent) -> str:
    """A service's own words, where they may be repeated."""
    if sent.appears_in(text) or "://" in text:
        return ""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    line = line if len(line) <= _LONGEST_QUOTE else f"{line[: _LONGEST_QUOTE - 1]}…"
    return line.rstrip(".")
