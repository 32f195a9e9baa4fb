"""A job for tests that need one and no database; `dataclasses.replace` makes others of it."""

from typing import Final

from backends.base import parse_request
from bot.jobs.job import Job, JobState, Place
from bot.jobs.limits import Limits

JOB: Final = Job(
    id="00000000-0000-4000-8000-000000000000",
    number=1,
    surface="test",
    requester="ann",
    place=Place(),
    request=parse_request({"prompt": "a cat"}),
    backend="stub",
    preset=None,
    asked=None,
    ping=False,
    price=0.0,
    limits=Limits(),
    state=JobState.QUEUED,
    attempt=1,
    failures=0,
    receipt={},
    submitting=False,
    remote=None,
    cancel_requested=False,
    result=None,
    fault=None,
    deliveries=0,
    erased=False,
    created_at=0.0,
    started_at=None,
    ended_at=None,
    reported_at=None,
)
