"""How long a job will take."""

import pytest

from backends.base import GenerationRequest, parse_request
from bot.jobs.estimates import Estimator


def request(side: int = 1000, steps: int = 10, **fields: object) -> GenerationRequest:
    return parse_request(
        {
            "prompt": "a",
            "image_size": {"width": side, "height": 1000},
            "num_inference_steps": steps,
            **fields,
        }
    )


def test_nothing_is_guessed_while_nothing_is_known() -> None:
    assert Estimator().seconds("demo", request()) is None


def test_a_shape_that_was_seen_is_estimated_from_itself() -> None:
    estimator = Estimator()
    estimator.learn("demo", request(steps=10), 4.0)
    estimator.learn("demo", request(steps=50), 90.0)
    assert estimator.seconds("demo", request(steps=10)) == pytest.approx(4.0)


def test_a_new_shape_is_estimated_by_its_work() -> None:
    estimator = Estimator()
    estimator.learn("demo", request(steps=10), 4.0)
    assert estimator.seconds("demo", request(steps=20)) == pytest.approx(8.0)
    assert estimator.seconds("demo", request(side=500)) == pytest.approx(2.0)
    assert estimator.seconds("demo", request(num_images=3)) == pytest.approx(12.0)


def test_backends_and_models_do_not_mix() -> None:
    estimator = Estimator()
    estimator.learn("demo", request(), 4.0)
    assert estimator.seconds("fal", request()) is None
    assert estimator.seconds("demo", request(model="flux-2")) is None


def test_the_estimate_follows_a_machine_that_becomes_slower() -> None:
    estimator = Estimator()
    for seconds in [2.0] * 20 + [6.0] * 20:
        estimator.learn("demo", request(), seconds)
    assert estimator.seconds("demo", request()) == pytest.approx(6.0, rel=0.05)


def test_one_odd_job_does_not_spoil_it() -> None:
    estimator = Estimator()
    for seconds in [2.0] * 20 + [60.0] + [2.0] * 5:
        estimator.learn("demo", request(), seconds)
    assert estimator.seconds("demo", request()) == pytest.approx(2.0, abs=4.0)


def test_memory_is_bounded_and_the_newest_shapes_are_kept() -> None:
    estimator = Estimator()
    for width in range(16, 1600):
        estimator.learn("demo", request(side=width), float(width))
    assert estimator.seconds("demo", request(side=1599)) == pytest.approx(1599.0)
    assert len(estimator._by_shape) <= 512
