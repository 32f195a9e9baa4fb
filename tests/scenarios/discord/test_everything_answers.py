"""Whatever can be pressed, chosen or sent is answered, as Discord wants it, and nothing breaks."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import discord
import pytest
import structlog

from bot import wording
from tests.scenarios.discord.judged import complaints
from tests.scenarios.discord.people import Answer, Person
from tests.scenarios.discord.seen import walk
from tests.scenarios.discord.simulated import simulated

ANYWHERE: Final = ("defaults", "privacy", "help", "queue", "preset list")
IN_SERVERS: Final = ("settings", "preset waiting", "preset rules")
ABOUT_ONE: Final = ("preset show", "preset history")
LATER: Final = {"go", "show"}
"""Words in custom ids that turn a page, once there is nothing else left on this one."""
LAST: Final = {"delete", "erase", "block", "cancel"}
"""Words in custom ids that take away what others are about."""
_ONE_OF_MANY: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+")
_SELECT: Final = 3


def kinds(who: Person) -> Iterator[tuple[str, discord.Message, str, str | None]]:
    """Every button and option that this person sees: its kind, message, custom id and value.

    Two that differ in ids and numbers alone are of one kind.
    """
    for message in who.channel.history(viewer=who.actor):
        for part in walk(message.components):
            if isinstance(part, discord.Button) and part.custom_id and not part.disabled:
                yield _kind(part.custom_id, part.label), message, part.custom_id, None
            elif isinstance(part, discord.SelectMenu) and part.custom_id:
                for one in part.options:
                    kind = _kind(part.custom_id, one.value)
                    yield kind, message, part.custom_id, one.value


def _kind(custom_id: str, of: str | None) -> str:
    return _ONE_OF_MANY.sub("#", f"{custom_id} {of}")


def _rank(kind: str) -> int:
    words = set(re.findall(r"[a-z]+", kind))
    return 2 if words & LAST else 1 if words & LATER else 0


async def use(who: Person, message: discord.Message, custom_id: str, value: str | None) -> str:
    """Press or choose; a form that opens is filled in and sent. Returns what came of it."""
    if value is None:
        result = await who.actor.click(message, custom_id=custom_id)
    else:
        result = await who.actor.select(message, [value], custom_id=custom_id)
    assert result.acknowledged, (custom_id, value)
    if result.modal is not None:
        result = (await _fill(Answer(who, result))).result
        assert result.acknowledged, f"the form of {custom_id}"
    return "\n".join(card.text for card in Answer(who, result).cards)


async def _fill(form: Answer) -> Answer:
    """Send a form; what is empty gets some words, or the first of its options."""
    filled: dict[str, str] = {}
    for label, field in form.fields.items():
        options = field.get("options", ())
        if field["type"] == _SELECT and not any(one.get("default") for one in options):
            filled[label] = options[0]["label"]
        elif field["type"] != _SELECT and not field.get("value"):
            filled[label] = "a word"
    return await form.fill(filled)


@pytest.mark.parametrize("where", ["in a server", "in private"])
async def test_everything_that_can_be_pressed_or_sent_is_answered(
    tmp_path: Path, where: str
) -> None:
    with structlog.testing.capture_logs() as logs:
        async with simulated(tmp_path) as (s, _):
            server = where == "in a server"
            who = s.mod if server else s.ana.in_private
            card = await s.drawn(who, "a cat", loras="glow:0.3", preset="comic")
            await s.drawn(who, "fail")
            await who.click(card, "Vary")
            for command in (*ANYWHERE, *(IN_SERVERS if server else ())):
                await who.slash(command)
            for command in ABOUT_ONE:
                await who.slash(command, preset="lantern")
            done: dict[str, str] = {}
            while found := [one for one in kinds(who) if one[0] not in done]:
                kind, message, custom_id, value = min(found, key=lambda one: _rank(one[0]))
                done[kind] = await use(who, message, custom_id, value)
                assert wording.INTERNAL not in done[kind], kind
            assert [one for call in s.env.http_requests for one in complaints(call)] == []
    assert len(done) > (100 if server else 40), list(done)
    assert [log for log in logs if log["log_level"] in {"warning", "error", "critical"}] == []
