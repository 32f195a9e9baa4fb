"""What a check says: a frozen `Finding`, in a sentence for whoever runs this installation."""

import enum
from dataclasses import dataclass


class Status(enum.StrEnum):
    """`BROKEN` keeps Atelier from its work; a `WARNING` takes something away or soon will."""

    OK = "ok"
    WARNING = "warning"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, and what to do where it is not well. Never has a secret."""

    status: Status
    what: str
    advice: str = ""


def ok(what: str) -> Finding:
    return Finding(Status.OK, what)


def warning(what: str, advice: str = "") -> Finding:
    return Finding(Status.WARNING, what, advice)


def broken(what: str, advice: str = "") -> Finding:
    return Finding(Status.BROKEN, what, advice)


def amount(size: int) -> str:
    """Write a number of bytes the way disks are sold: `34.2 GB`, `870 MB`."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"


def reason(error: OSError) -> str:
    """The system's own words, to stand in brackets."""
    return (error.strerror or type(error).__name__).lower()
