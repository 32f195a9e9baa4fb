"""Presets, LoRAs and a prompt become one request. Pure: nothing is read, nothing is remembered.

One rule decides everything that is said more than once: **what is said later wins**. Presets are
said first, in the order of `dreamy+ink:0.6`; then LoRAs in the prompt, `<lora:ghibli:0.8>`; then
`--lora`. So `--lora` beats the prompt, and that beats every preset.

- LoRAs: each stands once, at the place where it was said first, with the scale that was said last.
  A preset's multiplier scales all LoRAs of that preset. A LoRA that is asked for without a scale
  keeps the one that it has, else it has 1. The scale 0 takes it out.
- Settings (size, steps, guidance, speed, seed, count): the last preset that says something.
- Templates: the first preset's is filled with the prompt, the next one's with the result.
- Trigger words of the LoRAs that stay are added to the end, in their order, unless the prompt
  holds them as whole words in any case.

The strictest licence cannot be told from names, so all are listed; the NSFW level is the highest.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from lora_registry.errors import BadComposition, either
from lora_registry.models import (
    FLUX_2_LORAS,
    NO_TRIGGERS,
    ChoiceVariable,
    LoraRecord,
    NumberVariable,
    PictureSize,
    PresetBody,
    RandomSeed,
    SeedPolicy,
    TextVariable,
    Variable,
    fill_blanks,
)
from lora_registry.revisions import require_family
from lora_registry.weights import FluxModel

T = TypeVar("T")

_SCALES: Final[Mapping[FluxModel, tuple[float, float]]] = {"flux-1": (-4, 4), "flux-2": (0, 4)}


@dataclass(frozen=True, slots=True)
class UsedPreset:
    """A preset in a composition; `name` is how people call it."""

    name: str
    body: PresetBody
    multiplier: float = 1.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A LoRA that was asked for by name; None for what its asker left open.

    `triggers` names one of its trigger sets, as in `PresetLora`.
    """

    record: LoraRecord
    scale: float | None = None
    triggers: str | None = None


@dataclass(frozen=True, slots=True)
class ComposedLora:
    """A LoRA of the result; `scale` is never 0."""

    sha256: str
    name: str
    scale: float
    triggers: str | None = None


@dataclass(frozen=True, slots=True)
class Composition:
    """What is to be drawn, and what was done to get there.

    `added` are the trigger words that the prompt lacked, `missing` the LoRAs left out because this
    instance does not know them. None leaves a setting to the model's default.
    """

    model: FluxModel
    prompt: str
    loras: tuple[ComposedLora, ...] = ()
    added: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    size: PictureSize | None = None
    steps: int | None = None
    guidance: float | None = None
    speed: str | None = None
    seed: SeedPolicy = field(default_factory=RandomSeed)
    count: int | None = None
    nsfw: int = 0
    licences: tuple[str, ...] = ()


def compose(
    prompt: str,
    *,
    presets: Sequence[UsedPreset] = (),
    inline: Sequence[Asked] = (),
    explicit: Sequence[Asked] = (),
    records: Mapping[str, LoraRecord] | None = None,
    values: Mapping[str, str] | None = None,
    model: FluxModel | None = None,
    architecture: FluxModel | None = None,
) -> Composition:
    """Merge everything by the rule at the top of the file.

    `records` are the presets' LoRAs by hash. `values` fill variables by name, in every preset that
    has one of the name. `model` is what the person chose; without it the presets' holds, else
    flux-1. `architecture` is the model whose LoRAs fit the weights that answer for `model`, where
    that is another one.

    Raises:
        BadComposition: says what does not go together and what to do.
    """
    known = records or {}
    chosen = _model(presets, model)
    weights = architecture or chosen
    what = "--model" if model is not None else "the model"
    if weights != chosen:
        what = f"the model that answers for {chosen} here"
    merged, missing = _from_presets(presets, known)
    everything = {**known, **{one.record.sha256: one.record for one in (*inline, *explicit)}}
    for asked in (*inline, *explicit):
        _ask(merged, asked)
    kept = tuple(lora for lora in merged.values() if lora.scale != 0)
    for lora in kept:
        require_family(lora.name, everything[lora.sha256], weights, what)
    _require_bounds(kept, chosen)
    text = fill_templates(prompt, presets, values or {})
    added = _missing_words(text, kept, everything)
    bodies = [used.body for used in presets]
    licences = [*(body.licence for body in bodies), *(everything[x.sha256].licence for x in kept)]
    levels = [*(body.nsfw for body in bodies), *(everything[x.sha256].nsfw for x in kept)]
    return Composition(
        model=chosen,
        prompt=", ".join((text, *added)),
        loras=kept,
        added=added,
        missing=tuple(missing),
        size=_last([body.size for body in bodies]),
        steps=_last([body.steps for body in bodies]),
        guidance=_last([body.guidance for body in bodies]),
        speed=_last([body.speed for body in bodies]),
        seed=_last([b.seed for b in bodies if b.seed.kind != "random"]) or RandomSeed(),
        count=_last([body.count for body in bodies]),
        nsfw=max(levels, default=0),
        licences=tuple(dict.fromkeys(licence for licence in licences if licence)),
    )


# --- LoRAs ------------------------------------------------------------------------------------


