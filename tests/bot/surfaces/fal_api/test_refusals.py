"""Why not, in fal's words: every refusal and every failure has its status and type."""

import inspect
from pathlib import Path
from typing import Any

import pytest

from backends import errors as backend_errors
from backends.errors import BackendError
from backends.fal import errors as fal_errors
from bot.commands.imagine import QuotaUsedUp, Refused
from bot.jobs.job import Fault
from bot.jobs.supervisor import LoraUnavailable
from bot.permissions import Blocked, ModelNotAllowed, OverBudget, Paused
from bot.surfaces.fal_api.refusals import FAULTS, PASSING, failure, refusal
from tests.fakes.fal_site import FLUX_1, FLUX_2, fal_site

REPEATED = {408, 409, 429, 502, 503, 504}
"""What fal's clients try again by themselves."""

FIELDS: list[tuple[str, dict[str, Any], list[Any], str, Any]] = [
    (FLUX_1, {"prompt": " "}, ["prompt"], "value_error", None),
    (FLUX_1, {"prompt": "x" * 5001}, ["prompt"], "string_too_long", {"max_length": 5000}),
    (FLUX_1, {"num_images": 5}, ["num_images"], "less_than_equal", {"le": 4}),
    (FLUX_1, {"num_images": 0}, ["num_images"], "greater_than_equal", {"ge": 1}),
    (FLUX_1, {"num_inference_steps": "x"}, ["num_inference_steps"], "int_parsing", None),
    (
        FLUX_1,
        {"acceleration": "high"},
        ["acceleration"],
        "one_of",
        {"expected": ["none", "regular"]},
    ),
    (
        FLUX_1,
        {"enable_prompt_expansion": True},
        ["enable_prompt_expansion"],
        "one_of",
        {"expected": [False]},
    ),
    (
        FLUX_1,
        {"image_size": {"width": 0}},
        ["image_size", "width"],
        "greater_than_equal",
        {"ge": 1},
    ),
    (FLUX_2, {"image_size": {"width": 4096}}, ["image_size"], "less_than_equal", {"le": 2048}),
    (FLUX_2, {"image_size": {"width": 64}}, ["image_size"], "greater_than_equal", {"ge": 512}),
    (FLUX_1, {"image_size": {"width": 4096}}, ["image_size"], "feature_not_supported", None),
    (FLUX_1, {"loras": [{"path": "a", "scale": 5}]}, ["loras", 0, "scale"], "less_than_equal", ...),
    (FLUX_1, {"loras": [{}]}, ["loras", 0, "path"], "missing", None),
    (FLUX_1, {"loras": [{"path": "nope"}]}, ["loras", 0, "path"], "file_download_error", None),
    (FLUX_2, {"loras": [{"path": "a"}] * 4}, ["loras"], "sequence_too_long", ...),
    (FLUX_1, {"frobnicate": 1}, ["frobnicate"], "extra_forbidden", None),
    (FLUX_1, {"model": "flux-1"}, ["model"], "extra_forbidden", None),
    (
        FLUX_1,
        {"enable_safety_checker": False},
        ["enable_safety_checker"],
        "one_of",
        {"expected": [True]},
    ),
]


