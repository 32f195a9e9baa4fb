"""How long a job will take, learned from past jobs of its shape."""

from typing import Final

from backends.base import GenerationRequest
from bot.jobs.scheduler import cost

_WEIGHT_OF_NEWEST: Final = 0.3
_MOST_SHAPES: Final = 512


class Estimator:
    """Moving averages of seconds, by exact shape and, for new shapes, by megapixel step.

    The overhead of a job (loading LoRAs, saving) is in the average, so a shape that was seen is
    estimated better than one that was not.
    """

    def __init__(self) -> None:
        self._by_shape: dict[tuple[object, ...], float] = {}
        self._per_cost: dict[tuple[str, str], float] = {}

    def learn(self, backend: str, request: GenerationRequest, seconds: float) -> None:
        """Take in what one job took on its backend."""
        shape = _shape(backend, request)
        known = self._by_shape.pop(shape, None)
        self._by_shape[shape] = _blend(known, seconds)  # newest last
        if len(self._by_shape) > _MOST_SHAPES:
            del self._by_shape[next(iter(self._by_shape))]
        rate = seconds / cost(request)
        key = (backend, request.model)
        self._per_cost[key] = _blend(self._per_cost.get(key), rate)

    def seconds(self, backend: str, request: GenerationRequest) -> float | None:
        """What such a job takes, or None while nothing is known about this backend and model."""
        if (known := self._by_shape.get(_shape(backend, request))) is not None:
            return known
        rate = self._per_cost.get((backend, request.model))
        return None if rate is None else rate * cost(request)


def _shape(backend: str, request: GenerationRequest) -> tuple[object, ...]:
    size = request.image_size
    return (
        backend,
        request.model,
        size.width,
        size.height,
        request.num_inference_steps,
        request.num_images,
        len(request.loras),
        request.acceleration,
    )


def _blend(known: float | None, value: float) -> float:
    return value if known is None else known + _WEIGHT_OF_NEWEST * (value - known)
