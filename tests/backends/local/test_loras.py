"""Applying LoRAs: the same effect in every layout, and switching between many of them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FluxPipeline
from torch import Tensor

from backends.base import LoraFile
from backends.errors import LoraRejected
from backends.local.lora_files import read_lora
from backends.local.lora_names import LayerNames
from backends.local.loras import PeftLoras
from tests.fakes.lora_layouts import LAYOUTS, Tensors, broken, prefixed, underscored, xlabs
from tests.fakes.tiny_flux import random_lora


@pytest.fixture(scope="module")
def loaded(tiny_flux: Path) -> Any:
    pipeline = FluxPipeline.from_pretrained(tiny_flux, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture
def pipeline(loaded: Any) -> Iterator[Any]:
    yield loaded
    loaded.unload_lora_weights()


@pytest.fixture
def loras(pipeline: Any, names: LayerNames) -> PeftLoras:
    return PeftLoras(pipeline, names, budget=2**30)


def draw(pipeline: Any) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    options = {"num_inference_steps": 2, "generator": generator, "output_type": "latent"}
    latents: Tensor = pipeline("a red circle", width=64, height=64, **options).images
    return latents


def silent(_event: object) -> None:
    pass


def scaled(lora: LoraFile, scale: float) -> LoraFile:
    return LoraFile(lora.name, lora.sha256, lora.path, scale)


# --- Layouts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_has_the_effect_of_diffusers_own(
    layout: str,
    pipeline: Any,
    loras: PeftLoras,
    reference: Tensors,
    write: Callable[..., LoraFile],
) -> None:
    base = draw(pipeline)
    loras.apply([write(prefixed("transformer.", reference))], silent)
    expected = draw(pipeline)
    loras.apply([write(LAYOUTS[layout](reference))], silent)
    assert torch.equal(draw(pipeline), expected)
    assert (expected - base).abs().mean() > 0.01


def test_the_xlabs_layout_has_the_effect_of_diffusers_own(
    pipeline: Any, loras: PeftLoras, reference: Tensors, write: Callable[..., LoraFile]
) -> None:
    attention = {name: t for name, t in reference.items() if ".attn." in name}
    attention |= {name: t for name, t in reference.items() if "blocks.1.proj_out" in name}
    attention = {n: t for n, t in attention.items() if not n.startswith("single") or "1." in n}
    loras.apply([write(attention)], silent)
    expected = draw(pipeline)
    loras.apply([write(xlabs(reference))], silent)
    assert torch.equal(draw(pipeline), expected)


# --- Strength ---------------------------------------------------------------------------------


def test_an_alpha_of_half_the_rank_is_half_the_scale(
    pipeline: Any, loras: PeftLoras, reference: Tensors, write: Callable[..., LoraFile]
) -> None:
    loras.apply([write(reference, 0.5)], silent)
    expected = draw(pipeline)
    halved = {
        name: tensor / 2 if name.endswith("alpha") else tensor
        for name, tensor in underscored("lora_unet_", reference).items()
    }
    loras.apply([write(halved)], silent)
    assert torch.equal(draw(pipeline), expected)


def test_layers_of_different_ranks_all_count_in_full(
    pipeline: Any, loras: PeftLoras, reference: Tensors, write: Callable[..., LoraFile]
) -> None:
    loras.apply([write(reference)], silent)
    expected = draw(pipeline)
    padded = dict(reference)  # the same change with rank 8, the other half being zero
    down, up = padded["proj_out.lora_A.weight"], padded["proj_out.lora_B.weight"]
    padded["proj_out.lora_A.weight"] = torch.cat((down, torch.zeros_like(down)))
    padded["proj_out.lora_B.weight"] = torch.cat((up, torch.ones_like(up)), dim=1)
    loras.apply([write(padded)], silent)
    assert torch.allclose(draw(pipeline), expected, atol=1e-5)


# --- Switching --------------------------------------------------------------------------------


def test_scale_zero_is_the_same_as_no_lora_bit_by_bit(
    pipeline: Any, loras: PeftLoras, reference: Tensors, write: Callable[..., LoraFile]
) -> None:
    base = draw(pipeline)
    lora = write(reference)
    loras.apply([lora], silent)
    assert not torch.equal(draw(pipeline), base)
    loras.apply([scaled(lora, 0)], silent)
    assert torch.equal(draw(pipeline), base)
    loras.apply([lora], silent)
    loras.apply([], silent)
    assert torch.equal(draw(pipeline), base)


def test_only_the_loras_of_the_request_take_effect_whatever_was_loaded_before(
    pipeline: Any, loras: PeftLoras, write: Callable[..., LoraFile]
) -> None:
    first = write(random_lora(pipeline.transformer, seed=1), 0.5)
    second = write(random_lora(pipeline.transformer, seed=2), -0.5)
    loras.apply([first], silent)
    alone = draw(pipeline)
    loras.apply([first, second], silent)
    both = draw(pipeline)
    loras.apply([second], silent)
    assert not torch.equal(draw(pipeline), alone)
    loras.apply([first], silent)
    assert torch.equal(draw(pipeline), alone)
    loras.apply([second, first], silent)
    assert torch.equal(draw(pipeline), both)
    assert not torch.equal(both, alone)


def test_the_same_lora_twice_counts_with_the_sum_of_its_scales(
    pipeline: Any, loras: PeftLoras, reference: Tensors, write: Callable[..., LoraFile]
) -> None:
    base = draw(pipeline)
    lora = write(reference)
    loras.apply([scaled(lora, 0.75)], silent)
    expected = draw(pipeline)
    loras.apply([scaled(lora, 0.5), scaled(lora, 0.25)], silent)
    assert torch.equal(draw(pipeline), expected)
    loras.apply([scaled(lora, 1), scaled(lora, -1)], silent)
    assert torch.equal(draw(pipeline), base)


def test_the_least_recently_used_loras_are_unloaded_beyond_the_budget(
    pipeline: Any, names: LayerNames, write: Callable[..., LoraFile]
) -> None:
    files = [write(random_lora(pipeline.transformer, seed=seed)) for seed in range(3)]
    size = read_lora(files[0].path, "any", names, torch.float32).nbytes
    loras = PeftLoras(pipeline, names, budget=2 * size)
    adapters = [f"lora_{file.sha256[:12]}" for file in files]

    def resident() -> set[str]:
        return {name for names in pipeline.get_list_adapters().values() for name in names}

    pictures = []
    for file in files[:2]:
        loras.apply([file], silent)
        pictures.append(draw(pipeline))
    loras.apply([files[0]], silent)
    loras.apply([files[2]], silent)
    assert resident() == {adapters[0], adapters[2]}
    loras.apply(files, silent)  # all are in use, so none can go
    assert resident() == set(adapters)
    loras.apply([files[1]], silent)
    assert torch.equal(draw(pipeline), pictures[1])


def test_the_text_state_tells_when_prompts_must_be_encoded_anew(
    pipeline: Any, loras: PeftLoras, write: Callable[..., LoraFile]
) -> None:
    plain = write(random_lora(pipeline.transformer, seed=1))
    clip = write(
        prefixed("text_encoder.", random_lora(pipeline.text_encoder, seed=2))
        | prefixed("transformer.", random_lora(pipeline.transformer, seed=3))
    )

    def embedding() -> Tensor:
        pooled: Tensor = pipeline.encode_prompt("a red circle", max_sequence_length=16)[1]
        return pooled

    base = embedding()
    assert loras.apply([plain], silent) == ()
    assert torch.equal(embedding(), base)
    full = loras.apply([clip, plain], silent)
    assert full == ((clip.sha256, 1.0),)
    changed = embedding()
    assert not torch.equal(changed, base)
    assert loras.apply([scaled(clip, 0.5)], silent) == ((clip.sha256, 0.5),)
    assert not torch.equal(embedding(), changed)
    assert loras.apply([], silent) == ()
    assert torch.equal(embedding(), base)


def test_a_lora_for_the_text_encoder_alone_works_by_itself_and_beside_others(
    pipeline: Any, loras: PeftLoras, write: Callable[..., LoraFile]
) -> None:
    base = draw(pipeline)
    text = write(prefixed("lora_te1_", random_lora(pipeline.text_encoder, seed=2)))
    plain = write(random_lora(pipeline.transformer, seed=1))
    assert loras.apply([text], silent) == ((text.sha256, 1.0),)
    alone = draw(pipeline)
    assert not torch.equal(alone, base)
    loras.apply([text, plain], silent)
    assert not torch.equal(draw(pipeline), alone)
    loras.apply([text], silent)
    assert torch.equal(draw(pipeline), alone)
    loras.apply([], silent)
    assert torch.equal(draw(pipeline), base)


# --- Refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("a stranger", r"1 of its 18 layers does not fit FLUX\.1 \(first: “lora_unet_input_blocks"),
        ("another width", r"1 of its 17 layers does not fit FLUX\.1 \(first: “lora_unet_double_b"),
        ("another depth", r"1 of its 18 layers does not fit FLUX\.1 .*double_blocks_7"),
        ("one half", "1 of its 17 layers does not fit"),
        ("not a matrix", "1 of its 17 layers does not fit"),
        ("a bias", "1 of its 17 layers does not fit"),
        ("T5", "1 of its 18 layers does not fit .*text_encoder_2"),
        ("NaN", "lora_up.weight” holds values that are not numbers"),
        ("infinite alpha", "alpha” holds values that are not numbers"),
        ("DoRA", "it is a DoRA, and only plain LoRAs"),
        ("DoRA of peft", "it is a DoRA, and only plain LoRAs"),
        ("LoKr", "it is a LoKr, and only plain LoRAs"),
        ("LoHa", "it is a LoHa, and only plain LoRAs"),
        ("twice", r"it describes the layer \S+ twice"),
        ("zero", "it changes nothing"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_reason_and_leaves_the_model_as_it_was(
    how: str,
    said: str,
    pipeline: Any,
    loras: PeftLoras,
    reference: Tensors,
    write: Callable[..., LoraFile],
) -> None:
    base = draw(pipeline)
    with pytest.raises(LoraRejected, match=f"^The LoRA ghibli cannot be used: .*{said}"):
        loras.apply([write(broken(reference, how))], silent)
    assert torch.equal(draw(pipeline), base)
    assert not pipeline.get_list_adapters()


def test_a_lora_that_diffusers_would_not_apply_is_refused(
    pipeline: Any,
    loras: PeftLoras,
    reference: Tensors,
    write: Callable[..., LoraFile],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pipeline, "load_lora_weights", lambda *_args, **_kwargs: None)
    with pytest.raises(LoraRejected, match="24 of its layers could not be applied"):
        loras.apply([write(reference)], silent)
