"""Applies LoRAs to a FLUX.1 pipeline through diffusers and peft.

The only thing that a renderer asks for is `apply`: make these LoRAs, and no others, take effect.
"""

import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from backends.base import LoraFile, Preparing
from backends.errors import LoraRejected
from backends.local.lora_files import LoraWeights, read_lora
from backends.local.lora_names import LayerNames

TextState = tuple[tuple[str, float], ...]
"""Which LoRAs change the text encoder and how much: prompts are encoded anew when it changes."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    nbytes: int
    changes_text: bool


class PeftLoras:
    """Keeps LoRAs loaded as peft adapters and switches between them.

    Those in use are never unloaded; others go, the least recently used first, when all together
    exceed `budget` bytes. Weights are kept in the dtype of the model.
    """

    def __init__(self, pipeline: Any, names: LayerNames, budget: int) -> None:
        self._pipeline = pipeline
        self._names = names
        self._budget = budget
        self._loaded: OrderedDict[str, _Loaded] = OrderedDict()

    def apply(self, loras: Sequence[LoraFile], report: Callable[[Preparing], None]) -> TextState:
        """Make exactly these LoRAs take effect, each at its scale.

        `report` is called before each file that has to be loaded and may raise to stop there.

        The same file named twice counts with the sum of its scales; a scale of 0 is the same as
        not naming it. The order in which they are named changes nothing.

        Raises:
            LoraRejected: one of them does not fit the model or changes nothing.
        """
        scales: dict[str, float] = {}
        for lora in loras:
            scales[lora.sha256] = scales.get(lora.sha256, 0.0) + lora.scale
        # Sums of floats depend on their order, so the order is the files' own.
        wanted = {sha: scale for sha, scale in sorted(scales.items()) if scale != 0}
        for lora in loras:
            if lora.sha256 in wanted and lora.sha256 not in self._loaded:
                report(Preparing(f"loading the LoRA {lora.name}"))
                self._load(lora, keep=wanted)
        for sha in wanted:
            self._loaded.move_to_end(sha)
        if not wanted:
            if self._loaded:
                self._pipeline.disable_lora()
            return ()
        self._pipeline.enable_lora()
        self._pipeline.set_adapters([_adapter(sha) for sha in wanted], list(wanted.values()))
        return tuple((sha, wanted[sha]) for sha in wanted if self._loaded[sha].changes_text)

    def _load(self, lora: LoraFile, keep: dict[str, float]) -> None:
        weights = read_lora(lora.path, lora.name, self._names, self._pipeline.transformer.dtype)
        self._make_room(weights.nbytes, keep)
        adapter = _adapter(lora.sha256)
        try:
            with warnings.catch_warnings():
                # peft warns that there are other adapters already, and about its guess at layers.
                warnings.simplefilter("ignore")
                self._pipeline.load_lora_weights(_state_dict(weights), adapter_name=adapter)
            self._check_applied(weights, lora)
        except BaseException:
            self._pipeline.delete_adapters(adapter)
            raise
        self._loaded[lora.sha256] = _Loaded(weights.nbytes, bool(weights.parts["text_encoder"]))

    def _make_room(self, nbytes: int, keep: dict[str, float]) -> None:
        for sha in [sha for sha in self._loaded if sha not in keep]:
            if sum(loaded.nbytes for loaded in self._loaded.values()) + nbytes <= self._budget:
                break
            self._pipeline.delete_adapters(_adapter(sha))
            del self._loaded[sha]

    def _check_applied(self, weights: LoraWeights, lora: LoraFile) -> None:
        """Refuse what diffusers left out, which it would only say in its log."""
        missing = 0
        for part, changes in weights.parts.items():
            applied = {
                name
                for name, layer in getattr(self._pipeline, part).named_modules()
                if _adapter(lora.sha256) in getattr(layer, "lora_A", ())
            }
            missing += len(changes.keys() - applied)
        if missing:
            raise LoraRejected(lora.name, f"{missing} of its layers could not be applied.")


def _adapter(sha256: str) -> str:
    # No dots, and no name that is part of another one or of a layer's.
    return f"lora_{sha256[:12]}"


def _state_dict(weights: LoraWeights) -> dict[str, torch.Tensor]:
    return {
        f"{part}.{layer}.lora_{letter}.weight": tensor
        for part, changes in weights.parts.items()
        for layer, factors in changes.items()
        for letter, tensor in (("A", factors.down), ("B", factors.up))
    }
