"""Follows the denoising loop of one job: progress, previews and cancellation."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from backends.base import ImageSize, Preparing, Step
from backends.errors import BackendError
from backends.local.preview import LatentPreview, predicted_clean, unpack
from backends.local.renderer import Emit, RenderCancelled


class Steps:
    """Counts steps from 1 to `total` over all pictures and reports each of them.

    Use `watching` around every call of the pipeline and give it `on_step_end` as its callback.
    """

    def __init__(
        self,
        emit: Emit,
        cancelled: Callable[[], bool],
        *,
        total: int,
        preview: LatentPreview,
        interval: float,
        size: ImageSize,
        patch: int,
    ) -> None:
        self._emit = emit
        self._cancelled = cancelled
        self._total = total
        self._preview = preview
        self._interval = interval
        self._size = size
        self._grid = (2 * (size.height // patch), 2 * (size.width // patch))
        self._done = 0
        self._next_preview = 0.0
        self._seen: tuple[Tensor, Tensor] | None = None
        self.ended = time.perf_counter()
        """When the latest step was over."""

    def report(self, event: Preparing) -> None:
        """Report anything that comes before the steps, unless the job was cancelled."""
        self.check()
        self._emit(event)

    def check(self) -> None:
        """Stop here if the job was cancelled.

        Raises:
            RenderCancelled: it was. The pipeline stays as good as new, unlike with its own
                `_interrupt`, which decodes the half-drawn picture.
        """
        if self._cancelled():
            raise RenderCancelled

    @contextmanager
    def watching(self, transformer: nn.Module) -> Iterator[None]:
        """Look into the transformer: before each block for cancellation, after it at the result."""
        blocks = (
            *transformer.get_submodule("transformer_blocks").children(),
            *transformer.get_submodule("single_transformer_blocks").children(),
        )
        hooks = [block.register_forward_pre_hook(self._before_block) for block in blocks]
        hooks.append(transformer.register_forward_hook(self._after_model, with_kwargs=True))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
            self._seen = None

    def on_step_end(
        self, pipeline: Any, index: int, _timestep: Any, values: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Report a step; diffusers calls it as `callback_on_step_end`.

        Raises:
            BackendError: the picture has become invalid numbers.
        """
        last = index + 1 == pipeline.num_timesteps
        if last and not values["latents"].isfinite().all():
            raise BackendError(
                "The picture fell apart into invalid numbers; lower the scales of the LoRAs."
            )
        self._done += 1
        preview = None if last else self._due_preview(pipeline.scheduler.sigmas[index])
        self.ended = time.perf_counter()
        self._emit(Step(self._done, self._total, preview))
        self.check()
        return {}

    def _before_block(self, _block: nn.Module, _inputs: object) -> None:
        self.check()

    def _after_model(
        self, _model: nn.Module, _inputs: object, named: Mapping[str, Any], output: tuple[Tensor]
    ) -> None:
        self._seen = (named["hidden_states"], output[0])

    def _due_preview(self, sigma: Tensor) -> bytes | None:
        now = time.monotonic()
        if now < self._next_preview or self._seen is None:
            return None
        self._next_preview = now + self._interval
        latents, velocity = self._seen
        clean = predicted_clean(latents, velocity, sigma)
        return self._preview.jpeg(unpack(clean, *self._grid), (self._size.width, self._size.height))
