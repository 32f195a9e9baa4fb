"""The receipt of a job: which message shows it, and with which of two tokens it can be changed.

An interaction's token lasts 15 minutes and reaches every message that answered it. The bot's own
token lasts, but reaches only what the bot can see: no message for one person alone, and nothing
where the app was installed by a user and not by the server.

What is kept holds the interaction's token sealed.
"""

from typing import Final

from discord.utils import snowflake_time
from pydantic import BaseModel, ConfigDict, Field

from bot.jobs.job import Receipt
from bot.sealing import Vault

TOKEN_S: Final = 15 * 60.0
"""How long an interaction's token lasts, from Discord's documentation."""
SWITCH_S: Final = 60.0
"""So long before its end we no longer count on it."""
OLD_S: Final = 3500.0
"""Discord lets messages that are an hour old be edited some 30 times an hour, and no more."""
FILE_LIMIT: Final = 10 * 2**20
"""Bytes that a file may have where nothing else is said."""


class Message(BaseModel):
    """A message that shows a job. `token_until` is in seconds since 1970, `limit` in bytes a file.

    `lasting` says that the bot's own token reaches it as well, `words` that Discord lets the
    prompt's words pass there.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    channel: int
    message: int
    application: int
    token: str = Field(repr=False)
    token_until: float
    lasting: bool = False
    guild: int | None = None
    limit: int = FILE_LIMIT
    words: bool = True

    def receipt(self, vault: Vault) -> Receipt:
        """What is kept of it."""
        return {**self.model_dump(mode="json"), "token": vault.seal(self.token)}

    def fresh(self, now: float) -> bool:
        """Whether the interaction's token can be counted on."""
        return now < self.token_until - SWITCH_S

    def old(self, now: float) -> bool:
        """Whether edits have become rare."""
        return now > snowflake_time(self.message).timestamp() + OLD_S


def read(receipt: Receipt, vault: Vault) -> Message:
    """The message that a receipt stands for. A token that cannot be opened is as one that ended.

    Raises:
        ValueError: it is no receipt.
    """
    message = Message.model_validate(receipt)
    token = vault.open(message.token)
    if token is None:
        return message.model_copy(update={"token": "", "token_until": 0.0})
    return message.model_copy(update={"token": token})
