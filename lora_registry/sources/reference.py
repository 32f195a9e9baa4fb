"""What people may write to name a LoRA that is elsewhere, and what each form means.

    owner/name[@revision][:file]           a Hugging Face repository
    https://huggingface.co/owner/name…     the same, as the browser shows it
    civitai:12345[@67890]                  a Civitai model, and one version of it
    urn:air:flux1:lora:civitai:12345@67890
    https://civitai.com/models/12345?modelVersionId=67890
    https://v3.fal.media/… [https://…/config.json]   what a fal trainer made,
    {"diffusers_lora_file": {"url": …}, …}           also as its whole answer
    https://example.org/ink.safetensors    a file anywhere else
    ./ink.safetensors                      a file in the LoRA folder

Nothing is asked of anybody here; `str(reference)` is the shortest form that means the same.
"""

import json
import re
import urllib.parse
from dataclasses import dataclass
from typing import Final

from lora_registry.sources.candidate import SourceError

SUFFIX: Final = ".safetensors"

_MOST: Final = 4000
_PART: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
_REPO: Final = re.compile(rf"{_PART}/{_PART}")
_SHORT: Final = re.compile(r"(?:hf:)?([^@:\s]+)(?:@([^:\s]+))?(?::(.+))?")
_REVISION: Final = re.compile(r"[\w.-]+(?:/[\w.-]+)*", re.ASCII)
_NUMBER: Final = r"[1-9][0-9]{0,11}"
_AIR: Final = re.compile(
    rf"urn:air:[\w.-]+:([\w.-]+):civitai:({_NUMBER})(?:@({_NUMBER}))?", re.IGNORECASE | re.ASCII
)
_CIVITAI: Final = re.compile(
    rf"(civitai(?:\.red)?):({_NUMBER})?(?:@({_NUMBER}))?(?::({_NUMBER}))?", re.IGNORECASE
)
_URL: Final = re.compile(r"https?://\S+", re.IGNORECASE)
_BARE_SITE: Final = re.compile(
    r"(?:www\.)?(?:huggingface\.co|hf\.co|civitai\.(?:com|red|green))/", re.IGNORECASE
)
_LORA_TYPES: Final = frozenset({"lora", "locon", "lycoris", "dora"})

FORMS: Final = (
    "Use owner/name of a Hugging Face repository, the address of a Civitai model, an https "
    f"address of a {SUFFIX} file, or a file in the LoRA folder."
)


class BadReference(SourceError):
    """What was written names no place; str() is a sentence that says what to write instead."""


@dataclass(frozen=True, slots=True)
class HuggingFaceRef:
    """A file of a model repository, or the one that is chosen there.

    `revision` is a branch, tag or commit, the main branch where None. `file` is a path within the
    repository; with a slash at its end it is the folder to choose from.
    """

    repo: str
    revision: str | None = None
    file: str | None = None

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{self.repo}{revision}{f':{self.file}' if self.file else ''}"


@dataclass(frozen=True, slots=True)
class CivitaiRef:
    """A version of a Civitai model, or the one that is chosen; at least one number is given.

    `site` is civitai.red where only that site shows the model: it has what is not for all ages.
    """

    model: int | None
    version: int | None = None
    file: int | None = None
    site: str = "civitai.com"

    def __str__(self) -> str:
        version = f"@{self.version}" if self.version else ""
        file = f":{self.file}" if self.file else ""
        return f"{self.site.removesuffix('.com')}:{self.model or ''}{version}{file}"


@dataclass(frozen=True, slots=True)
class WebRef:
    """A file at an address. It may hold a token, so it is never shown."""

    url: str

    def __str__(self) -> str:
        return self.url

    def __repr__(self) -> str:
        return f"WebRef({re.split(r'[?#]', self.url, maxsplit=1)[0]!r})"


@dataclass(frozen=True, slots=True)
class FalRef:
    """What a fal trainer left in fal's storage: the LoRA and, perhaps, its configuration."""

    url: str
    config_url: str | None = None

    def __str__(self) -> str:
        return f"{self.url} {self.config_url}" if self.config_url else self.url


@dataclass(frozen=True, slots=True)
class LocalRef:
    """A file, by a path within the LoRA folder or a whole one that leads there."""

    path: str

    def __str__(self) -> str:
        return self.path


