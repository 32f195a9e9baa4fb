"""What statuses and log lines tell."""

from typing import Any

import pytest

from backends.base import Event, Log, Queued, Started, Step, parse_request
from backends.fal.progress import Progress


def progress(steps: int = 28, pictures: int = 1) -> Progress:
    fields = {"prompt": "x", "num_inference_steps": steps, "num_images": pictures}
    return Progress(parse_request(fields))


def line(message: str, moment: str | None = None) -> dict[str, Any]:
    return {"message": message, "timestamp": moment, "level": "INFO", "source": "USER"}


def running(*lines: dict[str, Any]) -> dict[str, Any]:
    return {"status": "IN_PROGRESS", "logs": list(lines)}


def logs(events: list[Event]) -> list[str]:
    return [event.line for event in events if isinstance(event, Log)]


def steps(events: list[Event]) -> list[tuple[int, int]]:
    return [(event.index, event.total) for event in events if isinstance(event, Step)]


@pytest.mark.parametrize(
    ("text", "step"),
    [
        (" 37%|███▋      | 10/27 [00:03<00:05,  3.1it/s]", (10, 27)),
        ("100%|██████████| 28/28 [00:08<00:00,  3.2it/s]", (28, 28)),
        ("\r  4%|▍         | 1/28 [00:00<00:08]\r  7%|▋         | 2/28 [00:00<00:08]", (2, 28)),
        (" 12%|█▎        | 1/8", (1, 8)),
        ("step 3/28", (3, 28)),
        ("Step: 3 of 28, loss 0.1", (3, 28)),
        ("INFO denoising step 12 / 28", (12, 28)),
        ("  0%|          | 0/28 [00:00<?, ?it/s]", None),
        ("Loading pipeline components...:  57%|█████▋    | 4/7 [00:01<00:00]", None),
        (" 50%|█████     | 1.2G/2.4G [00:10<00:10]", None),
        ("12/28 files", None),
        ("footstep 3/4x", None),
        ("step 9/3", None),
        ("", None),
    ],
)
def test_a_step_is_read_from_a_log_line(text: str, step: tuple[int, int] | None) -> None:
    events = progress().read(running(line(text)), cumulative=True)

    assert steps(events) == ([step] if step else [])


def test_steps_never_go_back() -> None:
    seen = progress()
    bars = [line(f" 1%|x| {i}/28 [") for i in (1, 2, 5, 4, 5, 6)]

    assert [i for i, _ in steps(seen.read(running(*bars), cumulative=False))] == [1, 2, 5, 6]


def test_bars_that_follow_each_other_are_counted_over_all_pictures() -> None:
    seen = progress(steps=2, pictures=3)
    bars = [line(f" 1%|x| {i % 2 + 1}/2 [", str(i)) for i in range(6)]

    found = steps(seen.read(running(*bars), cumulative=True))

    assert found == [(1, 2), (2, 2), (3, 6), (4, 6), (5, 6), (6, 6)]


def test_one_bar_for_a_batch_of_pictures_is_that_batchs() -> None:
    bars = [line(f" 1%|x| {i}/4 [") for i in range(1, 5)]

    assert steps(progress(4, 2).read(running(*bars), cumulative=True))[-1] == (4, 4)


def test_a_poll_repeats_all_lines_and_only_new_ones_are_told() -> None:
    seen = progress()
    one, two = line("one", "t1"), line("two", "t2")

    assert logs(seen.read(running(one), cumulative=True)) == ["one"]
    assert logs(seen.read(running(one, two), cumulative=True)) == ["two"]
    assert logs(seen.read(running(one, two), cumulative=True)) == []


def test_a_poll_after_a_stream_tells_only_what_the_stream_did_not() -> None:
    seen = progress()
    one, again, two = line("one"), line("one"), line("two")
    seen.read(running(one), cumulative=False)
    assert logs(seen.read(running(again), cumulative=False)) == ["one"]

    assert logs(seen.read(running(one, again, two), cumulative=True)) == ["two"]


def test_a_stream_that_repeats_a_line_with_its_moment_tells_it_once() -> None:
    seen = progress()
    seen.read(running(line("one", "t1")), cumulative=False)

    assert logs(seen.read(running(line("one", "t1")), cumulative=False)) == []


def test_going_back_to_the_queue_is_normal_and_started_comes_once() -> None:
    seen = progress()
    statuses = [
        {"status": "IN_QUEUE", "queue_position": 2},
        {"status": "IN_QUEUE", "queue_position": 2},
        running(),
        {"status": "IN_QUEUE", "queue_position": 2},
        running(),
    ]

    events = [event for status in statuses for event in seen.read(status, cumulative=True)]

    assert events == [Queued(2), Started(), Queued(2)]


@pytest.mark.parametrize("place", [None, -1, "3", True, 10**9])
def test_a_place_that_is_none_is_not_told(place: object) -> None:
    status = {"status": "IN_QUEUE", "queue_position": place}

    assert progress().read(status, cumulative=True) == []


@pytest.mark.parametrize("found", [None, "text", [None], [{"message": 3}], {"message": "x"}])
def test_logs_of_another_form_are_passed_over(found: object) -> None:
    events = progress().read({"status": "IN_PROGRESS", "logs": found}, cumulative=True)

    assert events == [Started()]


def test_endless_logs_are_cut() -> None:
    seen = progress()
    many = [line("x" * 2000, str(i)) for i in range(6000)]

    told = logs(seen.read(running(*many), cumulative=True))

    assert len(told) == 5000
    assert {len(text) for text in told} == {500}
