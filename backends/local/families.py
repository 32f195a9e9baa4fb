"""Which weights draw which model: families, model folders and the sizes they draw.

Nothing here loads torch, so the bot and `atelier doctor` may ask at any time.
"""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backends.base import ImageSize, ModelName
from backends.errors import ModelUnavailable
from backends.local.demo import vocabulary

DEMO_MODEL: Final = Path(__file__).parent / "demo" / "model"
"""The folder of the model that comes with Atelier; it answers requests for every model."""

DEMO_LORAS: Final = Path(__file__).parent / "demo" / "loras"

CARD_NAME: Final = "atelier.json"

HINTS: Final[Mapping[str, Callable[[str], str | None]]] = MappingProxyType(
    {"demo": vocabulary.hint}
)
"""What a card's `hint` may name: says what the model can draw when a prompt lies outside of it."""


@dataclass(frozen=True, slots=True)
class Family:
    """Models with one architecture. `pipeline` is diffusers' class, `weights` the usual Hub id."""

    name: str
    model: ModelName
    pipeline: str
    weights: str
    licence: str

    @property
    def licence_page(self) -> str:
        """Where the licence is read and accepted."""
        return f"https://huggingface.co/{self.weights}"


FLUX_1: Final = Family(
    name="FLUX.1",
    model="flux-1",
    pipeline="FluxPipeline",
    weights="black-forest-labs/FLUX.1-dev",
    licence="FLUX.1 [dev] Non-Commercial License",
)


class ModelCard(BaseModel):
    """What a model folder may say about itself in `atelier.json`; without it the defaults hold.

    `native_sizes` are the only sizes (width, height) that the model draws well; empty means any.
    `max_sequence_length` is the number of T5 tokens that it was trained with. `preview` maps a
    clean latent (as the transformer sees it) to RGB from 0 to 1, one row a channel and a last one
    to add. `safety` is its own checker, relative to the folder. `hint` is a key of `HINTS`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str | None = None
    native_sizes: tuple[tuple[int, int], ...] = ()
    max_sequence_length: int = Field(512, ge=1, le=512)
    preview: tuple[tuple[float, float, float], ...] | None = None
    safety: str | None = None
    hint: Literal["demo"] | None = None

    def hint_for(self, prompt: str) -> str | None:
        """Say what the model can draw if it has no words for `prompt`."""
        return HINTS[self.hint](prompt) if self.hint else None


class RendererSettings(BaseModel):
    """Everything that the drawing process is told; plain JSON, so that it can travel there.

    `model` and `safety_model` are an existing folder or a Hugging Face id; without `safety_model`
    the model's own checker is used, else the usual one. A score above `safety_threshold` for the
    `safety_labels` together is flagged. `device` is `auto`, `cpu`, `cuda` or `cuda:N`.
    `lora_cache_bytes` bounds the LoRAs that stay loaded beside those in use, `preview_interval`
    is the least number of seconds between two previews.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    safety_model: str | None = None
    safety_threshold: float = Field(0.85, ge=0, le=1)
    safety_labels: tuple[str, ...] = ("nsfw", "porn", "hentai", "sexy")
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    hf_token: str | None = Field(None, repr=False)
    lora_cache_bytes: int = Field(2 * 1024**3, ge=0)
    preview_interval: float = Field(0.3, ge=0)


def is_hub_id(source: str) -> bool:
    """Say whether `source` is written like a Hugging Face id, `owner/name`."""
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", source) is not None


def local_folder(source: str) -> Path | None:
    """Return the folder that `source` names on this machine, if it is one."""
    folder = Path(source).expanduser()
    return folder if source and folder.is_dir() else None


def find_weights(source: str) -> Path | None:
    """Return the complete model folder behind a folder or Hub id, without asking the network."""
    folder = local_folder(source)
    if folder is None and is_hub_id(source):
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError

        try:
            index = try_to_load_from_cache(source, "model_index.json")
        except HFValidationError:  # such as two dashes in a row
            return None
        folder = Path(index).parent if isinstance(index, str) else None
    return folder if folder is not None and not missing_files(folder) else None


