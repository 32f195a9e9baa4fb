"""A request in a service's queue: what is kept of it, and where it is asked about."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from backends.fal.errors import AnswerRefused, FalError
from backends.fal.gateway import Gateway, is_segment


@dataclass(frozen=True, slots=True)
class RemoteRequest:
    """All that is needed to take a request up again. No URL holds a key or the extra query."""

    request_id: str
    endpoint: str
    queue_url: str
    status_url: str
    response_url: str
    cancel_url: str

    @property
    def stream_url(self) -> str:
        path, mark, query = self.status_url.partition("?")
        return f"{path}/stream{mark}{query}"

    def as_remote(self) -> dict[str, str]:
        """As `Submitted` carries it."""
        return asdict(self)

    @classmethod
    def submitted(
        cls, gateway: Gateway, endpoint: str, answer: Mapping[str, object]
    ) -> "RemoteRequest":
        """Read the answer to a submit.

        Raises:
            AnswerRefused: it holds no request id.
        """
        request_id = answer.get("request_id")
        if not isinstance(request_id, str) or not is_segment(request_id):
            raise AnswerRefused(f"{gateway.host} answered without a request id.")

        def url(name: str, tail: str = "") -> str:
            built = gateway.request_url(endpoint, request_id, tail)
            return gateway.rebase(answer.get(name), built)

        return cls(
            request_id=request_id,
            endpoint=endpoint,
            queue_url=gateway.queue_url,
            status_url=url("status_url", "/status"),
            response_url=url("response_url"),
            cancel_url=url("cancel_url", "/cancel"),
        )

    @classmethod
    def noted(cls, gateway: Gateway, remote: Mapping[str, str]) -> "RemoteRequest":
        """Read back what `as_remote` gave, on the gateway that is configured now.

        Raises:
            FalError: it is not such a note.
        """
        try:
            return cls.submitted(gateway, remote["endpoint"], remote)
        except (KeyError, AnswerRefused):
            raise FalError(
                "The note about this paid request cannot be read, so its picture is lost."
            ) from None
