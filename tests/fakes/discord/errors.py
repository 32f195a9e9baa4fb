"""Discord's errors, as its API words them."""

from collections.abc import Mapping
from http import HTTPStatus

_KNOWN: Mapping[int, tuple[int, str]] = {
    0: (401, "401: Unauthorized"),
    10003: (404, "Unknown Channel"),
    10004: (404, "Unknown Guild"),
    10007: (404, "Unknown Member"),
    10008: (404, "Unknown Message"),
    10013: (404, "Unknown User"),
    10015: (404, "Unknown Webhook"),
    10062: (404, "Unknown interaction"),
    40005: (413, "Request entity too large"),
    40060: (400, "Interaction has already been acknowledged."),
    40094: (400, "This interaction has reached the maximum number of follow-up messages"),
    50001: (403, "Missing Access"),
    50003: (403, "Cannot execute action on this channel type"),
    50005: (403, "Cannot edit a message authored by another user"),
    50006: (400, "Cannot send an empty message"),
    50007: (403, "Cannot send messages to this user"),
    50013: (403, "Missing Permissions"),
    50027: (401, "Invalid Webhook Token"),
    50035: (400, "Invalid Form Body"),
    50083: (400, "Thread is archived"),
    160005: (403, "Thread is locked"),
}


class ApiError(Exception):
    """An answer of 400 or more; `problems` say what is wrong with a body, one sentence each."""

    def __init__(
        self,
        code: int,
        text: str | None = None,
        *,
        status: int | None = None,
        problems: list[str] | None = None,
    ) -> None:
        known_status, known_text = _KNOWN.get(code, (HTTPStatus.BAD_REQUEST, "400: Bad Request"))
        self.code = code
        self.status = status or known_status
        self.text = text or known_text
        self.problems = problems or []
        super().__init__(f"{self.status} {self.code}: {self.text}")

    def body(self) -> dict[str, object]:
        answer: dict[str, object] = {"message": self.text, "code": self.code}
        if self.problems:
            wrong = [{"code": "INVALID", "message": p} for p in self.problems]
            answer["errors"] = {"_errors": wrong}
        return answer
