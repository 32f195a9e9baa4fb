"""The receipt of a job: where it was asked for and which message shows it."""

from pydantic import BaseModel, ConfigDict

from bot.jobs.job import Receipt


class Where(BaseModel):
    """Where messages about a job go. `thread` is the `ts` of the message that began a thread.

    `name` is what people call who asked, for a message that shall not notify them.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    channel: str
    user: str
    name: str = ""
    thread: str | None = None


class Message(BaseModel):
    """A message that shows a job; `ts` is Slack's id of it within its channel, empty where nothing
    shows the job before its end.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    where: Where
    ts: str

    def receipt(self) -> Receipt:
        """What is kept of it."""
        return self.model_dump(mode="json")


def unseen(receipt: Receipt | None) -> bool:
    """Whether nothing shows the job of this receipt before its end."""
    return receipt is not None and not read(receipt).ts


def read(receipt: Receipt) -> Message:
    """The message that a receipt stands for.

    Raises:
        ValueError: it is no receipt.
    """
    return Message.model_validate(receipt)
