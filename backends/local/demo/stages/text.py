"""Stage 2: both text encoders learn to say what a caption says, then stay frozen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
)

from backends.local.demo.architecture import CLIP_TOKENS, T5_TOKENS, TEXT_WIDTH
from backends.local.demo.stages.captions import leave_out, phrase
from backends.local.demo.stages.pictures import random_sample
from backends.local.demo.vocabulary import COLOURS, OBJECTS, PLACES, SIZES, Words
from backends.local.demo.words_to_tokens import (
    BEGIN,
    END,
    PAD,
    clip_tokenizer,
    t5_tokenizer,
    vocabulary,
)

_ATTRIBUTES: dict[str, tuple[str | None, ...]] = {
    "shape": (None, *OBJECTS),
    "colour": (None, *COLOURS),
    "background": (None, *COLOURS),
    "place": (None, *PLACES),
    "size": (None, *SIZES),
}


def train(folder: Path, seed: int, steps: int, threads: int) -> None:
    """Writes tokenizer, tokenizer_2, text_encoder and text_encoder_2 into ``folder``."""
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    clip, t5 = _new_encoders()
    tokenizers = clip_tokenizer(), t5_tokenizer()
    captions, labels = _material(np.random.default_rng(seed), 30_000)
    ids = [
        _ids(tokenizer, captions, T5_TOKENS + 8 if i == 0 else T5_TOKENS)
        for i, tokenizer in enumerate(tokenizers)
    ]
    heads = nn.ModuleList(
        nn.Linear(TEXT_WIDTH, len(values)) for values in _ATTRIBUTES.values() for _ in (0, 1)
    )
    parameters = [*clip.parameters(), *t5.parameters(), *heads.parameters()]
    optimiser = torch.optim.AdamW(parameters, 3e-3, (0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, steps, pct_start=0.1)
    held_out = 2_000
    for step in range(steps):
        rows = torch.randint(held_out, len(captions), (128,))
        losses = _losses(clip, t5, heads, ids[0][rows], ids[1][rows], labels[rows])
        torch.autograd.backward(losses.mean())
        optimiser.step()
        schedule.step()
        optimiser.zero_grad(set_to_none=True)
        if step % 200 == 0:
            print(f"text {step} loss {losses.mean().item():.4f}", flush=True)
    with torch.no_grad():
        rows = torch.arange(held_out)
        right = _right(clip, t5, heads, ids[0][rows], ids[1][rows], labels[rows])
    print(
        "text held out, pooled and every T5 token: " + ", ".join(f"{x:.2%}" for x in right),
        flush=True,
    )
    for part, name in (
        (clip, "text_encoder"),
        (t5, "text_encoder_2"),
        (tokenizers[0], "tokenizer"),
        (tokenizers[1], "tokenizer_2"),
    ):
        part.save_pretrained(folder / name)


class Encoders:
    """The frozen pair, as the pipeline will use it."""

    def __init__(self, folder: Path) -> None:
        self._clip = CLIPTextModel.from_pretrained(folder / "text_encoder").eval()
        self._t5 = T5EncoderModel.from_pretrained(folder / "text_encoder_2").eval()
        self._tokenizers = clip_tokenizer(), t5_tokenizer()

    @torch.no_grad()
    def encode(self, captions: list[str]) -> tuple[Tensor, Tensor]:
        """(batch x 16 x 64 sequence, batch x 64 pooled), the same as the pipeline computes.

        CLIP's attention is causal, so that padding after the end cannot matter to the pooled row.
        """
        longest = max(len(caption.split()) for caption in captions) + 2
        clip_ids = _ids(self._tokenizers[0], captions, min(longest, CLIP_TOKENS))
        t5_ids = _ids(self._tokenizers[1], captions, T5_TOKENS)
        return self._t5(t5_ids)[0], self._clip(clip_ids).pooler_output


def _new_encoders() -> tuple[CLIPTextModel, T5EncoderModel]:
    known = vocabulary()
    clip = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(known),
            hidden_size=TEXT_WIDTH,
            intermediate_size=2 * TEXT_WIDTH,
            projection_dim=TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=CLIP_TOKENS,
            pad_token_id=known[PAD],
            bos_token_id=known[BEGIN],
            eos_token_id=known[END],
        )
    )
    t5 = T5EncoderModel(
        T5Config(
            vocab_size=len(known),
            d_model=TEXT_WIDTH,
            d_kv=TEXT_WIDTH // 4,
            d_ff=2 * TEXT_WIDTH,
            num_layers=2,
            num_heads=4,
            dropout_rate=0.0,
            pad_token_id=known[PAD],
            eos_token_id=known[END],
        )
    )
    return clip, t5


def _material(rng: np.random.Generator, count: int) -> tuple[list[str], Tensor]:
    captions, labels = [], []
    for _ in range(count):
        sample = random_sample(rng, (128, 128), 0.5)
        words = Words() if rng.random() < 0.04 else leave_out(rng, sample.words)
        captions.append(phrase(rng, words))
        labels.append([values.index(getattr(words, name)) for name, values in _ATTRIBUTES.items()])
    return captions, torch.tensor(labels)


def _ids(tokenizer: PreTrainedTokenizerFast, captions: list[str], length: int) -> Tensor:
    ids: Tensor = tokenizer(
        captions, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
    ).input_ids
    return ids


def _logits(
    clip: CLIPTextModel, t5: T5EncoderModel, heads: nn.ModuleList, clip_ids: Tensor, t5_ids: Tensor
) -> list[Tensor]:
    pooled = clip(clip_ids).pooler_output
    sequence = t5(t5_ids)[0]
    return [head(sequence if index % 2 else pooled[:, None]) for index, head in enumerate(heads)]


def _losses(
    clip: CLIPTextModel,
    t5: T5EncoderModel,
    heads: nn.ModuleList,
    clip_ids: Tensor,
    t5_ids: Tensor,
    labels: Tensor,
) -> Tensor:
    logits = _logits(clip, t5, heads, clip_ids, t5_ids)
    return torch.stack(
        [
            functional.cross_entropy(
                each.flatten(0, 1), labels[:, index // 2, None].expand(-1, each.shape[1]).flatten()
            )
            for index, each in enumerate(logits)
        ]
    )


def _right(
    clip: CLIPTextModel,
    t5: T5EncoderModel,
    heads: nn.ModuleList,
    clip_ids: Tensor,
    t5_ids: Tensor,
    labels: Tensor,
) -> list[float]:
    logits = _logits(clip, t5, heads, clip_ids, t5_ids)
    return [
        float((each.argmax(-1) == labels[:, index // 2, None]).all(1).float().mean())
        for index, each in enumerate(logits)
    ]
