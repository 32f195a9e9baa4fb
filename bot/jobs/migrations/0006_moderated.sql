-- What moderators have said about a job's pictures: their word holds in place of the checker's.
ALTER TABLE jobs ADD COLUMN moderated TEXT CHECK (moderated IN ('flagged', 'clear'));

-- Who has reported which job, so that the same report is told once, and nobody floods moderators.
-- What a report says is not kept here. Times are seconds since 1970, UTC.
CREATE TABLE reports (
    job         TEXT NOT NULL,
    reporter    TEXT NOT NULL,
    reported_at REAL NOT NULL,
    PRIMARY KEY (job, reporter)
) STRICT, WITHOUT ROWID;

CREATE INDEX reports_by_reporter ON reports (reporter, reported_at);
