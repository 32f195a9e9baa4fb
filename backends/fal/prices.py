"""What pictures cost at fal, as data.

Prices are fal's public ones for its own endpoints, read from their pages on `READ_ON`. A gateway
may ask for another price; what it bills is known only to its owner.
"""

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from backends.base import GenerationRequest, ModelName

READ_ON: Final = dt.date(2026, 11, 20)

_GIGABYTE: Final = 10**9


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars a megapixel.

    `lora_steps` are (gigabytes, factor), rising: the price is multiplied by the factor of the last
    step that the LoRAs' files reach together. The pages do not say how many bytes a gigabyte has;
    10**9 never estimates too low.
    """

    megapixel: float
    lora_steps: tuple[tuple[float, float], ...] = ()

    def with_loras(self, size: int) -> float:
        """The price of a megapixel with LoRAs of `size` bytes in all."""
        reached = (factor for start, factor in self.lora_steps if size >= start * _GIGABYTE)
        return self.megapixel * max(reached, default=1.0)


PRICES: Final[Mapping[ModelName, Price]] = MappingProxyType(
    {
        "flux-1": Price(0.035),
        # The factors are a third party's reading of fal's page, which allows 5 GB at most.
        "flux-2": Price(0.021, lora_steps=((2, 1.5), (3, 2.0), (4, 2.5))),
    }
)


def estimate(request: GenerationRequest, lora_bytes: int = 0) -> float:
    """US dollars that the request will cost; `lora_bytes` is the size of all its LoRA files."""
    return _dollars(request, request.billed_megapixels, lora_bytes)


def cost(request: GenerationRequest, billable_units: float | None, lora_bytes: int = 0) -> float:
    """US dollars that a finished request has cost.

    `billable_units` are the megapixels of fal's `X-Fal-Billable-Units`; without them, or where they
    are no amount, this is the estimate.
    """
    if billable_units is None or not math.isfinite(billable_units) or billable_units < 0:
        return estimate(request, lora_bytes)
    return _dollars(request, billable_units, lora_bytes)


def _dollars(request: GenerationRequest, units: float, lora_bytes: int) -> float:
    return round(units * PRICES[request.model].with_loras(lora_bytes), 6)
