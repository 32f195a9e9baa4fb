"""Civitai: a file of a model version, by the site's public API.

https://developer.civitai.com/site/reference/model-versions
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from lora_registry.fetch import GuardedFetcher, NotFetched
from lora_registry.models import CivitaiSource
from lora_registry.sources._asking import dicts, read_json, texts
from lora_registry.sources.candidate import Claims, NotThere, NotUsable, line, trigger_sets
from lora_registry.sources.reference import SUFFIX, CivitaiRef

SITE: Final = "https://civitai.com"

_LORAS: Final = frozenset({"LORA", "LoCon", "DoRA"})
_WEIGHTS: Final = frozenset({"Model", "Pruned Model"})
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_NSFW_BITS: Final = ((4, 16 | 32), (3, 8), (2, 4), (1, 2))
"""Our level by Civitai's bits: PG-13 2, R 4, X 8, XXX 16, blocked 32."""

_MATURE: Final = 2
"""The least level of a model that its author calls NSFW."""


async def look_up(fetcher: GuardedFetcher, reference: CivitaiRef) -> tuple[CivitaiSource, Claims]:
    """Ask for the version and the terms of its model.

    Of a model without a version, the first one for FLUX is taken.

    Raises:
        FetchError: Civitai does not answer.
        SourceError: there is no such LoRA, or its author gives no file away.
    """
    site = f"https://{reference.site}"
    if reference.version is None:
        model = await _get(fetcher, f"{site}/api/v1/models/{reference.model}", reference)
        version = _first_for_flux(model)
    else:
        version = await _get(
            fetcher, f"{site}/api/v1/model-versions/{reference.version}", reference
        )
        number = version.get("modelId")
        if not isinstance(number, int):
            raise _odd()
        if reference.model not in (None, number):
            raise NotThere(
                f"Version {reference.version} on Civitai is one of the model {number}, not of "
                f"{reference.model}. Check both numbers."
            )
        model = await _get(fetcher, f"{site}/api/v1/models/{number}", reference)
    if str(model.get("type")) not in _LORAS:
        raise NotUsable(
            f"“{line(model.get('name'))}” is called a {line(model.get('type'))} on Civitai, not a "
            "LoRA. Only LoRAs can be used."
        )
    file = _choose_file(version, reference.file)
    source = CivitaiSource(model=model.get("id"), version=version["id"], file=file.get("id"))
    return source, _claims(model, version, file)


async def find(fetcher: GuardedFetcher, sha256: str) -> CivitaiSource | None:
    """Ask whether Civitai has the file with this hash anywhere.

    Raises:
        FetchError: Civitai does not answer.
    """
    try:
        version = await read_json(
            fetcher, f"{SITE}/api/v1/model-versions/by-hash/{sha256}", "Civitai"
        )
    except NotFetched as error:
        if error.status == 404:
            return None
        raise
    for file in _files(version):
        if _sha256(file) == sha256 and isinstance(version.get("id"), int):
            return CivitaiSource(
                model=version.get("modelId"), version=version["id"], file=file.get("id")
            )
    return None


def file_url(source: CivitaiSource) -> str:
    """Where the file's bytes are; the answer redirects to a content network."""
    choice = f"?fileId={source.file}" if source.file else ""
    return f"{SITE}/api/download/models/{source.version}{choice}"


async def _get(fetcher: GuardedFetcher, url: str, reference: CivitaiRef) -> dict[str, Any]:
    try:
        document = await read_json(fetcher, url, "Civitai")
    except NotFetched as error:
        if error.status != 404:
            raise
        hint = (
            " Models that are not for all ages are on civitai.red; use the address there."
            if reference.site == "civitai.com"
            else ""
        )
        raise NotThere(
            f"Civitai has no {reference}, or does not show it where this bot runs (404).{hint}"
        ) from error
    if not isinstance(document.get("id"), int):
        raise _odd()
    return document


def _odd() -> NotThere:
    return NotThere("Civitai answers something else than expected. Try again later.")


def _first_for_flux(model: Mapping[str, Any]) -> dict[str, Any]:
    """Civitai lists the versions in the order that their author chose, the newest first."""
    versions = [one for one in dicts(model.get("modelVersions")) if isinstance(one.get("id"), int)]
    flux = [one for one in versions if str(one.get("baseModel")).lower().startswith("flux")]
    if flux:
        return flux[0]
    if versions:
        bases = ", ".join(dict.fromkeys(line(one.get("baseModel")) for one in versions[:5]))
        raise NotUsable(
            f"“{line(model.get('name'))}” has no version for FLUX on Civitai, only for {bases}. "
            "Only LoRAs for FLUX.1 and FLUX.2 can be used."
        )
    raise NotThere(f"“{line(model.get('name'))}” has no version on Civitai that is shown to us.")


def _choose_file(version: Mapping[str, Any], wanted: int | None) -> dict[str, Any]:
    control = version.get("usageControl")
    if control not in (None, "Download"):
        raise NotUsable(
            "The author of this LoRA lets it be used on Civitai only, not downloaded. Use another."
        )
    files = [one for one in _files(version) if str(one.get("type")) in _WEIGHTS]
    files = [one for one in files if str(one.get("name", "")).lower().endswith(SUFFIX)]
    if wanted is not None:
        files = [one for one in files if one.get("id") == wanted]
    if not files:
        raise NotThere(
            f"This version has no {SUFFIX} file on Civitai that is given away. Use another one."
        )
    file = next((one for one in files if one.get("primary")), files[0])
    if "Danger" in (file.get("virusScanResult"), file.get("pickleScanResult")):
        raise NotUsable("Civitai's own check calls this file dangerous. Use another LoRA.")
    return file


def _claims(
    model: Mapping[str, Any], version: Mapping[str, Any], file: Mapping[str, Any]
) -> Claims:
    name, version_name = line(model.get("name")), line(version.get("name"))
    uses = set(re.findall(r"\w+", str(model.get("allowCommercialUse") or "")))
    terms = [] if model.get("allowNoCredit") else ["credit the author"]
    commercial = bool(uses & {"Image", "Sell"}) if "allowCommercialUse" in model else None
    terms += ["no commercial use of pictures"] if commercial is False else []
    return Claims(
        file_name=line(file.get("name")),
        sha256=_sha256(file),
        title=line(f"{name} – {version_name}" if version_name else name),
        licence=f"Civitai: {', '.join(terms)}" if terms else "Civitai: free use",
        base_models=(line(version.get("baseModel")),),
        triggers=trigger_sets(texts(version.get("trainedWords"))),
        nsfw=_nsfw(model, version),
        person=model.get("poi") is True,
        minor=model.get("minor") is True,
        commercial=commercial,
    )


def _nsfw(model: Mapping[str, Any], version: Mapping[str, Any]) -> int:
    """The highest level that the version's pictures have, so that no place is surprised."""
    bits = version.get("nsfwLevel", model.get("nsfwLevel"))
    bits = bits if isinstance(bits, int) else 0
    level = next((level for level, mask in _NSFW_BITS if bits & mask), 0)
    return max(level, _MATURE) if model.get("nsfw") is True else level


def _files(version: Mapping[str, Any]) -> list[dict[str, Any]]:
    return dicts(version.get("files"))


def _sha256(file: Mapping[str, Any]) -> str | None:
    """The hash that the site gives; it is missing for some files."""
    hashes = file.get("hashes")
    value = str(hashes.get("SHA256", "")).lower() if isinstance(hashes, dict) else ""
    return value if _SHA256.fullmatch(value) else None
