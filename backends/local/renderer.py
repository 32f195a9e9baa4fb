"""What the drawing process runs. Torch is imported only by the module that implements it."""

from collections.abc import Callable, Sequence
from typing import Protocol

from backends.base import GenerationRequest, LoraFile, Preparing, Rendered, Started, Step

Emit = Callable[[Preparing | Started | Step], None]
"""Reports what is going on. Returns at once, whatever the listener does."""


class RenderCancelled(Exception):
    """Raised out of `render` when `cancelled()` turned true; the renderer stays usable."""


class Renderer(Protocol):
    """Draws in the process that called it, one request at a time."""

    def load(self, emit: Emit) -> None:
        """Bring the model into memory; calling it again does nothing.

        Raises:
            ModelUnavailable: with a sentence saying what is missing and what to do.
        """
        ...

    def render(
        self,
        request: GenerationRequest,
        loras: Sequence[LoraFile],
        emit: Emit,
        cancelled: Callable[[], bool],
    ) -> Rendered:
        """Draw `num_images` pictures with seeds `seed`, `seed + 1`, …

        `cancelled` is asked at least once a step. A request without a seed gets a random one.

        Raises:
            BackendError: whatever a person should be told.
            RenderCancelled: when `cancelled()` said so.
        """
        ...