def _model(presets: Sequence[UsedPreset], model: FluxModel | None) -> FluxModel:
    for used in presets:
        if model is not None and used.body.model != model:
            raise BadComposition(
                f"{used.name} is for {used.body.model}; --model is {model}. "
                f"Choose {used.body.model} or another preset."
            )
        first = presets[0]
        if used.body.model != first.body.model:
            raise BadComposition(
                f"{first.name} is for {first.body.model} and {used.name} for {used.body.model}; "
                "they do not go together."
            )
    return model or (presets[0].body.model if presets else "flux-1")


def _from_presets(
    presets: Sequence[UsedPreset], known: Mapping[str, LoraRecord]
) -> tuple[dict[str, ComposedLora], list[str]]:
    merged: dict[str, ComposedLora] = {}
    missing = []
    for used in presets:
        for lora in used.body.loras:
            if lora.sha256 not in known:
                if lora.required:
                    raise BadComposition(
                        f"{used.name} needs the LoRA {lora.name}, which is not here; "
                        f"add it, or use another preset."
                    )
                missing.append(lora.name)
                continue
            # 0.8 * 0.6 is 0.48 to people.
            scale = round(lora.scale * used.multiplier, 6)
            name = known[lora.sha256].name
            merged[lora.sha256] = ComposedLora(lora.sha256, name, scale, lora.triggers)
    return merged, missing


def _ask(merged: dict[str, ComposedLora], asked: Asked) -> None:
    record = asked.record
    known = [one.name for one in record.triggers]
    if asked.triggers not in {None, NO_TRIGGERS, *known}:
        raise BadComposition(
            f"{record.name} has no trigger set {asked.triggers}; use "
            f"{either([*known, NO_TRIGGERS])}."
        )
    before = merged.get(record.sha256) or ComposedLora(record.sha256, record.name, 1.0)
    merged[record.sha256] = replace(
        before,
        scale=before.scale if asked.scale is None else asked.scale,
        triggers=asked.triggers or before.triggers,
    )


def _require_bounds(loras: Sequence[ComposedLora], model: FluxModel) -> None:
    low, high = _SCALES[model]
    for lora in loras:
        if not low <= lora.scale <= high:
            raise BadComposition(
                f"The scale of {lora.name} comes to {lora.scale:g}; {model} takes {low:g} to "
                f"{high:g}."
            )
    if model == "flux-2" and len(loras) > FLUX_2_LORAS:
        names = ", ".join(lora.name for lora in loras)
        raise BadComposition(
            f"flux-2 takes at most {FLUX_2_LORAS} LoRAs, and these are {len(loras)}: {names}. "
            f"Leave some out; NAME:0 takes one out of a preset."
        )


# --- Text -------------------------------------------------------------------------------------


def fill_templates(prompt: str, presets: Sequence[UsedPreset], values: Mapping[str, str]) -> str:
    """A prompt in the first preset's template, the result in the next one's, without triggers.

    Raises:
        BadComposition: a value is no preset's, or does not fit.
    """
    names = sorted({variable.name for used in presets for variable in used.body.variables})
    for name in values:
        if name not in names:
            has = f"it has {either(names)}" if names else "it has none"
            raise BadComposition(f"The preset has no variable {name}; {has}.")
    text = prompt
    for used in presets:
        filled = {one.name: _value(one, values.get(one.name)) for one in used.body.variables}
        text = fill_blanks(used.body.template, {**filled, "prompt": text})
    return text


def _value(variable: Variable, value: str | None) -> str:
    match variable:
        case TextVariable():
            text = variable.default if value is None else value
            if len(text) > variable.longest:
                raise BadComposition(
                    f"{variable.name} is too long; shorten it to {variable.longest} characters."
                )
            return text
        case ChoiceVariable():
            if value is None:
                return variable.default
            folded = {choice.casefold(): choice for choice in variable.choices}
            if (choice := folded.get(value.strip().casefold())) is None:
                raise BadComposition(
                    f"{variable.name} cannot be {value:.60}; use {either(variable.choices)}."
                )
            return choice
        case NumberVariable():
            return f"{_number(variable, value):g}"


def _number(variable: NumberVariable, value: str | None) -> float:
    if value is None:
        return variable.default
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not variable.low <= number <= variable.high or (variable.whole and number % 1):
        kind = "a whole number" if variable.whole else "a number"
        raise BadComposition(
            f"{variable.name} cannot be {value:.60}; use {kind} from {variable.low:g} to "
            f"{variable.high:g}."
        )
    return number


def _missing_words(
    text: str, loras: Sequence[ComposedLora], records: Mapping[str, LoraRecord]
) -> tuple[str, ...]:
    added: list[str] = []
    for lora in loras:
        try:
            words = records[lora.sha256].words(lora.triggers)
        except KeyError:
            raise BadComposition(
                f"{lora.name} has no trigger set {lora.triggers} any more; choose another one, or "
                f"{NO_TRIGGERS}."
            ) from None
        for word in words:
            if not any(_holds(held, word) for held in (text, *added)):
                added.append(word)
    return tuple(added)


def _holds(text: str, word: str) -> bool:
    """Whether the text has the word, or phrase, as whole words in any case."""
    phrase = r"\s+".join(re.escape(part) for part in word.casefold().split())
    return re.search(rf"(?<!\w){phrase}(?!\w)", text.casefold()) is not None


def _last(said: Sequence[T | None]) -> T | None:
    return next((one for one in reversed(said) if one is not None), None)
