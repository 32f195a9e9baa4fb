"""Fetches model folders from Hugging Face, with progress and sentences for what goes wrong."""

import errno
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import huggingface_hub
from huggingface_hub import constants, errors
from huggingface_hub.utils.tqdm import tqdm

from backends.base import Preparing
from backends.errors import ModelUnavailable
from backends.local.families import CARD_NAME, is_hub_id, local_folder, missing_files
from backends.local.renderer import Emit


@dataclass(frozen=True, slots=True)
class Kind:
    """What is fetched of a repository, and how a folder that has all of it is told."""

    files: tuple[str, ...]
    complete: Callable[[Path], bool]


# Leaves out the single-file copies that lie beside a pipeline's folders.
PIPELINE: Final = Kind(
    files=(CARD_NAME, "model_index.json", "*/*.json", "*/*.safetensors", "*/*.txt", "*/*.model"),
    complete=lambda folder: not missing_files(folder),
)
CLASSIFIER: Final = Kind(
    files=("*.json", "model*.safetensors"),
    complete=lambda folder: (
        (folder / "config.json").is_file() and any(folder.glob("*.safetensors"))
    ),
)

_PACE: Final = 0.5


def find_or_fetch(source: str, kind: Kind, token: str | None, emit: Emit, *, setting: str) -> Path:
    """Return the folder that `source` names, downloading a Hugging Face id where needed.

    A copy that is complete is used without asking the network. `setting` is what the owner has to
    change when `source` is wrong. While downloading, `emit` is called from other threads.

    Raises:
        ModelUnavailable: says what to do about it.
    """
    if folder := local_folder(source):
        return folder
    if not is_hub_id(source):
        raise ModelUnavailable(
            f"{setting} is “{source}”, which is neither a folder on this machine nor a Hugging "
            "Face id such as black-forest-labs/FLUX.1-dev."
        )
    try:
        return _cached(source, kind) or _download(source, kind, token, emit)
    except ModelUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - it also raises its HTTP library's own errors
        raise _explained(error, source, setting, token) from None


def _cached(source: str, kind: Kind) -> Path | None:
    try:
        folder = Path(
            huggingface_hub.snapshot_download(
                source, allow_patterns=list(kind.files), local_files_only=True
            )
        )
    except errors.LocalEntryNotFoundError:
        return None
    return folder if kind.complete(folder) else None


def _download(source: str, kind: Kind, token: str | None, emit: Emit) -> Path:
    emit(Preparing(f"looking up {source}"))
    files = list(kind.files)
    plan = huggingface_hub.snapshot_download(
        source, allow_patterns=files, token=token, dry_run=True, tqdm_class=_Silent
    )
    size = sum(file.file_size or 0 for file in plan if file.will_download)
    _check_space(source, size)
    folder = huggingface_hub.snapshot_download(
        source, allow_patterns=files, token=token, tqdm_class=_reporter(source, size, emit)
    )
    return Path(folder)


def _check_space(source: str, size: int) -> None:
    cache = Path(constants.HF_HUB_CACHE)
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if size > free:
        raise ModelUnavailable(
            f"{source} needs {_gigabytes(size)} and only {_gigabytes(free)} are free on the disk; "
            "make room, or set HF_HOME to a larger disk."
        )


class _Silent(tqdm):
    """A progress bar of the Hub client that is not drawn."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "disable": True})  # type: ignore[no-untyped-call]


def _reporter(source: str, size: int, emit: Emit) -> type[tqdm]:
    """Make the progress bar that the Hub client counts its bytes with."""

    class Reporter(_Silent):
        last = 0.0

        def __init__(self, *args: Any, **options: Any) -> None:
            # Two bars count bytes: received, and written to disk. The second one tells the truth.
            self.counts = options.get("name") == "huggingface_hub.snapshot_download"
            super().__init__(*args, **options)
            self.done = 0

        def update(self, n: float | None = 1) -> bool | None:
            self.done += int(n or 0)
            now = time.monotonic()
            if self.counts and size and now - Reporter.last >= _PACE:
                Reporter.last = now
                emit(Preparing(f"downloading {source}", min(self.done / size, 1.0)))
            return None

    return Reporter


def _explained(error: Exception, source: str, setting: str, token: str | None) -> ModelUnavailable:
    """Turn an error of the Hub client into a sentence that says what to do."""
    if isinstance(error, errors.DryRunError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    page = f"https://huggingface.co/{source}"
    response = getattr(error, "response", None)
    status = response.status_code if response is not None else None
    sign_in = (
        "check that HF_TOKEN is a valid token of that account"
        if token
        else "set HF_TOKEN to a token of that account"
    )
    match error:
        case errors.GatedRepoError():
            text = f"{source} asks for its licence: accept it at {page} and {sign_in}."
        case errors.RepositoryNotFoundError() if status == 401:
            text = (
                f"{setting} is “{source}”, which is neither a folder here nor a public model on "
                f"Hugging Face. Correct the name; if the model is private, {sign_in}."
            )
        case errors.RepositoryNotFoundError() | errors.HFValidationError():
            text = (
                f"{setting} is “{source}”, which is neither a folder here nor a model on Hugging "
                "Face. Correct the name."
            )
        case _ if status in {401, 403}:
            text = f"Hugging Face refused {source}: open {page}, ask for access and {sign_in}."
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            text = (
                f"The disk is full, so {source} could not be downloaded; make room, or set HF_HOME "
                "to a larger disk."
            )
        case OSError(errno=errno.EACCES | errno.EROFS):
            text = (
                f"{source} could not be stored, because its folder cannot be written; set HF_HOME "
                "to a folder that can."
            )
        case _ if status is not None:
            text = (
                f"Hugging Face answered with status {status} when asked for {source}; try again "
                "later, or name a folder that holds the model."
            )
        case _:
            text = (
                f"{source} is not on this machine and Hugging Face cannot be reached. Connect to "
                "the internet (and unset HF_HUB_OFFLINE), or name a folder that holds the model."
            )
    return ModelUnavailable(text)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
