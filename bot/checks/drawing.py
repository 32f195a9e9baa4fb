"""What draws: PyTorch and what stands on it, the GPU, the models, the safety checker."""

import importlib.metadata
import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from backends.base import MODELS, ModelName
from backends.errors import ModelUnavailable
from backends.local.families import (
    DEMO_MODEL,
    FLUX_1,
    check_folder,
    find_weights,
    is_hub_id,
    local_folder,
    missing_files,
    read_card,
)
from backends.local.probe import PACKAGES, Gpu, probe
from bot.app import build_backends
from bot.checks.finding import Finding, amount, broken, ok, warning
from bot.commands.imagine import Refused
from bot.settings import Settings

PROBE_S: Final = 60.0
"""Enough for a first import from a slow disk."""

_SIZES: Final = {FLUX_1.weights: 33_700_000_000, "Falconsai/nsfw_image_detection": 344_000_000}
"""What is downloaded of a repository, in bytes, where we know."""

_NAMED: Final = ("torch", "diffusers", "peft", "transformers")
_LARGE: Final = 20_000_000_000
_GPU_NEEDED: Final = 29_400_000_000
"""Free GPU memory for FLUX.1 with one part at a time on the GPU; see `backends.local.loading`."""

_NVIDIA: Final = Path("/proc/driver/nvidia/version")
_MOST_NAMED: Final = 5


# --- PyTorch and the GPU ----------------------------------------------------------------------


def engine(settings: Settings | None) -> Iterator[Finding]:
    """Is everything installed that draws, does it start, and on what would it draw?"""
    absent = _absent()
    if absent and settings is not None and settings.draws_with_fal:
        yield ok("PyTorch is not installed here, and not needed: fal draws.")
        return
    if absent:
        yield broken(
            f"Nothing can be drawn on this machine: {', '.join(absent)} "
            f"{'is' if len(absent) == 1 else 'are'} not installed.",
            "`make start` installs what is missing.",
        )
        return
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _NAMED)
    machine = probe(PROBE_S)
    if machine.problem is not None:
        yield broken(
            f"PyTorch or what stands on it cannot be used ({versions}). {machine.problem}",
            "Install it again: `make clean`, then `make start`.",
        )
        return
    yield ok(f"PyTorch and what stands on it can be used: {versions}.")
    for gpu in machine.gpus:
        yield ok(f"GPU: {gpu.name}, {amount(gpu.free)} of {amount(gpu.total)} free.")
    if not machine.gpus:
        yield _no_gpu(gpu_build=machine.gpu_build)
    if settings is not None:
        yield from _memory(settings, machine.gpus)


def _absent() -> list[str]:
    return [name for name in PACKAGES if importlib.util.find_spec(name) is None]


def _no_gpu(*, gpu_build: bool) -> Finding:
    if not _NVIDIA.exists():
        return ok("There is no GPU that PyTorch could use: the CPU draws.")
    if gpu_build:
        return warning(
            "This machine has an NVIDIA driver, but PyTorch finds no GPU: the CPU draws.",
            "See what `nvidia-smi` says; the driver may be older than this PyTorch needs.",
        )
    return warning(
        "This machine has an NVIDIA driver, but this PyTorch is built for the CPU alone.",
        "Run `make clean`, then `make start` without TORCH_INDEX, or with that of a CUDA build.",
    )


def _memory(settings: Settings, gpus: tuple[Gpu, ...]) -> Iterator[Finding]:
    """Will the weights of the settings fit? Small models fit everywhere."""
    source = settings.local_model
    if source is None or settings.backend == "demo":
        return
    size = _size_of(source)
    if size < _LARGE:
        return
    if not gpus:
        yield warning(
            f"{source} on a CPU needs about {amount(2 * size)} of memory and many minutes a "
            "picture.",
            "Use a machine with a GPU, or leave ATELIER_LOCAL_MODEL empty to draw with the demo "
            "model.",
        )
    elif gpus[0].total < _GPU_NEEDED:
        yield broken(
            f"{source} needs {amount(_GPU_NEEDED)} of GPU memory, and the {gpus[0].name} has "
            f"{amount(gpus[0].total)}.",
            "Use a larger GPU, or leave ATELIER_LOCAL_MODEL empty to draw with the demo model.",
        )
    elif gpus[0].free < _GPU_NEEDED:
        yield warning(
            f"{source} needs {amount(_GPU_NEEDED)} of free GPU memory, and "
            f"{amount(gpus[0].free)} are free.",
            "If that is not a running Atelier, end the other programs that use the GPU.",
        )


def _size_of(source: str) -> int:
    folder = _found(source)
    if folder is None:
        return _SIZES.get(source, 0)
    return sum(file.stat().st_size for file in folder.glob("*/*.safetensors"))


# --- Models -----------------------------------------------------------------------------------


def models(settings: Settings) -> Iterator[Finding]:
    """Who draws which model, and is everything there for it?"""
    if _absent():
        return  # `engine` says so
    if settings.backend == "local" and settings.local_model is None:
        yield broken(
            "ATELIER_BACKEND is local, but ATELIER_LOCAL_MODEL names no weights.",
            f"Set ATELIER_LOCAL_MODEL, for example to {FLUX_1.weights}, or ATELIER_BACKEND to "
            "auto.",
        )
        return
    used = set()
    for model, name in _choices(settings).items():
        if name is None:
            yield warning(
                f"Nothing here draws {model} while ATELIER_BACKEND is {settings.backend}.",
                "Set ATELIER_BACKEND to auto to have the demo model answer for it.",
            )
            continue
        used.add(name)
        host = urlsplit(settings.fal_queue_url).hostname
        who = {"demo": "the demo model", "fal": host}.get(name, settings.local_model)
        yield ok(f"{model} is drawn by {who} (ATELIER_BACKEND is {settings.backend}).")
    if settings.local_model is not None and "local" not in used:
        yield ok(f"{settings.local_model} is not used while ATELIER_BACKEND is {settings.backend}.")
    if "demo" in used:
        yield from _demo()
    if "local" in used and settings.local_model is not None:
        yield from _weights(settings.local_model, has_token=settings.hf_token is not None)
        yield from _safety(settings.safety_model)