LoraReference = HuggingFaceRef | CivitaiRef | WebRef | FalRef | LocalRef


def parse_lora_reference(text: str) -> LoraReference:
    """Read what somebody wrote.

    Raises:
        BadReference: says what to write instead.
    """
    text = text.strip()
    if not text:
        raise BadReference(f"This names no LoRA. {FORMS}")
    if text.startswith("{"):
        return _trainer_output(text)
    if len(text) > _MOST or not text.isprintable():
        raise BadReference(f"This is too long or has unprintable characters in it. {FORMS}")
    if _BARE_SITE.match(text):
        text = f"https://{text}"
    addresses = text.split()
    if all(map(_URL.fullmatch, addresses)):
        return _addresses(addresses)
    if text[:5].lower() == "file:":
        raise BadReference("Give the path itself, without file: before it.")
    if re.match(r"(?:urn|civitai(?:\.red)?):", text, re.IGNORECASE):
        return _civitai_id(text)
    if text.startswith(("/", "./", "../", "~")) or (":" not in text and text.endswith(SUFFIX)):
        return LocalRef(text)
    return _hugging_face_short(text)


# --- Identifiers ------------------------------------------------------------------------------


def _civitai_id(text: str) -> CivitaiRef:
    if air := _AIR.fullmatch(text):
        if air[1].lower() not in _LORA_TYPES:
            raise BadReference(f"This id is that of a {_shown(air[1])}, not of a LoRA.")
        return CivitaiRef(int(air[2]), _number(air[3]))
    found = _CIVITAI.fullmatch(text)
    if found and (found[2] or found[3]):
        site = "civitai.red" if found[1].lower() == "civitai.red" else "civitai.com"
        return CivitaiRef(_number(found[2]), _number(found[3]), _number(found[4]), site)
    raise BadReference(
        f"“{_shown(text)}” is no id of Civitai. Use civitai:MODEL, civitai:MODEL@VERSION or "
        "urn:air:flux1:lora:civitai:MODEL@VERSION, with numbers."
    )


def _hugging_face_short(text: str) -> HuggingFaceRef:
    found = _SHORT.fullmatch(text)
    if found is None:
        raise _unknown(text)
    repo, revision, file = found.groups()
    if not _REPO.fullmatch(repo):
        raise _unknown(text)
    return _hugging_face(repo, revision, file)


def _hugging_face(repo: str, revision: str | None, file: str | None) -> HuggingFaceRef:
    if "--" in repo or ".." in repo or repo.endswith(".git"):
        raise BadReference(f"“{_shown(repo)}” is no name of a Hugging Face repository.")
    if revision and (len(revision) > 200 or ".." in revision or not _REVISION.fullmatch(revision)):
        raise BadReference(
            f"“{_shown(revision)}” is no revision. Use a branch, a tag or a commit: {repo}@main."
        )
    if file is None:
        return HuggingFaceRef(repo, revision)
    parts = file.removesuffix("/").split("/")
    if any(part in {"", ".", ".."} for part in parts) or "\\" in file or not file.isprintable():
        raise BadReference(f"“{_shown(file)}” is no path of a file in {repo}.")
    if not file.endswith((SUFFIX, "/")):
        raise BadReference(
            f"“{_shown(parts[-1])}” is no {SUFFIX} file, and no other kind is taken. Name one "
            f"({repo}:FILE{SUFFIX}), or only the repository ({repo})."
        )
    return HuggingFaceRef(repo, revision, file)


# --- Addresses --------------------------------------------------------------------------------


def _addresses(urls: list[str]) -> LoraReference:
    if len(urls) > 2:
        raise BadReference("Give one address, or the two of a fal trainer's LoRA and config file.")
    if len(urls) == 2:
        return FalRef(*urls)
    (url,) = urls
    try:
        parts = urllib.parse.urlsplit(url)
        host = (parts.hostname or "").removeprefix("www.")
    except ValueError:
        raise BadReference("This is not a complete web address. Check it for typos.") from None
    if parts.username or parts.password:
        raise BadReference("The address has a user name in it. Leave that out.")
    if host in {"huggingface.co", "hf.co"}:
        return _hugging_face_page(parts)
    if host in {"civitai.com", "civitai.red", "civitai.green"}:
        return _civitai_page(parts, host)
    if host == "fal.media" or host.endswith(".fal.media"):
        return FalRef(url)
    return WebRef(url)


