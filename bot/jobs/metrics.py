"""What `/metrics` tells about jobs. No label names a person or a community."""

import time
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from bot.jobs.job import Job

_SECONDS: Final = (0.5, 1, 2, 5, 10, 20, 60, 120, 300, 900, 3600)


class Metrics:
    """Counters and histograms of one supervisor."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        self._submitted = Counter(
            "atelier_jobs_submitted", "Jobs taken.", ["surface", "backend"], registry=registry
        )
        self._ended = Counter(
            "atelier_jobs_ended", "Jobs that ended.", ["backend", "state"], registry=registry
        )
        self._wait = Histogram(
            "atelier_job_wait_seconds",
            "From submission to the start of an attempt.",
            ["backend"],
            registry=registry,
            buckets=_SECONDS,
        )
        self._run = Histogram(
            "atelier_job_run_seconds",
            "From the start of the last attempt to its end.",
            ["backend"],
            registry=registry,
            buckets=_SECONDS,
        )
        self._deliver = Histogram(
            "atelier_job_deliver_seconds",
            "From the end of a job to its report.",
            ["surface"],
            registry=registry,
            buckets=_SECONDS,
        )

    def submitted(self, job: Job) -> None:
        self._submitted.labels(job.surface, job.backend).inc()

    def started(self, job: Job) -> None:
        self._wait.labels(job.backend).observe(max(0.0, time.time() - job.created_at))

    def ended(self, job: Job) -> None:
        self._ended.labels(job.backend, job.state.value).inc()
        if job.started_at is not None and job.ended_at is not None:
            self._run.labels(job.backend).observe(max(0.0, job.ended_at - job.started_at))

    def reported(self, job: Job, seconds: float) -> None:
        self._deliver.labels(job.surface).observe(seconds)
