"""Every error body of fal's becomes one of ours, with a sentence."""

from typing import Any

import pytest

from backends.fal.error_bodies import Sent, is_fals, read_error
from backends.fal.error_types import TYPES, meaning
from backends.fal.errors import (
    AccessRefused,
    BalanceExhausted,
    ContentRefused,
    FalError,
    FileRefused,
    InputRefused,
    KeyRefused,
    LoraNotFetched,
    ServiceTimeout,
    ServiceTrouble,
    TooManyRequests,
)

# As fal's documentation lists them; one real name for each family.
DOCUMENTED = """
    internal_server_error downstream_service_unavailable downstream_service_error generation_timeout
    content_policy_violation no_media_generated image_too_small image_too_large image_load_error
    file_download_error file_too_large face_detection_error greater_than greater_than_equal
    less_than less_than_equal multiple_of sequence_too_short sequence_too_long one_of
    feature_not_supported invalid_archive archive_file_count_below_minimum
    archive_file_count_exceeds_maximum unsupported_image_format unsupported_audio_format
    unsupported_video_format unsupported_archive_format audio_duration_too_long
    audio_duration_too_short video_duration_too_long video_duration_too_short
    request_timeout startup_timeout runner_scheduling_failure runner_connection_timeout
    runner_connection_refused runner_connection_error runner_disconnected
    runner_incomplete_response runner_server_error internal_error client_disconnected
    client_cancelled bad_request concurrent_requests_limit
""".split()  # noqa: SIM905 - a list of words reads better


def model_error(kind: str, *loc: str | int, **more: Any) -> dict[str, Any]:
    return {"detail": [{"loc": ["body", *loc], "msg": "Text.", "type": kind, **more}]}


@pytest.mark.parametrize("kind", DOCUMENTED)
def test_every_documented_type_has_a_class_and_a_sentence_of_its_own(kind: str) -> None:
    assert meaning(kind) is not None
    error = read_error(422, {}, model_error(kind, "image_size", "width"))

    assert error.type == kind
    assert type(error) is not FalError
    assert str(error).endswith(".")
    assert "{" not in str(error)
    assert not error.retryable


def test_no_mapped_type_is_undocumented() -> None:
    documented = {name for name in TYPES if "*" not in name}

    assert documented <= set(DOCUMENTED)
    assert all(any(meaning(k) is TYPES[name] for k in DOCUMENTED) for name in TYPES)


@pytest.mark.parametrize(
    ("kind", "context", "sentence"),
    [
        ("greater_than_equal", {"ge": 1}, "num_inference_steps is 0; fal takes 1 or more."),
        ("less_than_equal", {"le": 50}, "num_inference_steps is 0; fal takes 50 or less."),
        ("multiple_of", {"multiple_of": 8}, "num_inference_steps is 0; fal takes multiples of 8."),
        ("one_of", {"expected": [4, 8]}, "num_inference_steps is 0; fal takes 4, 8."),
        (
            "greater_than",
            None,
            "num_inference_steps is 0; that is outside of what fal takes.",
        ),
    ],
)
def test_a_limit_names_the_field_its_value_and_the_bound(
    kind: str, context: dict[str, Any] | None, sentence: str
) -> None:
    body = model_error(kind, "num_inference_steps", input=0, ctx=context)

    error = read_error(422, {}, body)

    assert isinstance(error, InputRefused)
    assert str(error) == sentence


def test_several_problems_are_all_named() -> None:
    body = {
        "detail": [
            *model_error("less_than_equal", "num_images", input=9, ctx={"le": 4})["detail"],
            *model_error("greater_than", "guidance_scale", input=-1, ctx={"gt": 0})["detail"],
        ]
    }

    assert str(read_error(422, {}, body)) == (
        "num_images is 9; fal takes 4 or less. guidance_scale is -1; fal takes more than 0."
    )


@pytest.mark.parametrize(
    ("loc", "found", "name"),
    [
        (("loras", 1, "path"), None, "ink"),
        (("lora_path",), "https://x.example/ink", "ink"),
        ((), "https://x.example/glow", "glow"),
        ((), None, None),
    ],
)
def test_a_lora_that_fal_cannot_download_is_named(
    loc: tuple[str | int, ...], found: str | None, name: str | None
) -> None:
    sent = Sent("", [("glow", "https://x.example/glow"), ("ink", "https://x.example/ink")])

    error = read_error(422, {}, model_error("file_download_error", *loc, input=found), sent)

    assert isinstance(error, LoraNotFetched)
    assert error.name == name
    assert (f"the LoRA “{name}”" if name else "one of the LoRAs") in str(error) or not loc


