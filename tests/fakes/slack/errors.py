"""Slack's errors: `ok: false`, a name, and sometimes what exactly is wrong."""

from typing import Any


class SlackError(Exception):
    """An answer that is not ok. `details` are the sentences that come with a body's errors."""

    def __init__(self, name: str, details: list[str] | None = None, **more: Any) -> None:
        self.name = name
        self.details = details or []
        self.more = more
        super().__init__(f"{name}: {'; '.join(self.details)}" if self.details else name)

    def body(self) -> dict[str, Any]:
        answer: dict[str, Any] = {"ok": False, "error": self.name, **self.more}
        if self.details:
            answer["errors"] = self.details
            answer["response_metadata"] = {"messages": [f"[ERROR] {d}" for d in self.details]}
        return answer


class RateLimited(SlackError):
    """One call too many; Slack asks to wait so many seconds."""

    def __init__(self, wait: int) -> None:
        self.wait = wait
        super().__init__("ratelimited")
