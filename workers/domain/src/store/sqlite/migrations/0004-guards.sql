-- Who must not come near a case, who alone may, what keeps it as it is, which caller follows it, and who got in with a
-- reason.
CREATE TABLE case_guards (
    id BLOB PRIMARY KEY,
    "case" BLOB NOT NULL REFERENCES cases (id),
    -- Whose matter it is; the reason is sealed for them, and ends with them.
    subject BLOB NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('wall', 'member', 'hold', 'withheld', 'caller', 'broken-glass')),
    -- Whom it is about; none for a hold and for what a client withholds.
    user BLOB REFERENCES users (id),
    -- What is withheld; of a caller, a digest of their secret.
    what TEXT,
    reason_sealed BLOB NOT NULL,
    made_by BLOB NOT NULL,
    made_at_ms INTEGER NOT NULL,
    until_ms INTEGER,
    ended_at_ms INTEGER,
    ended_by BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX guards_by_case ON case_guards ("case", id);

-- Up to which classification somebody is trusted; none: as their roles are.
ALTER TABLE users ADD COLUMN clearance TEXT;