def test_the_only_lora_is_the_one_that_could_not_be_downloaded() -> None:
    sent = Sent("", [("glow", "https://x.example/glow")])

    error = read_error(422, {}, model_error("file_download_error"), sent)

    assert isinstance(error, LoraNotFetched)
    assert str(error).startswith("fal could not download the LoRA “glow”;")


def test_without_loras_it_was_another_file() -> None:
    error = read_error(422, {}, model_error("file_download_error", "image_url"))

    assert isinstance(error, FileRefused)
    assert "image_url" in str(error)


@pytest.mark.parametrize(
    ("status", "detail", "kind", "hint"),
    [
        (401, "No user found for Key ID and Secret", KeyRefused, "FAL_KEY"),
        (
            403,
            "User is locked. Reason: Exhausted balance. Top up your balance.",
            BalanceExhausted,
            "no money left",
        ),
        (403, "Access to this app is denied", AccessRefused, "Access to this app is denied"),
        (402, "Payment required", BalanceExhausted, "no money left"),
        (429, "Slow down", TooManyRequests, "Slow down"),
        (418, "I am a teapot", FalError, "I am a teapot"),
        (503, "", ServiceTrouble, "503"),
        (504, "", ServiceTimeout, "in its time"),
    ],
)
def test_a_plain_text_is_told_by_its_status(
    status: int, detail: str, kind: type[FalError], hint: str
) -> None:
    error = read_error(status, {}, {"detail": detail})

    assert type(error) is kind
    assert hint in str(error)
    assert error.status == status


@pytest.mark.parametrize("in_header", [True, False])
def test_the_infrastructures_type_is_read_from_body_or_header(in_header: bool) -> None:
    body = {"detail": "Runner disconnected"}
    headers = {"x-fal-request-id": "r1"}
    if in_header:
        headers["x-fal-error-type"] = "runner_disconnected"
    else:
        body["error_type"] = "runner_disconnected"

    error = read_error(503, headers, body)

    assert isinstance(error, ServiceTrouble)
    assert (error.type, error.status, error.request_id) == ("runner_disconnected", 503, "r1")
    assert is_fals(headers, body)


@pytest.mark.parametrize("name", ["x-fal-retryable", "x-fal-needs-retry"])
@pytest.mark.parametrize(
    ("value", "advice", "words"),
    [
        ("1", True, "Try again later."),
        ("false", False, "trying again will not help."),
        ("perhaps", None, "Try again later."),
    ],
)
def test_fals_advice_about_trying_again_is_kept_and_told(
    name: str, value: str, advice: bool | None, words: str
) -> None:
    error = read_error(500, {name: value}, model_error("internal_server_error"))

    assert error.retry_advice is advice
    assert str(error).endswith(words)


def test_content_policy_is_told_without_the_prompt() -> None:
    body = model_error("content_policy_violation", "prompt", input="my secret wish")

    error = read_error(422, {}, body, Sent("my secret wish"))

    assert isinstance(error, ContentRefused)
    assert "wish" not in str(error)


@pytest.mark.parametrize(
    "body",
    [
        {"detail": "cannot draw: my secret wish"},
        {"detail": "see https://x.example/?token=my%20secret%20wish"},
        model_error("string_pattern", "prompt", input="my secret wish"),
        {"detail": [{"loc": ["body"], "msg": "my secret wish", "type": "value_error"}]},
    ],
)
def test_neither_prompt_nor_address_is_quoted(body: dict[str, Any]) -> None:
    assert "secret" not in str(read_error(422, {}, body, Sent("my secret wish")))


def test_no_part_of_the_key_is_quoted() -> None:
    sent = Sent(key="0a1b2c:3d4e5f")

    for text in ("Key 0a1b2c may not", "wrong secret 3d4e5f"):
        assert str(read_error(403, {}, {"detail": text}, sent)) == "This fal key may not do this."


def test_pydantics_own_type_is_kept_and_its_message_quoted() -> None:
    body = model_error("int_parsing", "seed", input="x", msg="Input should be an integer")

    error = read_error(422, {}, body)

    assert isinstance(error, InputRefused)
    assert error.type == "int_parsing"
    assert str(error) == "fal refused seed: “Input should be an integer”."


@pytest.mark.parametrize(
    "body",
    [None, [], "text", {}, {"detail": None}, {"detail": [1]}, {"detail": [{"loc": 3, "type": {}}]}],
)
def test_a_body_of_no_known_form_still_gives_a_sentence(body: object) -> None:
    error = read_error(500, {}, body)

    assert isinstance(error, ServiceTrouble)
    assert str(error) == "fal has trouble of its own (500). Try again later."
