-- Second factors, how sure a session is of its person, accounts that are closed, and tries that failed.
ALTER TABLE users ADD COLUMN disabled_at_ms INTEGER;
-- When the password was given or chosen; 0: before this was written down.
ALTER TABLE users ADD COLUMN password_at_ms INTEGER NOT NULL DEFAULT 0;
-- Whether the password is long enough to be the only factor.
ALTER TABLE users ADD COLUMN password_stands_alone INTEGER NOT NULL DEFAULT 1;

-- How many factors were shown, and when last.
ALTER TABLE sessions ADD COLUMN factors INTEGER NOT NULL DEFAULT 1;
ALTER TABLE sessions ADD COLUMN proven_at_ms INTEGER NOT NULL DEFAULT 0;
CREATE INDEX sessions_by_user ON sessions (user);

-- One authenticator app for each person. A code's step is taken once: last_step only grows.
CREATE TABLE totp (
    user BLOB PRIMARY KEY REFERENCES users (id),
    secret_sealed BLOB NOT NULL,
    last_step INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    confirmed_at_ms INTEGER
) STRICT, WITHOUT ROWID;

-- Digests under a key that is sealed with the secret above; a code that was used is gone.
CREATE TABLE recovery_codes (
    user BLOB NOT NULL REFERENCES users (id),
    digest BLOB NOT NULL,
    PRIMARY KEY (user, digest)
) STRICT, WITHOUT ROWID;

-- Failed log-ins in a row: of a name from one neighbourhood, and of the name from anywhere (place x'').
-- Both are digests; a name need not be anybody's.
CREATE TABLE tries (
    name BLOB NOT NULL,
    place BLOB NOT NULL,
    failures INTEGER NOT NULL,
    failed_at_ms INTEGER NOT NULL,
    -- The last log-in that succeeded from here; 0: none.
    succeeded_at_ms INTEGER NOT NULL,
    PRIMARY KEY (name, place)
) STRICT, WITHOUT ROWID;
