"""What can go wrong with the files of LoRAs; the tree is drawn in `library.py`."""

from collections.abc import Sequence

from lora_registry.errors import RegistryError
from lora_registry.models import Source


class LibraryError(RegistryError):
    """Base of the tree."""


class FileChanged(LibraryError):
    """A source gives other bytes than those that were added; nobody got them.

    `actual` is the SHA-256 of what came; None where it was broken off, being too long.
    """

    def __init__(self, title: str, source: Source, expected: str, actual: str | None) -> None:
        starts = f" Its SHA-256 starts with {actual[:12]}, not {expected[:12]}." if actual else ""
        super().__init__(
            f"The LoRA {title} is not the file that was added: {described(source)} has another one "
            f"in its place now, which was not used.{starts} Whoever added it should look at it "
            "there, and add it anew if the change is meant."
        )
        self.source = source
        self.expected = expected
        self.actual = actual


class NoSource(LibraryError):
    """The file is not here, and nobody gives it away now; `failures` says why, one by one."""

    def __init__(self, title: str, failures: Sequence[tuple[Source, str]]) -> None:
        tried = " ".join(f"{described(source)}: {why}" for source, why in failures)
        super().__init__(
            f"The LoRA {title} cannot be had now. {tried or 'No place is known that has it.'}"
        )
        self.failures = tuple(failures)


class NoRoom(LibraryError):
    """Nothing can be thrown away for another file."""


class StillUsed(LibraryError):
    """A job needs the file now."""


def described(source: Source) -> str:
    """A source in a few words, for people."""
    match source.kind:
        case "huggingface":
            return f"{source.repo} on Hugging Face"
        case "civitai":
            return f"version {source.version} on Civitai"
        case "local":
            return f"{source.path} in the LoRA folder"
        case "https" | "fal":
            return source.url.partition("://")[2].partition("?")[0]
