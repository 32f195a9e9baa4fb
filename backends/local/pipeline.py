"""Draws with a FLUX.1 pipeline: the `Renderer` that the drawing process runs."""

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import torch
from PIL.Image import Image
from torch import Tensor

from backends.base import (
    GenerationRequest,
    ImageSize,
    LoraFile,
    Picture,
    Preparing,
    Rendered,
    Started,
)
from backends.errors import ModelUnavailable, OutOfMemory
from backends.local import safety
from backends.local.download import CLASSIFIER, PIPELINE, find_or_fetch
from backends.local.encoding import encode
from backends.local.families import (
    CARD_NAME,
    FLUX_1,
    ModelCard,
    RendererSettings,
    check_folder,
    drawn_size,
    local_folder,
    read_card,
)
from backends.local.loading import choose_device, load_pipeline
from backends.local.lora_names import LayerNames
from backends.local.loras import PeftLoras, TextState
from backends.local.preview import LatentPreview
from backends.local.renderer import Emit
from backends.local.steps import Steps

_PROMPTS_KEPT: Final = 8
_SEEDS: Final = 2**53 - 4
"""Chosen seeds, and those of the pictures after the first, stay exact in JavaScript."""


@dataclass(frozen=True, slots=True)
class _Model:
    """Everything that stays in memory between requests."""

    name: str
    card: ModelCard
    pipeline: Any
    loras: PeftLoras
    preview: LatentPreview
    checker: safety.SafetyChecker


@dataclass(frozen=True, slots=True)
class _Embeddings:
    """An encoded prompt: T5's sequence and CLIP's pooled vector."""

    sequence: Tensor
    pooled: Tensor


