"""Rate limits as Discord keeps them: buckets told in headers, and caps that no header tells."""

import hashlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.fakes.discord.clock import Clock


@dataclass
class Rates:
    """How many requests fit into how many seconds. Tests may change a line before they start.

    Discord publishes no numbers. Five edits per window were seen by others (discordgo#1384); the
    rest is of the same size. Interaction routes stand outside the global cap.
    """

    edits_of_answers: tuple[int, float] = (5, 5.0)
    edits_in_channel: tuple[int, float] = (5, 5.0)
    posts_in_channel: tuple[int, float] = (5, 5.0)
    deletes_in_channel: tuple[int, float] = (5, 1.0)
    follow_ups: tuple[int, float] = (5, 2.0)
    others: tuple[int, float] = (50, 1.0)
    everything: tuple[int, float] = (50, 1.0)
    edits_of_old_messages: tuple[int, float] = (30, 3600.0)
    enforced: bool = True


@dataclass(frozen=True)
class Verdict:
    """The headers of an answer; with `wait`, it is a 429 and asks for so many seconds."""

    headers: Mapping[str, str]
    wait: float | None = None
    everywhere: bool = False
    code: int = 0
    message: str = "You are being rate limited."

    def body(self) -> dict[str, object]:
        return {
            "message": self.message,
            "retry_after": self.wait,
            "global": self.everywhere,
            "code": self.code,
        }


@dataclass
class _Window:
    ends: float
    used: int = 0


@dataclass
class Limits:
    """Counts requests in fixed windows that start with their first request."""

    clock: Clock
    rates: Rates = field(default_factory=Rates)
    _windows: dict[str, _Window] = field(default_factory=dict)
    _recent: deque[float] = field(default_factory=deque)

    def take(self, method: str, template: str, major: str, *, old_message: str | None) -> Verdict:
        """Count one request. `old_message` names the message that is over an hour old, if any."""
        if not self.rates.enforced:
            return Verdict({})
        if old_message is not None:
            count, seconds = self.rates.edits_of_old_messages
            wait, _, _ = self._count(f"old:{old_message}", count, seconds)
            if wait is not None:
                text = "Maximum number of edits to messages older than 1 hour reached."
                text += " Try again later"
                return Verdict(_via(wait, "user"), wait, code=30046, message=text)
        if not template.startswith(("/interactions/", "/webhooks/")):
            wait = self._global()
            if wait is not None:
                return Verdict(
                    {**_via(wait, "global"), "X-RateLimit-Global": "true"}, wait, everywhere=True
                )
        if template.startswith("/interactions/"):
            return Verdict({})
        count, seconds = self._rate(method, template)
        name = hashlib.sha256(f"{method} {template}".encode()).hexdigest()[:32]
        wait, left, ends_in = self._count(f"{name}:{major}", count, seconds)
        headers = {
            "X-RateLimit-Limit": str(count),
            "X-RateLimit-Remaining": str(left),
            "X-RateLimit-Reset": f"{self.clock.now() + ends_in:.3f}",
            "X-RateLimit-Reset-After": f"{ends_in:.3f}",
            "X-RateLimit-Bucket": name,
        }
        if wait is None:
            return Verdict(headers)
        return Verdict({**headers, **_via(wait, "user")}, wait)

    def _count(self, key: str, count: int, seconds: float) -> tuple[float | None, int, float]:
        now = self.clock.now()
        window = self._windows.get(key)
        if window is None or not now < window.ends <= now + seconds:
            window = self._windows[key] = _Window(now + seconds)
        ends_in = round(window.ends - now, 3)
        if window.used >= count:
            return max(ends_in, 0.001), 0, ends_in
        window.used += 1
        return None, count - window.used, ends_in

    def _global(self) -> float | None:
        count, seconds = self.rates.everything
        now = self.clock.now()
        while self._recent and not now - seconds < self._recent[0] <= now:
            self._recent.popleft()
        if len(self._recent) >= count:
            return max(round(self._recent[0] + seconds - now, 3), 0.001)
        self._recent.append(now)
        return None

    def _rate(self, method: str, template: str) -> tuple[int, float]:
        rates = self.rates
        if template.startswith("/webhooks/"):
            return rates.edits_of_answers if "/messages/" in template else rates.follow_ups
        if template.startswith("/channels/{channel_id}/messages"):
            kinds = {
                "PATCH": rates.edits_in_channel,
                "POST": rates.posts_in_channel,
                "DELETE": rates.deletes_in_channel,
            }
            return kinds.get(method, rates.others)
        return rates.others


def _via(wait: float, scope: str) -> dict[str, str]:
    return {"Via": "1.1 google", "Retry-After": f"{wait:.3f}", "X-RateLimit-Scope": scope}
