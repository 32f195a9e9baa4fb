-- What web addresses led to that nobody has added. An address may hold a token, so only its
-- SHA-256 is written down.
CREATE TABLE address (
    address  TEXT PRIMARY KEY,
    sha256   TEXT NOT NULL,
    public   INTEGER,               -- whether anybody may fetch it; NULL until that was found out
    noted_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX address_by_time ON address (noted_at);