def missing_files(folder: Path) -> tuple[str, ...]:
    """Name the files that a diffusers model folder lacks, relative to it.

    Every part that `model_index.json` lists needs its folder; a part with `config.json` needs
    safetensors weights, all shards of them.
    """
    if not (folder / "model_index.json").is_file():
        return ("model_index.json",)
    missing: list[str] = []
    for part, described in _read_index(folder).items():
        if not isinstance(described, list) or described[0] is None:
            continue
        if not (folder / part).is_dir():
            missing.append(part)
        elif (folder / part / "config.json").is_file():
            missing += [f"{part}/{name}" for name in _missing_weights(folder / part)]
    return tuple(missing)


def check_folder(folder: Path, family: Family = FLUX_1) -> None:
    """Make sure that `folder` holds complete weights of `family`.

    Raises:
        ModelUnavailable: names what is missing or what the folder holds instead.
    """
    if missing := missing_files(folder):
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ModelUnavailable(
            f"The model folder {folder.name} is incomplete: {missing[0]}{more} is missing. "
            "Download the model again, or name another folder or Hugging Face id."
        )
    if (pipeline := _read_index(folder).get("_class_name")) != family.pipeline:
        raise ModelUnavailable(
            f"The model folder {folder.name} holds a {pipeline}, but {family.model} is drawn with "
            f"a {family.pipeline} ({family.name}). Name a folder or Hugging Face id of that kind, "
            f"for example {family.weights}."
        )


def read_card(folder: Path) -> ModelCard:
    """Read the folder's `atelier.json`; a folder without one gets the defaults.

    Raises:
        ModelUnavailable: the file is not what `ModelCard` describes.
    """
    try:
        return ModelCard.model_validate_json((folder / CARD_NAME).read_bytes())
    except FileNotFoundError:
        return ModelCard()
    except (OSError, ValidationError) as error:
        fields = error.errors() if isinstance(error, ValidationError) else []
        where = f" at {'.'.join(str(part) for part in fields[0]['loc'])}" if fields else ""
        raise ModelUnavailable(
            f"{CARD_NAME} in the model folder {folder.name} cannot be used{where}; correct it or "
            "download the model again."
        ) from None


def drawn_size(
    asked: ImageSize, *, multiple: int = 16, native: Sequence[tuple[int, int]] = ()
) -> ImageSize:
    """Choose the size that is really drawn for `asked`.

    With native sizes it is the nearest aspect ratio, then the nearest area. Otherwise both sides
    are rounded down to `multiple` pixels (8× VAE and 2×2 patches), at least one of them.
    """
    if native:
        width, height = min(
            native,
            key=lambda size: (
                round(abs(math.log(size[0] * asked.height / (size[1] * asked.width))), 6),
                abs(math.log(size[0] * size[1] / asked.pixels)),
            ),
        )
    else:
        width, height = (
            max(side // multiple * multiple, multiple) for side in (asked.width, asked.height)
        )
    return ImageSize(width=width, height=height)


def _read_index(folder: Path) -> dict[str, object]:
    try:
        index = json.loads((folder / "model_index.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        index = None
    if not isinstance(index, dict):
        raise ModelUnavailable(
            f"model_index.json in the model folder {folder.name} cannot be read; download the "
            "model again."
        )
    return index


def _missing_weights(part: Path) -> list[str]:
    indexes = sorted(part.glob("*.safetensors.index.json"))
    if not indexes:
        return [] if any(part.glob("*.safetensors")) else ["*.safetensors"]
    try:
        shards = set(json.loads(indexes[0].read_bytes())["weight_map"].values())
    except (OSError, ValueError, RecursionError, KeyError, AttributeError, TypeError):
        return [indexes[0].name]
    return sorted(name for name in shards if not (part / str(name)).is_file())
