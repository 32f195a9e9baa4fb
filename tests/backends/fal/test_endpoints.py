"""What is sent to each endpoint."""

from pathlib import Path

import pytest

from backends.base import LoraFile, ModelName, parse_request
from backends.fal.endpoints import ENDPOINTS, runner_hint


def lora(name: str, sha256: str, scale: float = 1.0) -> LoraFile:
    return LoraFile(name, sha256, Path("/nowhere"), scale)


KNOWN = {
    "prompt", "image_size", "num_inference_steps", "seed", "loras", "guidance_scale", "sync_mode",
    "num_images", "enable_safety_checker", "output_format", "acceleration",
}  # fmt: skip


@pytest.mark.parametrize(
    ("model", "endpoint", "more"),
    [
        ("flux-1", "fal-ai/flux-lora", set()),
        ("flux-2", "fal-ai/flux-2/lora", {"enable_prompt_expansion"}),
    ],
)
def test_only_fields_that_the_endpoint_knows_are_sent(
    model: ModelName, endpoint: str, more: set[str]
) -> None:
    request = parse_request({"model": model, "prompt": "x", "seed": 1})

    assert ENDPOINTS[model].id == endpoint == type(request).endpoint
    assert set(ENDPOINTS[model].body(request, ())) == KNOWN | more


def test_values_and_loras_are_sent_as_asked() -> None:
    fields = {
        "model": "flux-2",
        "prompt": "x",
        "seed": 5,
        "num_images": 2,
        "enable_prompt_expansion": True,
        "sync_mode": True,
    }
    file = lora("glow", "aa", 0.8)

    body = ENDPOINTS["flux-2"].body(parse_request(fields), [(file, "https://x.example/g")])

    assert {name: body[name] for name in fields if name != "model"} == {
        name: value for name, value in fields.items() if name != "model"
    }
    assert body["loras"] == [{"path": "https://x.example/g", "scale": 0.8}]


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("square_hd", "square_hd"),
        ({"width": 1024, "height": 768}, "landscape_4_3"),
        ({"width": 1000, "height": 768}, {"width": 1000, "height": 768}),
    ],
)
def test_a_size_goes_by_its_name_where_it_has_one(asked: object, sent: object) -> None:
    request = parse_request({"prompt": "x", "image_size": asked})

    assert ENDPOINTS["flux-1"].body(request, ())["image_size"] == sent


def test_formats_and_expansion_differ_by_model() -> None:
    support = {model: endpoint.support for model, endpoint in ENDPOINTS.items()}

    assert support["flux-1"].formats == {"jpeg", "png"}
    assert support["flux-2"].formats == {"jpeg", "png", "webp"}
    assert not support["flux-1"].prompt_expansion
    assert support["flux-2"].prompt_expansion
    assert support["flux-2"].sides == (512, 2048)
    assert support["flux-1"].price > support["flux-2"].price > 0


def test_the_same_set_of_loras_gives_the_same_hint_whatever_order_and_scale() -> None:
    one, two = lora("a", "aa"), lora("b", "bb")

    assert runner_hint([one, two]) == runner_hint([two, lora("x", "aa", 0.3)])
    assert runner_hint([one]) != runner_hint([two])
    assert runner_hint([]) == {}
