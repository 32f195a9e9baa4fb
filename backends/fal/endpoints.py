"""fal's FLUX endpoints as data: what each draws, and what is sent to it.

Ranges, defaults and the number of LoRAs are those of the request classes in `backends.base`.
Source: fal's endpoint schemas, as of 2026-11-20.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from backends.base import (
    NAMED_SIZES,
    Flux1Request,
    Flux2Request,
    GenerationRequest,
    LoraFile,
    ModelName,
    ModelSupport,
    OutputFormat,
)
from backends.fal.prices import PRICES

_COMMON: Final = (
    "prompt",
    "num_inference_steps",
    "guidance_scale",
    "seed",
    "num_images",
    "acceleration",
    "output_format",
    "enable_safety_checker",
    "sync_mode",
)
_NAMES: Final = MappingProxyType({size: name for name, size in NAMED_SIZES.items()})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One of fal's models: `fields` are those of a request that it knows.

    `price` is in US dollars a megapixel.
    """

    id: str
    formats: frozenset[OutputFormat]
    sides: tuple[int, int]
    fields: tuple[str, ...]
    price: float

    @property
    def support(self) -> ModelSupport:
        """What it can do beyond the ranges of its request class."""
        expands = "enable_prompt_expansion" in self.fields
        return ModelSupport(self.formats, self.sides, prompt_expansion=expands, price=self.price)

    def body(
        self, request: GenerationRequest, loras: Sequence[tuple[LoraFile, str]]
    ) -> dict[str, Any]:
        """The JSON that asks for `request`, each LoRA with the address where fal finds it."""
        size = request.image_size
        return {
            **request.model_dump(include=set(self.fields)),
            "image_size": _NAMES.get(size) or {"width": size.width, "height": size.height},
            "loras": [{"path": url, "scale": file.scale} for file, url in loras],
        }


ENDPOINTS: Final[Mapping[ModelName, Endpoint]] = MappingProxyType(
    {
        "flux-1": Endpoint(
            Flux1Request.endpoint,
            frozenset({"jpeg", "png"}),
            Flux1Request.sides,
            _COMMON,
            PRICES["flux-1"].megapixel,
        ),
        "flux-2": Endpoint(
            Flux2Request.endpoint,
            frozenset({"png", "jpeg", "webp"}),
            Flux2Request.sides,
            (*_COMMON, "enable_prompt_expansion"),
            PRICES["flux-2"].megapixel,
        ),
    }
)


def runner_hint(loras: Sequence[LoraFile]) -> dict[str, str]:
    """The header that leads requests with the same LoRAs to a machine that has them loaded."""
    if not loras:
        return {}
    together = "\n".join(sorted({file.sha256 for file in loras}))
    return {"X-Fal-Runner-Hint": hashlib.sha256(together.encode()).hexdigest()[:16]}
