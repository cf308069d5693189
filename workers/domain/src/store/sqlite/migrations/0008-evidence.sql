-- Evidence and its chain of custody. The bytes are sealed files beside the database.
CREATE TABLE evidence (
    id BLOB PRIMARY KEY,
    "case" BLOB NOT NULL REFERENCES cases (id),
    subject BLOB NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('kept', 'sealed')),
    bytes INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    sha512 BLOB NOT NULL,
    created_by BLOB NOT NULL,
    created_at_ms INTEGER NOT NULL,
    document_sealed BLOB NOT NULL,
    erased_at_ms INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX evidence_by_case ON evidence ("case", id);
CREATE INDEX evidence_by_subject ON evidence (subject);

CREATE TABLE custody (
    id BLOB PRIMARY KEY,
    evidence BLOB NOT NULL REFERENCES evidence (id),
    subject BLOB NOT NULL,
    seq INTEGER NOT NULL,
    kind TEXT NOT NULL,
    actor BLOB NOT NULL,
    at_ms INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    note_sealed BLOB NOT NULL,
    digest BLOB NOT NULL,
    previous BLOB NOT NULL,
    hash BLOB NOT NULL,
    UNIQUE (evidence, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX custody_by_subject ON custody (subject);
