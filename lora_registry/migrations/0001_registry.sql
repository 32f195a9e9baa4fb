-- LoRAs, presets with their immutable revisions, where they are listed, and who decided what.
-- Times are seconds since 1970, UTC; JSON columns hold the pydantic models of models.py.

CREATE TABLE owner (
    id         TEXT PRIMARY KEY,
    handle     TEXT NOT NULL UNIQUE,
    skeleton   TEXT NOT NULL UNIQUE,
    created_at REAL NOT NULL
) WITHOUT ROWID;

-- Where presets are listed. Place 1 is the whole instance: its listings are public, and its rules
-- and ceiling hold everywhere.
CREATE TABLE place (
    number       INTEGER PRIMARY KEY,
    kind         TEXT NOT NULL CHECK (kind IN ('public', 'community', 'person')),
    id           TEXT NOT NULL,
    publishing   TEXT NOT NULL DEFAULT 'reviewed'
                 CHECK (publishing IN ('open', 'reviewed', 'closed')),
    nsfw_ceiling INTEGER NOT NULL DEFAULT 4 CHECK (nsfw_ceiling BETWEEN 0 AND 4),
    UNIQUE (kind, id)
);
INSERT INTO place (number, kind, id) VALUES (1, 'public', '');

CREATE TABLE lora (
    sha256   TEXT PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    record   TEXT NOT NULL,
    nsfw     INTEGER NOT NULL GENERATED ALWAYS AS (json_extract(record, '$.nsfw')) STORED,
    -- Two of the record's flags decide who may use it.
    minor    INTEGER NOT NULL GENERATED ALWAYS AS (instr(json_extract(record, '$.flags'), '"minor"') > 0) STORED,
    person   INTEGER NOT NULL GENERATED ALWAYS AS (instr(json_extract(record, '$.flags'), '"poi"') > 0) STORED,
    added_by TEXT NOT NULL,
    added_at REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE lora_source (
    sha256      TEXT NOT NULL REFERENCES lora ON DELETE CASCADE,
    source      TEXT NOT NULL,
    added_at    REAL NOT NULL,
    verified_at REAL,
    failed_at   REAL,
    failure     TEXT,
    PRIMARY KEY (sha256, source)
) WITHOUT ROWID;

-- A deleted preset stays as a tombstone: its revision numbers are never used again.
CREATE TABLE preset (
    number      INTEGER PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    owner       TEXT NOT NULL,
    slug        TEXT NOT NULL,
    head        INTEGER NOT NULL,
    forked_from TEXT,
    forked_rev  INTEGER,
    uses        INTEGER NOT NULL DEFAULT 0,
    likes       INTEGER NOT NULL DEFAULT 0,
    created_at  REAL NOT NULL,
    deleted_at  REAL,
    UNIQUE (owner, slug)
);

CREATE TABLE preset_rev (
    preset     INTEGER NOT NULL REFERENCES preset,
    rev        INTEGER NOT NULL CHECK (rev >= 1),
    sha256     TEXT NOT NULL,
    body       TEXT NOT NULL,
    author     TEXT NOT NULL,
    note       TEXT NOT NULL,
    created_at REAL NOT NULL,
    PRIMARY KEY (preset, rev)
) WITHOUT ROWID;

-- Erasing a person blanks the author and leaves the rest of others' revisions alone.
CREATE TRIGGER preset_rev_is_immutable
BEFORE UPDATE OF preset, rev, sha256, body, note, created_at ON preset_rev
BEGIN
    SELECT raise(ABORT, 'a revision never changes');
END;
CREATE TRIGGER preset_rev_stays
BEFORE DELETE ON preset_rev
WHEN (SELECT deleted_at IS NULL FROM preset WHERE number = old.preset)
BEGIN
    SELECT raise(ABORT, 'a revision goes only with its preset');
END;

-- What rules look at.
CREATE TABLE preset_lora (
    preset INTEGER NOT NULL,
    rev    INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (preset, rev, sha256)
) WITHOUT ROWID;
CREATE INDEX preset_lora_by_hash ON preset_lora (sha256);
CREATE TABLE preset_tag (
    preset INTEGER NOT NULL,
    rev    INTEGER NOT NULL,
    tag    TEXT NOT NULL,
    PRIMARY KEY (preset, rev, tag)
) WITHOUT ROWID;

-- A preset at a place, with the revision that holds there: the head with its owner (a person's
-- place), the approved one elsewhere. `asked` is a revision that waits for approval.
CREATE TABLE listing (
    number   INTEGER PRIMARY KEY,
    place    INTEGER NOT NULL REFERENCES place,
    preset   INTEGER NOT NULL REFERENCES preset,
    owner    TEXT NOT NULL,
    slug     TEXT NOT NULL,
    skeleton TEXT NOT NULL,
    bare     INTEGER NOT NULL,      -- whether it holds the short name in a shared place
    rev      INTEGER,
    asked    INTEGER,
    hidden   INTEGER NOT NULL DEFAULT 0,
    pinned   INTEGER NOT NULL DEFAULT 0,
    reason   TEXT NOT NULL DEFAULT '',
    -- Follow from the revision and its LoRAs; kept here because every keystroke asks for them.
    nsfw     INTEGER NOT NULL DEFAULT 0,
    barred   INTEGER NOT NULL DEFAULT 0,
    score    INTEGER NOT NULL DEFAULT 0,
    words    TEXT NOT NULL DEFAULT '',
    here     TEXT NOT NULL,         -- the place as one word and one trigram, for the indexes
    UNIQUE (preset, place)
);
CREATE INDEX listing_by_slug ON listing (place, slug);
CREATE INDEX listing_by_score ON listing (place, score DESC);
CREATE INDEX listing_by_letter ON listing (place, substr(slug, 1, 1), score DESC);
CREATE INDEX listing_by_letters ON listing (place, substr(slug, 1, 2), score DESC);
CREATE INDEX listing_waiting ON listing (place) WHERE asked IS NOT NULL;
-- Names that look alike are one name.
CREATE UNIQUE INDEX listing_short_name ON listing (place, skeleton) WHERE bare;

-- Every revision that was approved at a place stays usable there by its number.
CREATE TABLE approval (
    preset INTEGER NOT NULL,
    place  INTEGER NOT NULL,
    rev    INTEGER NOT NULL,
    PRIMARY KEY (preset, place, rev)
) WITHOUT ROWID;

-- Earlier names, and names of deleted presets that nobody else gets before `until`.
CREATE TABLE alias (
    place    INTEGER NOT NULL REFERENCES place,
    slug     TEXT NOT NULL,
    skeleton TEXT NOT NULL,
    preset   INTEGER NOT NULL REFERENCES preset,
    until    REAL,
    PRIMARY KEY (place, slug)
) WITHOUT ROWID;
CREATE INDEX alias_by_skeleton ON alias (place, skeleton);
CREATE INDEX alias_by_preset ON alias (preset);

CREATE TABLE rule (
    effect  TEXT NOT NULL CHECK (effect IN ('allow', 'deny')),
    kind    TEXT NOT NULL CHECK (kind IN ('preset', 'owner', 'lora', 'tag')),
    value   TEXT NOT NULL,
    place   INTEGER NOT NULL REFERENCES place,
    reason  TEXT NOT NULL,
    made_by TEXT NOT NULL,
    made_at REAL NOT NULL,
    PRIMARY KEY (effect, kind, value, place)
) WITHOUT ROWID;
CREATE INDEX rule_by_place ON rule (place);

-- Public presets, or all of an owner, that a community has chosen: their short names come before
-- other public ones there.
CREATE TABLE installed (
    place        INTEGER NOT NULL REFERENCES place,
    kind         TEXT NOT NULL CHECK (kind IN ('preset', 'owner')),
    value        TEXT NOT NULL,
    installed_by TEXT NOT NULL,
    installed_at REAL NOT NULL,
    PRIMARY KEY (place, kind, value)
) WITHOUT ROWID;

CREATE TABLE liked (
    preset    INTEGER NOT NULL REFERENCES preset,
    requester TEXT NOT NULL,
    liked_at  REAL NOT NULL,
    PRIMARY KEY (preset, requester)
) WITHOUT ROWID;
CREATE INDEX liked_by ON liked (requester);

-- How often, never by whom or with what words.
CREATE TABLE usage_daily (
    preset INTEGER NOT NULL REFERENCES preset,
    day    TEXT NOT NULL,
    uses   INTEGER NOT NULL,
    PRIMARY KEY (preset, day)
) WITHOUT ROWID;

CREATE TABLE report (
    number     INTEGER PRIMARY KEY,
    preset     INTEGER NOT NULL REFERENCES preset,
    place      INTEGER NOT NULL REFERENCES place,
    rev        INTEGER NOT NULL,
    reporter   TEXT NOT NULL,
    reason     TEXT NOT NULL,
    made_at    REAL NOT NULL,
    settled_at REAL,
    settled_by TEXT
);
CREATE INDEX report_open ON report (place) WHERE settled_at IS NULL;

CREATE TABLE moderation (
    number INTEGER PRIMARY KEY,
    place  INTEGER NOT NULL,
    actor  TEXT NOT NULL,
    action TEXT NOT NULL,
    what   TEXT NOT NULL,
    rev    INTEGER,
    reason TEXT NOT NULL,
    at     REAL NOT NULL
);
CREATE INDEX moderation_by_place ON moderation (place, number);
-- Erasing a person blanks the actor; nothing else of the log ever changes.
CREATE TRIGGER moderation_is_append_only
BEFORE UPDATE OF number, place, action, what, rev, reason, at ON moderation
BEGIN
    SELECT raise(ABORT, 'the moderation log never changes');
END;
CREATE TRIGGER moderation_stays
BEFORE DELETE ON moderation
BEGIN
    SELECT raise(ABORT, 'the moderation log never changes');
END;

-- Search. Public listings have indexes of their own, as everybody sees them; those of the rest take
-- the place as a word, because most of them nobody else sees. All read their text from `listing`;
-- the triggers keep them in step.
CREATE VIRTUAL TABLE public_words USING fts5 (
    words, content = 'listing', content_rowid = 'number',
    tokenize = 'unicode61 remove_diacritics 2', prefix = '1 2 3', detail = none, columnsize = 0
);
CREATE VIRTUAL TABLE public_parts USING fts5 (
    slug, content = 'listing', content_rowid = 'number', tokenize = 'trigram', columnsize = 0
);
CREATE VIRTUAL TABLE other_words USING fts5 (
    words, here, content = 'listing', content_rowid = 'number',
    tokenize = 'unicode61 remove_diacritics 2', prefix = '1 2 3', detail = column, columnsize = 0
);
CREATE VIRTUAL TABLE other_parts USING fts5 (
    slug, here, content = 'listing', content_rowid = 'number', tokenize = 'trigram', columnsize = 0
);
CREATE TRIGGER public_listing_added AFTER INSERT ON listing WHEN new.place = 1
BEGIN
    INSERT INTO public_words (rowid, words) VALUES (new.number, new.words);
    INSERT INTO public_parts (rowid, slug) VALUES (new.number, new.slug);
END;
CREATE TRIGGER public_listing_reworded AFTER UPDATE OF words, slug ON listing WHEN new.place = 1
BEGIN
    INSERT INTO public_words (public_words, rowid, words)
        VALUES ('delete', old.number, old.words);
    INSERT INTO public_parts (public_parts, rowid, slug)
        VALUES ('delete', old.number, old.slug);
    INSERT INTO public_words (rowid, words) VALUES (new.number, new.words);
    INSERT INTO public_parts (rowid, slug) VALUES (new.number, new.slug);
END;
CREATE TRIGGER public_listing_removed AFTER DELETE ON listing WHEN old.place = 1
BEGIN
    INSERT INTO public_words (public_words, rowid, words)
        VALUES ('delete', old.number, old.words);
    INSERT INTO public_parts (public_parts, rowid, slug)
        VALUES ('delete', old.number, old.slug);
END;
CREATE TRIGGER other_listing_added AFTER INSERT ON listing WHEN new.place <> 1
BEGIN
    INSERT INTO other_words (rowid, words, here) VALUES (new.number, new.words, new.here);
    INSERT INTO other_parts (rowid, slug, here) VALUES (new.number, new.slug, new.here);
END;
CREATE TRIGGER other_listing_reworded AFTER UPDATE OF words, slug ON listing WHEN new.place <> 1
BEGIN
    INSERT INTO other_words (other_words, rowid, words, here)
        VALUES ('delete', old.number, old.words, old.here);
    INSERT INTO other_parts (other_parts, rowid, slug, here)
        VALUES ('delete', old.number, old.slug, old.here);
    INSERT INTO other_words (rowid, words, here) VALUES (new.number, new.words, new.here);
    INSERT INTO other_parts (rowid, slug, here) VALUES (new.number, new.slug, new.here);
END;
CREATE TRIGGER other_listing_removed AFTER DELETE ON listing WHEN old.place <> 1
BEGIN
    INSERT INTO other_words (other_words, rowid, words, here)
        VALUES ('delete', old.number, old.words, old.here);
    INSERT INTO other_parts (other_parts, rowid, slug, here)
        VALUES ('delete', old.number, old.slug, old.here);
END;

-- Every word of three letters and more, to find the one that was meant by a misspelt one.
CREATE TABLE word (
    number INTEGER PRIMARY KEY,
    text   TEXT NOT NULL UNIQUE
);
CREATE VIRTUAL TABLE word_parts USING fts5 (
    text, content = 'word', content_rowid = 'number', tokenize = 'trigram', detail = none
);
CREATE TRIGGER word_added AFTER INSERT ON word
BEGIN
    INSERT INTO word_parts (rowid, text) VALUES (new.number, new.text);
END;
CREATE TRIGGER word_removed AFTER DELETE ON word
BEGIN
    INSERT INTO word_parts (word_parts, rowid, text) VALUES ('delete', old.number, old.text);
END;
CREATE VIRTUAL TABLE public_vocabulary USING fts5vocab (public_words, 'row');
CREATE VIRTUAL TABLE other_vocabulary USING fts5vocab (other_words, 'row');
