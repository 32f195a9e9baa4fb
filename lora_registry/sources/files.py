"""Places that are only a file: an https address, a fal trainer's output, the LoRA folder."""

import os
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from lora_registry.addresses import file_name, may_hold_a_secret
from lora_registry.fetch import GuardedFetcher
from lora_registry.models import FalSource, HttpsSource, LocalSource
from lora_registry.sources._asking import read_json
from lora_registry.sources.candidate import Claims, NotThere, NotUsable, line, trigger_sets
from lora_registry.sources.reference import SUFFIX, FalRef, LocalRef, WebRef

_LONGEST: Final = 2000
_TRIGGER_KEYS: Final = ("trigger_word", "trigger_phrase", "instance_prompt")


def web_file(reference: WebRef) -> tuple[HttpsSource, Claims]:
    """Take an address as it is.

    Raises:
        NotUsable: the registry cannot keep it.
    """
    url = _lasting(reference.url)
    return HttpsSource(url=url), Claims(file_name(url))


async def trained_file(fetcher: GuardedFetcher, reference: FalRef) -> tuple[FalSource, Claims]:
    """Read the trigger word from the configuration that a fal trainer left beside its LoRA.

    Raises:
        NotUsable: the registry cannot keep an address.
        FetchError, NotThere: the configuration cannot be read.
    """
    url = _lasting(reference.url)
    config_url = _lasting(reference.config_url) if reference.config_url else None
    config = await read_json(fetcher, config_url, "fal") if config_url else {}
    phrase = next((config[key] for key in _TRIGGER_KEYS if config.get(key)), "")
    claims = Claims(file_name(url), triggers=trigger_sets([phrase]))
    return FalSource(url=url, config_url=config_url), claims


def local_file(folders: Sequence[Path], reference: LocalRef) -> tuple[LocalSource, Claims, Path]:
    """Find a file in the first of the folders that has it. Blocks.

    Raises:
        NotThere: it is in none of them, or lies elsewhere.
    """
    for folder in folders:
        path = Path(os.path.normpath(folder / reference.path))
        # Unlike `Path.is_file`, this says no to a name that is too long.
        if path.is_relative_to(folder) and path.suffix == SUFFIX and os.path.isfile(path):  # noqa: PTH113
            inside = path.relative_to(folder).as_posix()
            return LocalSource(path=inside), Claims(path.name), path
    raise NotThere(
        f"There is no file {line(reference.path)} in the LoRA folder. Put the {SUFFIX} file there "
        "and name it by its path in it. A file on Hugging Face is owner/name:FILE"
        f"{SUFFIX}."
    )


def _lasting(url: str) -> str:
    """Let pass an address that may be kept and shown."""
    try:
        url = urllib.parse.urlsplit(url)._replace(fragment="").geturl()
    except ValueError:
        raise NotUsable("This is not a complete web address. Check it for typos.") from None
    if not url.startswith("https://"):
        raise NotUsable("The registry keeps only addresses that begin with https://. Use one.")
    if may_hold_a_secret(url):
        raise NotUsable(
            "This address seems to hold a token or a signature, which the registry would keep and "
            "which will expire. Use a lasting address without one, or put the file into the LoRA "
            "folder."
        )
    if len(url) > _LONGEST:
        raise NotUsable(f"This address is longer than {_LONGEST:,} characters. Use a shorter one.")
    return url
