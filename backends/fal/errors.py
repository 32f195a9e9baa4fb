"""What can go wrong at fal, from all three forms of its error bodies.

    FalError                  keeps fal's own type, the HTTP status and the request id
    ├── KeyRefused            401: the key is wrong
    ├── AccessRefused         403 for another reason than money
    ├── BalanceExhausted      the account behind the key has no money left
    ├── ContentRefused        content policy, or nothing that may be shown
    ├── InputRefused          a value is outside of what the model takes
    ├── LoraNotFetched        fal could not download one of the LoRAs
    ├── FileRefused           a picture or archive of the request cannot be used
    ├── ServiceTimeout        fal gave up waiting for its own machines
    ├── ServiceTrouble        fal's machines failed
    ├── TooManyRequests       429: the account's limit
    ├── RequestGone           404: there is no such request (any more)
    ├── EndedElsewhere        somebody else cancelled it
    └── AnswerRefused         an answer that is none: no JSON, an unknown status
        └── Redirected        the service sends us to another address

None is retryable: wherever one of these is seen, a request has been paid for, or would fail again.
What fal advises about trying again is in `retry_advice` and in the sentence.
"""

from typing import Any

from backends.errors import BackendError


class FalError(BackendError):
    """`type` is fal's `type` or `error_type`; `retry_advice` is what its header says, if it does.

    `status` is the HTTP status, `request_id` fal's own, for its support.
    """

    def __init__(
        self,
        sentence: str,
        *,
        type: str | None = None,  # noqa: A002 - fal's own name of it
        status: int | None = None,
        request_id: str | None = None,
        retry_advice: bool | None = None,
    ) -> None:
        super().__init__(sentence)
        self.type = type
        self.status = status
        self.request_id = request_id
        self.retry_advice = retry_advice


class KeyRefused(FalError):
    """The service does not know the key."""


class AccessRefused(FalError):
    """The key is known, but not allowed to do this."""


class BalanceExhausted(FalError):
    """The account behind the key has no money left."""


class ContentRefused(FalError):
    """The prompt or its picture broke the service's content rules."""


class InputRefused(FalError):
    """A value is outside of what the model takes."""


class LoraNotFetched(FalError):
    """The service could not download a LoRA; `name` is what the person called it, if known."""

    def __init__(self, sentence: str, *, name: str | None, **facts: Any) -> None:
        super().__init__(sentence, **facts)
        self.name = name


class FileRefused(FalError):
    """A file that the request names cannot be used."""


class ServiceTimeout(FalError):
    """The service gave up waiting for its own machines."""


class ServiceTrouble(FalError):
    """The service's machines failed."""


class TooManyRequests(FalError):
    """The account may not do more at once."""


class RequestGone(FalError):
    """The service has no such request, or no longer."""


class EndedElsewhere(FalError):
    """Somebody else ended the request."""


class AnswerRefused(FalError):
    """The service answered something that is no answer."""


class Redirected(AnswerRefused):
    """The service leads elsewhere, where the key does not go."""