def _hugging_face_page(parts: urllib.parse.SplitResult) -> HuggingFaceRef:
    path = [urllib.parse.unquote(part) for part in parts.path.split("/") if part]
    if path[:1] in (["datasets"], ["spaces"], ["collections"], ["papers"], ["docs"]):
        raise BadReference(
            f"This is the address of one of Hugging Face's {path[0]}, not of a model. Use one like "
            "https://huggingface.co/owner/name."
        )
    repo = "/".join(path[:2])
    if len(path) < 2 or not _REPO.fullmatch(repo):
        raise BadReference(
            "This is no address of a model on Hugging Face. Use one like "
            "https://huggingface.co/owner/name."
        )
    match path[2:]:
        case []:
            return _hugging_face(repo, None, None)
        case ["tree" | "blob" | "resolve" | "raw", "refs", kind, name, *rest]:
            revision = f"refs/{kind}/{name}"
        case ["tree" | "blob" | "resolve" | "raw", revision, *rest]:
            pass
        case _:
            raise BadReference(
                "This page of Hugging Face shows no files. Use the address of the model "
                f"(https://huggingface.co/{repo}) or of one of its files."
            )
    file = "/".join(rest)
    if file and path[2] == "tree":
        file += "/"
    return _hugging_face(repo, revision, file or None)


def _civitai_page(parts: urllib.parse.SplitResult, host: str) -> CivitaiRef:
    site = "civitai.red" if host == "civitai.red" else "civitai.com"
    query = dict(urllib.parse.parse_qsl(parts.query))
    path = [part for part in parts.path.split("/") if part]
    path = path[2:] if path[:2] == ["api", "v1"] else path
    match path:
        case ["models", model, *_] if _is_number(model):
            version = query.get("modelVersionId", "")
            return CivitaiRef(int(model), _number(version), site=site)
        case ["model-versions", version] | ["api", "download", "models", version] if _is_number(
            version
        ):
            return CivitaiRef(None, int(version), _number(query.get("fileId", "")), site)
    raise BadReference(
        f"This is no address of a model on Civitai. Use one like https://{site}/models/12345."
    )


def _trainer_output(text: str) -> FalRef:
    """Read the answer of a fal trainer, also as its webhook or a client wraps it."""
    try:
        answer = json.loads(text[:_MOST])
    except (ValueError, RecursionError):
        answer = None
    for wrapper in ("payload", "data", "output"):
        if isinstance(answer, dict) and isinstance(answer.get(wrapper), dict):
            answer = answer[wrapper]
    found = (_file_url(answer, key) for key in ("diffusers_lora_file", "config_file"))
    url, config_url = found
    if url is None:
        raise BadReference(
            "This is no answer of a fal trainer: it has no address in diffusers_lora_file.url. "
            "Paste the whole answer, or only that address."
        )
    return FalRef(url, config_url)


def _file_url(answer: object, key: str) -> str | None:
    file = answer.get(key) if isinstance(answer, dict) else None
    url = file.get("url") if isinstance(file, dict) else None
    good = isinstance(url, str) and url.isprintable() and _URL.fullmatch(url)
    return str(url) if good else None


# --- Words ------------------------------------------------------------------------------------


def _unknown(text: str) -> BadReference:
    shown = _shown(text)
    if _is_number(text):
        return BadReference(f"“{shown}” is only a number. Did you mean civitai:{text}?")
    if re.match(r"[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}/", text):
        return BadReference(f"“{shown}” names no LoRA. Did you mean https://{shown}?")
    owner, *rest = text.split("/", 2)
    if len(rest) == 2 and _REPO.fullmatch(f"{owner}/{rest[0]}") and ":" not in text:
        near = _shown(f"{owner}/{rest[0]}:{rest[1].rstrip('/')}{SUFFIX}")
        return BadReference(f"“{shown}” names no LoRA. Did you mean {near}?")
    return BadReference(f"“{shown}” names no LoRA. {FORMS}")


def _is_number(text: str) -> bool:
    return re.fullmatch(_NUMBER, text) is not None


def _number(text: str | None) -> int | None:
    return int(text) if text and _is_number(text) else None


def _shown(text: str) -> str:
    kept = "".join(c for c in text if c.isprintable())
    return kept if len(kept) <= 80 else f"{kept[:79]}…"
