-- A job from submission to its report. Times are seconds since 1970, UTC; JSON columns hold the
-- pydantic models of bot/jobs/job.py and backends/base.py.
CREATE TABLE jobs (
    number           INTEGER PRIMARY KEY AUTOINCREMENT,
    id               TEXT NOT NULL UNIQUE,
    surface          TEXT NOT NULL,
    requester        TEXT NOT NULL,
    place            TEXT NOT NULL,
    community        TEXT GENERATED ALWAYS AS (json_extract(place, '$.community')) STORED,
    request          TEXT NOT NULL,
    backend          TEXT NOT NULL,
    preset           TEXT,
    limits           TEXT NOT NULL,
    ping             INTEGER NOT NULL DEFAULT 0,
    state            TEXT NOT NULL DEFAULT 'queued' CHECK (state IN (
                         'queued', 'running', 'rendered', 'delivered', 'undeliverable',
                         'failed', 'cancelled')),
    attempt          INTEGER NOT NULL DEFAULT 0,
    failures          INTEGER NOT NULL DEFAULT 0,
    receipt          TEXT,
    submitting       INTEGER NOT NULL DEFAULT 0,
    remote           TEXT,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    result           TEXT,
    fault            TEXT,
    deliveries       INTEGER NOT NULL DEFAULT 0,
    -- The row of a deleted job stays without its content, so that deleting frees no quota.
    erased           INTEGER NOT NULL DEFAULT 0,
    created_at       REAL NOT NULL,
    started_at       REAL,
    ended_at         REAL,
    reported_at      REAL
);

-- What a start has to continue, and what the queue and the quotas count.
CREATE INDEX jobs_unreported ON jobs (number) WHERE reported_at IS NULL;
CREATE INDEX jobs_in_hand ON jobs (state, community, requester) WHERE reported_at IS NULL;
CREATE INDEX jobs_by_requester ON jobs (requester, created_at);
CREATE INDEX jobs_by_community ON jobs (community, created_at);
-- What retention looks through.
CREATE INDEX jobs_by_report ON jobs (reported_at) WHERE reported_at IS NOT NULL;
