-- What the fal-compatible endpoint keeps beside its jobs. Times are seconds since 1970, UTC.

-- Files that programs have uploaded. The bytes lie in the uploads folder under their SHA-256, where
-- several rows may share them; the id is the unguessable part of the file's URL.
CREATE TABLE uploads (
    id         TEXT NOT NULL PRIMARY KEY,
    requester  TEXT NOT NULL,
    name       TEXT NOT NULL,
    sha256     TEXT NOT NULL,
    size       INTEGER NOT NULL,
    expires_at REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX uploads_by_requester ON uploads (requester, size);
CREATE INDEX uploads_by_content ON uploads (sha256);
CREATE INDEX uploads_by_expiry ON uploads (expires_at);

-- Who wants to be told that a job has ended. `base` begins the links in its output, `tries` counts
-- the attempts that were begun, `next_at` is when the next one is due, `done_at` when the last one
-- was over.
CREATE TABLE webhooks (
    job     TEXT NOT NULL PRIMARY KEY,
    url     TEXT NOT NULL,
    base    TEXT NOT NULL,
    tries   INTEGER NOT NULL DEFAULT 0,
    next_at REAL NOT NULL,
    done_at REAL
) STRICT, WITHOUT ROWID;

CREATE INDEX webhooks_in_hand ON webhooks (next_at) WHERE done_at IS NULL;
