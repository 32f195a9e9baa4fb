"""Every sentence for people: whole, specific, in the words that they type."""

import inspect

import pytest

from backends import errors
from backends.base import parse_request
from backends.errors import BackendError, BadRequest
from bot import wording
from bot.jobs.limits import Limits
from bot.permissions import (
    Blocked,
    Excess,
    ModelNotAllowed,
    OverAllowance,
    OverBudget,
    Paused,
    Refusal,
    WordsBlocked,
)

REFUSALS: list[tuple[Refusal, str]] = [
    (Blocked(), "You cannot generate pictures here; the moderators have blocked you."),
    (Paused(""), "Generating is paused here."),
    (Paused("Back at eight."), "Generating is paused here. Back at eight."),
    (ModelNotAllowed("flux-2", ("flux-1",)), "You cannot use flux-2 here; use flux-1."),
    (
        OverAllowance((Excess("image_size", 4.5, 2.0), Excess("num_inference_steps", 40, 30))),
        "4.5 megapixels are too many; use up to 2 here. steps is 40; use up to 30 here.",
    ),
    (OverAllowance((Excess("num_images", 4, 2),)), "images is 4; use up to 2 here."),
    (
        OverBudget(0.035, 4.99, 5.0),
        "This would cost $0.035, and today's $5.00 are used up here. A new day begins at 00:00 "
        "UTC.",
    ),
    (
        WordsBlocked(("cat", "hat")),
        "The prompt has words that are not allowed here: “cat”, “hat”. Leave them out.",
    ),
]


@pytest.mark.parametrize(("refusal", "sentence"), REFUSALS)
def test_every_refusal_has_its_sentence(refusal: Refusal, sentence: str) -> None:
    assert wording.refusal(refusal) == sentence


def test_no_kind_of_refusal_is_left_out() -> None:
    assert {type(refusal) for refusal, _ in REFUSALS} == set(Refusal.__args__)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"num_inference_steps": 60}, "steps is 60; use 1 to 50."),
        ({"guidance_scale": 36}, "guidance is 36; use 0 to 35."),
        ({"num_images": 5}, "images is 5; use 1 to 4."),
        ({"acceleration": "high"}, "speed is “high”; use none or regular."),
        ({"loras": [{"path": "a"}, {"path": "b", "scale": 9}]}, "the scale of LoRA 2 is 9; use -4"),
        ({"image_size": {"width": 0}}, "size.width is 0; use 1 to 14142 pixels."),
    ],
)
def test_fields_are_called_what_people_type(fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_request({"prompt": "a", **fields})
    assert wording.error(caught.value).startswith(sentence)


def test_other_errors_speak_for_themselves() -> None:
    assert wording.error(errors.LoraRejected("ink", "It is empty.")) == (
        "The LoRA ink cannot be used: It is empty."
    )


@pytest.mark.parametrize("quota", [n for n in Limits.__dataclass_fields__ if "_running" not in n])
def test_every_quota_says_its_number_and_what_to_do(quota: str) -> None:
    if quota.endswith("weight"):
        return
    sentence = wording.quota(quota, 3, 1_800_000_000.0)
    assert ("$3.00" if quota.endswith("budget") else "3 jobs") in sentence
    assert sentence.endswith(".")
    if quota.endswith(("per_day", "budget")):
        assert "00 UTC" in sentence


def test_constants_are_whole_sentences() -> None:
    sentences = [v for n, v in vars(wording).items() if n.isupper() and isinstance(v, str)]
    assert len(sentences) >= 5
    assert all(s[0].isupper() and s.endswith((".", "?")) for s in sentences)


def test_every_backend_error_is_showable() -> None:
    kinds = [
        k for _, k in inspect.getmembers(errors, inspect.isclass) if issubclass(k, BackendError)
    ]
    assert len(kinds) == 8
    assert all(k.__doc__ for k in kinds)