async def test_a_field_that_is_refused_is_named_with_its_fault(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        for path, fields, loc, kind, ctx in FIELDS:
            answer = await s.client.post(path, json={"prompt": "a", **fields})
            assert answer.status_code == 422
            assert answer.headers["x-fal-billable-units"] == "0"
            assert answer.headers["x-fal-request-id"]
            [detail] = answer.json()["detail"]
            assert (detail["loc"], detail["type"]) == (["body", *loc], kind), detail
            assert detail["msg"].endswith(".")
            assert detail["url"].endswith(f"#{kind}")
            if kind != "missing":
                assert "input" in detail
            if ctx is not ...:
                assert detail.get("ctx") == ctx
        assert await s.jobs() == []


async def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        answer = await s.client.post(FLUX_1, json={"num_images": 9, "model": "x", "seed": -1})
        details = answer.json()["detail"]
        assert [d["loc"][1] for d in details] == ["model", "prompt", "seed", "num_images"]


async def test_a_value_that_is_quoted_stays_short(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        answer = await s.client.post(FLUX_1, json={"prompt": "a", "seed": "9" * 100_000})
        assert answer.status_code == 422
        assert len(answer.content) < 2000


async def test_what_the_operators_settings_forbid_is_no_passing_fault(tmp_path: Path) -> None:
    async with fal_site(tmp_path) as s:
        settings: list[tuple[dict[str, Any], int, str]] = [
            ({"max_steps": 10}, 422, "less_than_equal"),
            ({"max_steps": None, "blocked_words": ["bad"]}, 422, "content_policy_violation"),
            ({"blocked_words": [], "paused": {"reason": "Spring cleaning."}}, 403, ""),
            ({"paused": None, "requester_per_day": 0}, 403, ""),
        ]
        for change, status, kind in settings:
            await s.set(**change)
            answer = await s.client.post(FLUX_1, json={"prompt": "a bad cat"})
            assert answer.status_code == status
            detail = answer.json()["detail"]
            assert (detail[0]["type"] if kind else "") == kind
            if status == 403:
                assert list(answer.json()) == ["detail"]
                assert detail.endswith(".")
        assert await s.jobs() == []


async def test_a_full_queue_is_a_passing_fault(tmp_path: Path) -> None:
    async with fal_site(tmp_path, slots=1) as s:
        await s.set(requester_queued=1)
        await s.until(await s.submit("hang"), "IN_PROGRESS")
        await s.submit("waits")
        answer = await s.client.post(FLUX_1, json={"prompt": "a"})
        assert (answer.status_code, answer.json()["error_type"]) == (
            429,
            "concurrent_requests_limit",
        )
        assert int(answer.headers["retry-after"]) > 0
        assert answer.headers["x-fal-needs-retry"] == "1"
        assert answer.headers["x-fal-error-type"] == "concurrent_requests_limit"


async def test_the_checker_may_be_off_where_the_operator_allows_it(tmp_path: Path) -> None:
    async with fal_site(tmp_path, allow_unchecked=True) as s:
        submitted = await s.submit("steps=1", enable_safety_checker=False)
        assert (await s.result(submitted)).status_code == 200


@pytest.mark.parametrize(
    "why",
    [
        Blocked(),
        Paused(""),
        ModelNotAllowed("flux-1", ("flux-2",)),
        OverBudget(1, 2, 3),
        QuotaUsedUp("requester_per_day", 1e9),
        QuotaUsedUp("community_budget", 1e9),
    ],
)
def test_what_asking_again_does_not_change_is_a_403(why: Any) -> None:
    answer = refusal(Refused("No.", why=why)).answer
    assert (answer.status, answer.body) == (403, {"detail": "No."})


def test_a_refusal_without_a_reason_is_still_told() -> None:
    answer = refusal(Refused("Nothing here draws.")).answer
    assert answer.status == 422
    assert answer.body["detail"][0]["msg"] == "Nothing here draws."


def _kinds() -> list[str]:
    return [
        name
        for module in (backend_errors, fal_errors)
        for name, error in inspect.getmembers(module, inspect.isclass)
        if issubclass(error, BackendError)
    ]


@pytest.mark.parametrize("kind", [*_kinds(), "SomethingNew"])
def test_no_failure_has_a_status_that_clients_repeat(kind: str) -> None:
    answer = failure(Fault(kind=kind, sentence="It broke.")).answer
    assert answer.status in {422, 500}
    assert answer.status not in REPEATED
    assert answer.body["detail"][0]["msg"] == "It broke."
    assert answer.headers["X-Fal-Error-Type"] == answer.body["detail"][0]["type"]


def test_kinds_of_failure_that_are_told_apart_exist() -> None:
    assert {*FAULTS, *PASSING} <= {*_kinds(), LoraUnavailable.__name__}
