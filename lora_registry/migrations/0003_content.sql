-- What was ever brought in with Atelier, by name, so that nothing of it comes back once deleted.
CREATE TABLE content (
    name TEXT PRIMARY KEY
) WITHOUT ROWID;