def _choices(settings: Settings) -> dict[ModelName, str | None]:
    backends = build_backends(settings)
    choices: dict[ModelName, str | None] = {}
    for model in MODELS:
        try:
            choices[model] = backends.choose(model).name
        except Refused:
            choices[model] = None
    return choices


def _demo() -> Iterator[Finding]:
    advice = "Its files are part of Atelier: install Atelier again."
    try:
        if missing := missing_files(DEMO_MODEL):
            yield broken(f"The demo model is incomplete: {_listed(missing)} missing.", advice)
            return
        safety = read_card(DEMO_MODEL).safety
    except ModelUnavailable:
        yield broken("The demo model is damaged.", advice)
        return
    yield ok("The demo model is complete.")
    if safety is None or not _is_classifier(DEMO_MODEL / safety):
        yield _unchecked("The demo model's safety checker is missing.", advice)


def _weights(source: str, *, has_token: bool) -> Iterator[Finding]:
    folder = _found(source)
    if folder is None:
        yield from _to_download(source, has_token=has_token)
        return
    try:
        if missing := missing_files(folder):
            yield broken(
                f"The model folder {folder} is incomplete: {_listed(missing)} missing.",
                "Download the model again, or name another one with ATELIER_LOCAL_MODEL.",
            )
            return
        check_folder(folder)
        read_card(folder)
    except ModelUnavailable as error:
        yield broken(str(error))
    else:
        yield ok(f"The weights of {source} are complete, in {folder}.")


def _found(source: str) -> Path | None:
    """The model's folder, complete or not, or what has been downloaded of a Hub id completely."""
    return local_folder(source) or (find_weights(source) if _is_valid_id(source) else None)


def _to_download(source: str, *, has_token: bool) -> Iterator[Finding]:
    if not _is_valid_id(source):
        yield broken(
            f"ATELIER_LOCAL_MODEL is “{source}”, which is neither a folder here nor a Hugging "
            "Face id.",
            f"Name a folder with a diffusers pipeline, or an id such as {FLUX_1.weights}.",
        )
        return
    from huggingface_hub import constants, get_token

    has_token = has_token or get_token() is not None
    size = _SIZES.get(source)
    much = f"downloads about {amount(size)}" if size else "downloads it"
    what = f"{source} is not downloaded yet, or not completely: the first job {much}."
    token = "a token is set" if has_token else "HF_TOKEN is not set"
    if source != FLUX_1.weights:
        page = f"https://huggingface.co/{source}"
        yield warning(what, f"Read its licence at {page}; {token}, which some models need.")
    else:
        licence = f"It is under the {FLUX_1.licence}: accept it at {FLUX_1.licence_page}"
        if has_token:
            yield warning(what, f"{licence} with the account of your token ({token}).")
        else:
            fix = "and set HF_TOKEN to a token of that account"
            yield broken(
                f"{what} {token}, and without one the download is refused.", f"{licence} {fix}."
            )
    cache = Path(constants.HF_HUB_CACHE)
    place = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if size and free < size:
        yield broken(
            f"{source} needs about {amount(size)}, and {amount(free)} are free for {cache}.",
            "Make room, or set HF_HOME to a folder on a larger disk.",
        )


# --- Safety -----------------------------------------------------------------------------------


def _safety(source: str) -> Iterator[Finding]:
    """Whether the checker of the local model is here; without one pictures stay hidden."""
    folder = local_folder(source)
    if folder is not None:
        if _is_classifier(folder):
            yield ok(f"The safety checker in {folder} is complete.")
        else:
            yield _unchecked(
                f"The safety checker in {folder} lacks its config.json or its weights.",
                "Download it again, or name another one with ATELIER_SAFETY_MODEL.",
            )
    elif not _is_valid_id(source):
        yield _unchecked(
            f"ATELIER_SAFETY_MODEL is “{source}”, which is neither a folder here nor a Hugging "
            "Face id.",
            "Name an image classifier, or leave it empty for the usual one.",
        )
    elif _is_classifier(_cached(source)):
        yield ok(f"The safety checker {source} is downloaded.")
    else:
        size = _SIZES.get(source)
        much = f" (about {amount(size)})" if size else ""
        yield _unchecked(
            f"The safety checker {source} is not downloaded yet.",
            f"The first job downloads it{much}; see that huggingface.co can be reached then.",
        )


def _unchecked(what: str, advice: str) -> Finding:
    return warning(
        f"{what} Without it every picture is `unchecked`, which is hidden like a flagged one.",
        advice,
    )


def _is_classifier(folder: Path | None) -> bool:
    from backends.local.download import CLASSIFIER

    return folder is not None and CLASSIFIER.complete(folder)


def _cached(source: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(source, "config.json")
    return Path(config).parent if isinstance(config, str) else None


def _is_valid_id(source: str) -> bool:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    if not is_hub_id(source):
        return False
    try:
        try_to_load_from_cache(source, "config.json")
    except HFValidationError:
        return False
    return True


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    verb = "is" if len(names) == 1 else "are"
    return f"{', '.join(names[:_MOST_NAMED])}{more} {verb}"
