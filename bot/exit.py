"""How a command ends."""

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes, the same for every command."""

    DONE = 0
    BAD_INPUT = 2
    FAILED = 3
    CANCELLED = 130
