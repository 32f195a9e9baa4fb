"""The safety checker: an image classifier of transformers, its labels and a threshold.

It fails closed: whatever goes wrong, the verdict is `unchecked`, which every surface treats as
flagged.
"""

import logging
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
import transformers
from PIL.Image import Image

from backends.base import Verdict

DEFAULT_MODEL: Final = "Falconsai/nsfw_image_detection"
"""A ViT-B with the labels `normal` and `nsfw`; FLUX.1's own demos use it with 0.85 too."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Check:
    """A verdict and, where the classifier gave one, its score from 0 to 1."""

    verdict: Verdict
    score: float | None = None


UNCHECKED: Final = Check(Verdict.UNCHECKED)


class SafetyChecker:
    """Judges one picture at a time, so that a verdict never depends on its neighbours.

    `find` returns the model's folder and may download it. It is called on first use and once only:
    when it or the model fails, that is logged and every picture stays unchecked.
    """

    def __init__(
        self,
        find: Callable[[], Path],
        *,
        threshold: float,
        labels: Sequence[str],
        device: str = "cpu",
    ) -> None:
        self._find = find
        self._threshold = threshold
        self._labels = frozenset(label.lower() for label in labels)
        self._device = device
        self._model: Any = None
        self._processor: Any = None
        self._positive: list[int] = []
        self._loaded = False
        self._complained = False

    def load(self) -> None:
        """Bring the classifier into memory; calling it again does nothing. Never raises."""
        if self._loaded:
            return
        self._loaded = True
        try:
            folder = self._find()
            processor = transformers.AutoImageProcessor.from_pretrained(
                folder, local_files_only=True
            )
            model = transformers.AutoModelForImageClassification.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
            )
            self._positive = _positions(model.config.id2label, self._labels)
            self._model = model.eval().to(self._device)
            self._processor = processor
        except Exception as error:  # noqa: BLE001 - whatever fails, pictures stay unchecked
            self._complain("cannot be loaded", error)

    def check(self, image: Image) -> Check:
        """Judge one picture; the score is the probability of all positive labels together."""
        self.load()
        if self._model is None:
            return UNCHECKED
        try:
            pixels = self._processor(images=image, return_tensors="pt")["pixel_values"]
            with torch.inference_mode():
                logits = self._model(pixel_values=pixels.to(self._device)).logits[0].float()
            score = float(logits.softmax(-1)[self._positive].sum())
        except Exception as error:  # noqa: BLE001 - whatever fails, pictures stay unchecked
            self._complain("failed", error)
            return UNCHECKED
        if not 0 <= score <= 1.001:  # also refuses NaN
            self._complain("failed", ValueError(f"its score is {score}"))
            return UNCHECKED
        flagged = score > self._threshold
        return Check(Verdict.FLAGGED if flagged else Verdict.CLEAR, min(score, 1.0))

    def _complain(self, what: str, error: Exception) -> None:
        if not self._complained:
            self._complained = True
            _log.warning(
                "The safety checker %s, so pictures stay unchecked: %s: %s",
                what,
                type(error).__name__,
                error,
            )


def _positions(labels: Mapping[int, str], positive: Set[str]) -> list[int]:
    found = [index for index, label in labels.items() if label.lower() in positive]
    if not found:
        raise ValueError(
            f"none of its labels {sorted(labels.values())} is among {sorted(positive)}"
        )
    return found
