"""The order in which jobs run."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.base import parse_request
from bot.jobs.scheduler import FairQueue, Ticket, cost


def ticket(
    number: int,
    requester: str = "ann",
    community: str = "home",
    *,
    work: float = 1.0,
    needs: str = "",
    weight: float = 1.0,
    community_weight: float = 1.0,
) -> Ticket:
    return Ticket(
        job_id=f"job-{number}",
        number=number,
        community=community,
        requester=requester,
        cost=work,
        needs=frozenset(needs.split()),
        requester_weight=weight,
        community_weight=community_weight,
    )


def drain(queue: FairQueue) -> list[Ticket]:
    taken = []
    while (next_ticket := queue.take(now=0.0)) is not None:
        taken.append(next_ticket)
    return taken


def test_cost_is_megapixels_times_steps_times_pictures() -> None:
    request = parse_request(
        {
            "prompt": "a",
            "image_size": {"width": 1000, "height": 500},
            "num_inference_steps": 10,
            "num_images": 3,
        }
    )
    assert cost(request) == pytest.approx(0.5 * 10 * 3)


def test_one_requester_is_served_in_order_of_submission() -> None:
    queue = FairQueue()
    for number in range(5):
        queue.add(ticket(number))
    assert [t.number for t in drain(queue)] == [0, 1, 2, 3, 4]


def test_a_newcomer_does_not_wait_behind_somebodys_hundred_jobs() -> None:
    queue = FairQueue()
    for number in range(100):
        queue.add(ticket(number, "heavy"))
    queue.take(now=0.0)
    queue.add(ticket(100, "light"))
    assert [t.number for t in queue.order()].index(100) <= 1


def test_requesters_of_one_community_alternate() -> None:
    queue = FairQueue()
    for number in range(6):
        queue.add(ticket(number, "ann" if number < 3 else "bob"))
    assert [t.requester for t in drain(queue)] == ["ann", "bob"] * 3


def test_a_community_with_many_requesters_does_not_crowd_out_a_small_one() -> None:
    queue = FairQueue()
    for number in range(30):
        queue.add(ticket(number, f"member-{number}", "big"))
    for number in range(30, 40):
        queue.add(ticket(number, "only", "small"))
    first = [t.community for t in drain(queue)[:20]]
    assert Counter(first) == {"big": 10, "small": 10}


def test_twice_the_weight_is_twice_the_share() -> None:
    queue = FairQueue()
    for number in range(60):
        name = "double" if number % 2 else "single"
        queue.add(ticket(number, name, weight=2.0 if name == "double" else 1.0))
    share = Counter(t.requester for t in drain(queue)[:30])
    assert share["double"] == pytest.approx(2 * share["single"], abs=2)


def test_big_jobs_count_for_what_they_cost() -> None:
    queue = FairQueue()
    for number in range(10):
        queue.add(ticket(number, "big", work=4.0))
    for number in range(10, 50):
        queue.add(ticket(number, "small", work=1.0))
    work = Counter[str]()
    for t in drain(queue)[:25]:
        work[t.requester] += int(t.cost)
    assert work["big"] == pytest.approx(work["small"], abs=4)


def test_a_pause_earns_no_credit() -> None:
    queue = FairQueue()
    queue.add(ticket(0, "early"))
    queue.take(now=0.0)
    for number in range(1, 21):
        queue.add(ticket(number, "busy"))
    for _ in range(10):
        queue.take(now=0.0)
    for number in range(21, 31):
        queue.add(ticket(number, "early"))
    turns = [t.requester for t in drain(queue)[:10]]
    assert 4 <= turns.count("early") <= 6


def test_endless_newcomers_do_not_starve_who_has_had_a_turn() -> None:
    queue = FairQueue()
    queue.add(ticket(0, "regular"))
    queue.take(now=0.0)
    queue.add(ticket(1, "regular"))
    for number in range(2, 5):
        queue.add(ticket(number, f"new-{number}"))
    turns = []
    for number in range(5, 30):
        queue.add(ticket(number, f"new-{number}"))
        taken = queue.take(now=0.0)
        assert taken is not None
        turns.append(taken.requester)
    assert "regular" in turns[:10]


def test_what_is_loaded_goes_first_inside_the_window() -> None:
    queue = FairQueue(window=3)
    for number, needs in enumerate(["ink", "ink", "glow", "glow"]):
        queue.add(ticket(number, f"r{number}", needs=needs))
    taken = queue.take(now=0.0, loaded=frozenset({"glow"}))
    assert taken is not None
    assert taken.number == 2


def test_nothing_outside_the_window_is_preferred() -> None:
    queue = FairQueue(window=2)
    for number, needs in enumerate(["ink", "ink", "glow"]):
        queue.add(ticket(number, f"r{number}", needs=needs))
    taken = queue.take(now=0.0, loaded=frozenset({"glow"}))
    assert taken is not None
    assert taken.number == 0


def test_nobody_is_passed_over_for_longer_than_the_patience() -> None:
    queue = FairQueue(window=4, patience=60.0)
    queue.add(ticket(0, "patient", needs="ink"))
    passed = 0
    for number in range(1, 200):
        queue.add(ticket(number, f"r{number}", needs="glow"))
        taken = queue.take(now=float(number), loaded=frozenset({"glow"}))
        assert taken is not None
        if taken.number == 0:
            break
        passed += 1
    assert passed == 60


def test_who_may_not_run_is_skipped_and_keeps_the_place() -> None:
    queue = FairQueue()
    queue.add(ticket(0, "capped"))
    queue.add(ticket(1, "free"))
    taken = queue.take(now=0.0, may_run=lambda t: t.requester != "capped")
    assert taken is not None
    assert taken.number == 1
    assert [t.number for t in queue.order()] == [0]


def test_a_removed_job_never_comes() -> None:
    queue = FairQueue()
    for number in range(3):
        queue.add(ticket(number))
    queue.remove("job-1")
    queue.remove("job-9")
    assert [t.number for t in drain(queue)] == [0, 2]


def test_owners_who_left_are_forgotten() -> None:
    queue = FairQueue()
    for number in range(5000):
        queue.add(ticket(number, f"r{number}", f"c{number % 50}"))
        if number >= 10:
            queue.take(now=0.0)
    remembered = sum(len(c.requesters) for c in queue._communities.values())
    assert remembered < 1000


_TICKETS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("xy"), st.floats(0.1, 50.0)), max_size=40
)


@given(_TICKETS)
def test_the_announced_order_is_the_order_that_happens(
    submissions: list[tuple[str, str, float]],
) -> None:
    queue = FairQueue(window=1)
    for number, (requester, community, work) in enumerate(submissions):
        queue.add(ticket(number, requester, community, work=work))
    announced = [t.number for t in queue.order()]
    assert [t.number for t in drain(queue)] == announced
    assert sorted(announced) == list(range(len(submissions)))


@given(st.lists(st.floats(0.5, 2.0), min_size=20, max_size=60), st.integers(2, 4))
def test_over_time_backlogged_requesters_get_equal_work(works: list[float], people: int) -> None:
    queue = FairQueue(window=1)
    for number, work in enumerate(works * people):
        queue.add(ticket(number, f"p{number % people}", work=work))
    done = Counter[str]()
    for _ in range(len(works)):
        taken = queue.take(now=0.0)
        assert taken is not None
        done[taken.requester] += taken.cost  # type: ignore[assignment]
    assert max(done.values()) - min(done.values()) <= 2 * 2.0
