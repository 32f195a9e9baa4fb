-- What communities and members have set. A document is a JSON object that holds only the settings
-- that somebody chose; everything else comes from the layer below. A version is never used twice,
-- so rows are emptied but never deleted.

CREATE TABLE community_settings (
    community TEXT NOT NULL PRIMARY KEY,
    version   INTEGER NOT NULL,
    document  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE member_settings (
    community TEXT NOT NULL,
    member    TEXT NOT NULL,
    document  TEXT NOT NULL,
    PRIMARY KEY (community, member)
) STRICT, WITHOUT ROWID;

-- Who changed which settings: a JSON list of names, never a value. An empty list is a reset.
CREATE TABLE community_changes (
    community  TEXT NOT NULL,
    version    INTEGER NOT NULL,
    changed_by TEXT NOT NULL,
    changed_at REAL NOT NULL,
    fields     TEXT NOT NULL,
    PRIMARY KEY (community, version)
) STRICT, WITHOUT ROWID;