class _Clock:
    """Adds up seconds by stage."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(
            ("load", "loras", "encode", "denoise", "decode", "safety", "save"), 0.0
        )

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.add(stage, time.perf_counter() - began)

    def add(self, stage: str, seconds: float) -> None:
        self.seconds[stage] += seconds


class FluxRenderer:
    """Draws one picture after the other, each from its own seed on the CPU's generator.

    So the same request gives the same bytes on the same machine, and a picture does not depend on
    how many are drawn with it (a batch would save FLUX nothing). Not for use by several threads.
    """

    def __init__(self, settings: Mapping[str, object]) -> None:
        """Take the fields of `RendererSettings`; nothing is loaded yet."""
        self._settings = RendererSettings.model_validate(settings)
        self._model: _Model | None = None
        self._prompts: OrderedDict[tuple[str, TextState], _Embeddings] = OrderedDict()

    def load(self, emit: Emit) -> None:
        """See `Renderer.load`."""
        self._loaded(emit)

    def render(
        self,
        request: GenerationRequest,
        loras: Sequence[LoraFile],
        emit: Emit,
        cancelled: Callable[[], bool],
    ) -> Rendered:
        """See `Renderer.render`; `timings` has seconds for load, loras, encode, denoise, decode,
        safety and save."""
        clock = _Clock()
        with clock("load"):
            model = self._loaded(emit)
        if request.seed is None:
            request = request.model_copy(update={"seed": secrets.randbelow(_SEEDS)})
        patch = 2 * model.pipeline.vae_scale_factor
        size = drawn_size(request.image_size, multiple=patch, native=model.card.native_sizes)
        steps = Steps(
            emit,
            cancelled,
            total=request.num_inference_steps * request.num_images,
            preview=model.preview,
            interval=self._settings.preview_interval,
            size=size,
            patch=patch,
        )
        with _memory_errors(size, loras):
            steps.check()
            with clock("loras"):
                text_state = model.loras.apply(loras, steps.report)
            steps.check()
            with clock("encode"):
                prompt = self._encoded(model, request.prompt, text_state)
            emit(Started())
            pictures = tuple(
                self._picture(model, request, prompt, size, seed, steps, clock)
                for seed in request.seeds
            )
        hint = model.card.hint_for(request.prompt)
        return Rendered(pictures, request.prompt, model.name, clock.seconds, hint)

    def _loaded(self, emit: Emit) -> _Model:
        if self._model is None:
            self._model = _load(self._settings, emit)
        return self._model

    def _encoded(self, model: _Model, prompt: str, text_state: TextState) -> _Embeddings:
        key = (hashlib.sha256(prompt.encode()).hexdigest(), text_state)
        if key not in self._prompts:
            with torch.no_grad():
                sequence, pooled, _ = model.pipeline.encode_prompt(
                    prompt, max_sequence_length=model.card.max_sequence_length
                )
            self._prompts[key] = _Embeddings(sequence, pooled)
            if len(self._prompts) > _PROMPTS_KEPT:
                self._prompts.popitem(last=False)
        self._prompts.move_to_end(key)
        return self._prompts[key]

    def _picture(
        self,
        model: _Model,
        request: GenerationRequest,
        prompt: _Embeddings,
        size: ImageSize,
        seed: int,
        steps: Steps,
        clock: _Clock,
    ) -> Picture:
        began = time.perf_counter()
        image = _draw(model.pipeline, request, prompt, size, seed, steps)
        clock.add("denoise", steps.ended - began)
        clock.add("decode", time.perf_counter() - steps.ended)
        with clock("safety"):
            checked = request.enable_safety_checker
            check = model.checker.check(image) if checked else safety.UNCHECKED
        with clock("save"):
            data = encode(image, request.output_format)
        return Picture(data, request.output_format, *image.size, seed, check.verdict, check.score)


def _draw(
    pipeline: Any,
    request: GenerationRequest,
    prompt: _Embeddings,
    size: ImageSize,
    seed: int,
    steps: Steps,
) -> Image:
    try:
        with steps.watching(pipeline.transformer):
            result = pipeline(
                prompt_embeds=prompt.sequence,
                pooled_prompt_embeds=prompt.pooled,
                width=size.width,
                height=size.height,
                num_inference_steps=request.num_inference_steps,
                guidance_scale=request.guidance_scale,
                # The CPU's generator, so that the noise does not depend on the graphics card.
                generator=torch.Generator("cpu").manual_seed(seed),
                callback_on_step_end=steps.on_step_end,
            )
    except BaseException:
        pipeline.maybe_free_model_hooks()  # what an offloaded pipeline does at its ordinary end
        raise
    image: Image = result.images[0]
    return image


def _load(settings: RendererSettings, emit: Emit) -> _Model:
    fetch = partial(find_or_fetch, token=settings.hf_token, emit=emit)
    device = choose_device(settings.device)
    folder = fetch(settings.model, PIPELINE, setting="ATELIER_LOCAL_MODEL")
    check_folder(folder)
    card = read_card(folder)
    name = card.name or (folder.name if local_folder(settings.model) else settings.model)
    emit(Preparing(f"loading {name}"))
    pipeline = load_pipeline(folder, device)
    names = LayerNames(card.name or FLUX_1.name, pipeline.transformer, pipeline.text_encoder)
    preview = _preview(card, pipeline, device)
    own_checker = str(folder / card.safety) if card.safety else safety.DEFAULT_MODEL
    checker = safety.SafetyChecker(
        lambda: fetch(
            settings.safety_model or own_checker, CLASSIFIER, setting="ATELIER_SAFETY_MODEL"
        ),
        threshold=settings.safety_threshold,
        labels=settings.safety_labels,
        device=str(device),
    )
    checker.load()
    loras = PeftLoras(pipeline, names, settings.lora_cache_bytes)
    return _Model(name, card, pipeline, loras, preview, checker)


def _preview(card: ModelCard, pipeline: Any, device: torch.device) -> LatentPreview:
    if not card.preview:
        preview = LatentPreview.fit(pipeline.vae, device)
        pipeline.maybe_free_model_hooks()
        return preview
    rows = pipeline.transformer.config.in_channels // 4 + 1
    if len(card.preview) != rows:
        raise ModelUnavailable(
            f"preview in {CARD_NAME} has {len(card.preview)} rows, but this model needs {rows}, "
            "one a latent channel and one to add; correct it or leave it out."
        )
    return LatentPreview(card.preview)


@contextmanager
def _memory_errors(size: ImageSize, loras: Sequence[LoraFile]) -> Iterator[None]:
    """Turn an exhausted memory into a sentence."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # On the CPU torch only says so: "DefaultCPUAllocator: can't allocate memory".
        exhausted = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not exhausted and "allocate memory" not in str(error):
            raise
        fewer = " or fewer LoRAs" if loras else ""
        raise OutOfMemory(
            f"A picture of {size} pixels does not fit into this machine's memory; use a smaller "
            f"size{fewer}."
        ) from None
