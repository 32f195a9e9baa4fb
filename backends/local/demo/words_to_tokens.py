"""Word-level tokenizers for the demo model, built in code.

Both encoders see the same words: lower case, letters only, every other word is ``<unk>``. A byte
pair encoding would spell strange words out and push the known ones past the 16 tokens.
"""

from __future__ import annotations

from typing import Final

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from backends.local.demo.architecture import CLIP_TOKENS, T5_TOKENS
from backends.local.demo.vocabulary import COLOURS, PEPPER, PLACES, SHAPES, SIZES, SYNONYMS

PAD, UNKNOWN, BEGIN, END = "<pad>", "<unk>", "<s>", "</s>"
_GLUE: Final = (
    "a",
    "an",
    "the",
    "one",
    "at",
    "on",
    "in",
    "over",
    "with",
    "and",
    "pepper",
    "background",
)


def vocabulary() -> dict[str, int]:
    """Token -> id. The four special tokens are 0 to 3."""
    words = [*SHAPES, *COLOURS, *PLACES, *SIZES, *PEPPER.split(), *_GLUE]
    words += [other for group in SYNONYMS.values() for other in group]
    return {
        token: index
        for index, token in enumerate(dict.fromkeys((PAD, UNKNOWN, BEGIN, END, *words)))
    }


def clip_tokenizer() -> PreTrainedTokenizerFast:
    """``<s> words </s>``, up to 77 tokens."""
    return _tokenizer(CLIP_TOKENS, f"{BEGIN} $A {END}")


def t5_tokenizer() -> PreTrainedTokenizerFast:
    """``words </s>``, up to 16 tokens."""
    return _tokenizer(T5_TOKENS, f"$A {END}")


def _tokenizer(length: int, template: str) -> PreTrainedTokenizerFast:
    known = vocabulary()
    tokenizer = Tokenizer(models.WordLevel(known, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("[^a-z]+"), "removed")
    # A word of other letters only would vanish; that is right for punctuation and harmless here.
    tokenizer.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[(BEGIN, known[BEGIN]), (END, known[END])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=length,
        pad_token=PAD,
        unk_token=UNKNOWN,
        bos_token=BEGIN,
        eos_token=END,
        model_input_names=["input_ids"],
    )
