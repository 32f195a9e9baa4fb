"""What pictures cost at fal."""

import math

import pytest

from backends.base import MODELS, parse_request
from backends.fal.prices import PRICES, cost, estimate


@pytest.mark.parametrize(
    ("size", "images", "expected"),
    [
        ("square_hd", 1, 1),  # 1024×1024 is one megapixel, not two
        ("landscape_4_3", 1, 1),
        ("square", 4, 4),  # each picture is rounded up by itself
        ({"width": 1025, "height": 1024}, 1, 2),
        ({"width": 2048, "height": 2048}, 3, 12),
    ],
)
def test_each_picture_is_rounded_up_to_whole_megapixels(
    size: object, images: int, expected: int
) -> None:
    request = parse_request({"prompt": "x", "image_size": size, "num_images": images})
    assert request.billed_megapixels == expected


def test_every_model_has_a_price() -> None:
    assert PRICES.keys() == MODELS.keys()


def test_the_estimate_is_the_price_times_the_megapixels() -> None:
    first = parse_request({"prompt": "x", "num_images": 3})
    second = parse_request({"prompt": "x", "model": "flux-2"})
    assert estimate(first) == 0.105
    assert estimate(second) == 0.021


@pytest.mark.parametrize(
    ("gigabytes", "dollars"),
    [(0, 0.021), (1.999, 0.021), (2, 0.0315), (3, 0.042), (3.5, 0.042), (4, 0.0525), (5, 0.0525)],
)
def test_heavy_loras_make_flux_2_dearer(gigabytes: float, dollars: float) -> None:
    request = parse_request({"prompt": "x", "model": "flux-2"})
    assert estimate(request, round(gigabytes * 1e9)) == dollars


def test_heavy_loras_cost_nothing_with_flux_1() -> None:
    request = parse_request({"prompt": "x"})
    assert estimate(request, 5 * 10**9) == estimate(request)


def test_the_billed_units_decide_what_it_has_cost() -> None:
    request = parse_request({"prompt": "x", "model": "flux-2"})
    assert cost(request, 2.5) == 0.0525
    assert cost(request, 2.5, lora_bytes=2 * 10**9) == 0.07875
    assert cost(request, 0.0) == 0.0


@pytest.mark.parametrize("units", [None, -1.0, math.nan, math.inf])
def test_without_an_amount_of_units_it_has_cost_the_estimate(units: float | None) -> None:
    request = parse_request({"prompt": "x", "num_images": 2})
    assert cost(request, units) == estimate(request) == 0.07
