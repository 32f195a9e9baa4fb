-- Money, in US dollars. `price` is what a job was expected to cost when it was taken, `charge` what
-- counts against the community's day: the price until the job ends, then what it did cost.
ALTER TABLE jobs ADD COLUMN price REAL NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN charge REAL NOT NULL DEFAULT 0;
