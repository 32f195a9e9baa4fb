-- What somebody typed, where presets made more of it: the command that asks for the same again, with
-- the revisions that were used. NULL where the request says it all.
ALTER TABLE jobs ADD COLUMN asked TEXT;
