-- What chat platforms have told us and was dealt with, so that a repetition is not dealt with again.
CREATE TABLE handled (
    key TEXT PRIMARY KEY,
    at REAL NOT NULL
) WITHOUT ROWID, STRICT;
CREATE INDEX handled_at ON handled (at);
