"""Hugging Face: a file of a model repository, pinned to a commit.

The Hub's documented HTTP API is asked through the guarded fetcher. `huggingface_hub` has clients of
its own, one of them in another language (hf_xet), that know none of our rules about addresses.
https://huggingface.co/docs/hub/api
"""

import re
import urllib.parse
from typing import Any, Final

from lora_registry.fetch import GuardedFetcher, NotFetched
from lora_registry.models import HuggingFaceSource
from lora_registry.sources._asking import dicts, read_json, texts
from lora_registry.sources.candidate import ChooseFile, Claims, NotThere, line, trigger_sets
from lora_registry.sources.reference import SUFFIX, HuggingFaceRef

SITE: Final = "https://huggingface.co"

_USUAL: Final = "pytorch_lora_weights.safetensors"
_SAVED_ON_THE_WAY: Final = re.compile(r"(.+?)[-_](?:(?:step|epoch|e|s)[-_]?)?\d{2,}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_NOT_FOR_ALL: Final = "not-for-all-audiences"
_NOT_FOR_ALL_LEVEL: Final = 3
"""The Hub knows one mark only, so the level is that of explicit pictures."""


async def look_up(
    fetcher: GuardedFetcher, reference: HuggingFaceRef
) -> tuple[HuggingFaceSource, Claims]:
    """Ask what the repository has, at the commit that its revision names now.

    Raises:
        FetchError: the Hub does not answer.
        SourceError: there is no such repository or file, or several could be meant.
    """
    revision = urllib.parse.quote(reference.revision or "main", safe="")
    url = f"{SITE}/api/models/{reference.repo}/revision/{revision}?blobs=true"
    try:
        found = await read_json(fetcher, url, "Hugging Face")
    except NotFetched as error:
        raise _not_there(reference, error) from error
    repo, commit = str(found.get("id") or reference.repo), str(found.get("sha"))
    if not _COMMIT.fullmatch(commit) or not re.fullmatch(r"[\w.-]+/[\w.-]+", repo, re.ASCII):
        raise NotThere("Hugging Face answers something else than expected. Try again later.")
    files = {name: one for one in dicts(found.get("siblings")) if (name := _name(one))}
    file = choose_file(reference, files)
    return HuggingFaceSource(repo=repo, commit=commit, file=file), _claims(found, file, files[file])


def file_url(source: HuggingFaceSource) -> str:
    """Where the file's bytes are; the answer redirects to a content network."""
    return f"{SITE}/{source.repo}/resolve/{source.commit}/{urllib.parse.quote(source.file)}"


def choose_file(reference: HuggingFaceRef, files: "dict[str, dict[str, Any]]") -> str:
    """Find the file that is meant: the one named; or the only one; or the only one outside folders;
    or the one that is left without those saved on the way (`ink-000250` beside `ink`); or the one
    that carries diffusers' usual name.

    Raises:
        NotThere: it is not there.
        ChooseFile: several could be meant.
    """
    wanted, repo = reference.file or "", reference.repo
    if wanted in files:
        return wanted
    if wanted.endswith(SUFFIX):
        choices = f" It has: {', '.join(sorted(files)[:5])}." if files else ""
        raise NotThere(f"There is no file {line(wanted)} in {repo}.{choices}")
    inside = sorted(name for name in files if name.startswith(wanted))
    if not inside:
        place = f"The folder {line(wanted)} of {repo}" if wanted else repo
        raise NotThere(f"{place} has no {SUFFIX} file. Only such files are taken.")
    outer = [name for name in inside if "/" not in name.removeprefix(wanted)] or inside
    stems = {name.removesuffix(SUFFIX) for name in outer}
    final = [name for name in outer if not _is_on_the_way(name.removesuffix(SUFFIX), stems)]
    if len(final) == 1:
        return final[0]
    if f"{wanted}{_USUAL}" in final:
        return f"{wanted}{_USUAL}"
    revision = reference.revision
    raise ChooseFile(repo, [str(HuggingFaceRef(repo, revision, name)) for name in final])


def _is_on_the_way(stem: str, stems: set[str]) -> bool:
    found = _SAVED_ON_THE_WAY.fullmatch(stem)
    return found is not None and found[1] in stems


def _claims(found: dict[str, Any], file: str, entry: dict[str, Any]) -> Claims:
    card = found.get("cardData")
    card = card if isinstance(card, dict) else {}
    lfs = entry.get("lfs")
    lfs = lfs if isinstance(lfs, dict) else {}
    sha256 = str(lfs.get("sha256", "")).lower()
    licence = card.get("license")
    if licence == "other":
        licence = card.get("license_name") or licence
    tags = {*texts(found.get("tags")), *texts(card.get("tags"))}
    return Claims(
        file_name=file.rpartition("/")[2],
        sha256=sha256 if _SHA256.fullmatch(sha256) else None,
        title=line(str(found.get("id", "")).rpartition("/")[2]),
        licence=line(next(iter(texts(licence)), "")),
        base_models=texts(card.get("base_model")),
        triggers=trigger_sets(texts(card.get("instance_prompt"))),
        nsfw=_NOT_FOR_ALL_LEVEL if _NOT_FOR_ALL in tags else 0,
    )


def _not_there(reference: HuggingFaceRef, error: NotFetched) -> Exception:
    # The Hub answers 401 for what does not exist, too, so that nobody can find out what does.
    if error.status in {401, 403}:
        return NotThere(
            f"Hugging Face shows no repository {reference.repo} to us ({error.status}). Check its "
            "name; if it is private or asks for consent, give consent there and have the owner of "
            "this bot set HF_TOKEN."
        )
    if error.status == 404:
        missing = f"revision {line(reference.revision)}" if reference.revision else "such model"
        return NotThere(
            f"Hugging Face has no {missing} for {reference.repo} (404). Check the name."
        )
    return error


def _name(entry: dict[str, Any]) -> str | None:
    name = entry.get("rfilename")
    good = isinstance(name, str) and name.endswith(SUFFIX) and ".." not in name.split("/")
    return str(name) if good else None
