-- People, sessions, cases, calls, jobs. Columns that end in _sealed are ciphertext.
CREATE TABLE users (
    id BLOB PRIMARY KEY,
    name_index BLOB NOT NULL UNIQUE,
    name_sealed BLOB NOT NULL,
    roles TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    must_change_password INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    id BLOB PRIMARY KEY,
    user BLOB NOT NULL REFERENCES users (id),
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    last_seen_ms INTEGER NOT NULL,
    automation INTEGER NOT NULL,
    revoked_at_ms INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_end ON sessions (expires_at_ms);

CREATE TABLE cases (
    id BLOB PRIMARY KEY,
    number TEXT NOT NULL UNIQUE,
    version INTEGER NOT NULL,
    state TEXT NOT NULL,
    urgency TEXT NOT NULL,
    issues TEXT NOT NULL,
    classification TEXT NOT NULL,
    assigned_to BLOB,
    created_by BLOB,
    call BLOB,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    updated_by BLOB,
    document_sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX cases_by_creation ON cases (created_at_ms DESC, id DESC);

-- Every version that was ever current.
CREATE TABLE case_versions (
    id BLOB NOT NULL,
    number TEXT NOT NULL,
    version INTEGER NOT NULL,
    state TEXT NOT NULL,
    urgency TEXT NOT NULL,
    issues TEXT NOT NULL,
    classification TEXT NOT NULL,
    assigned_to BLOB,
    created_by BLOB,
    call BLOB,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    updated_by BLOB,
    document_sealed BLOB NOT NULL,
    PRIMARY KEY (id, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE calls (
    id BLOB PRIMARY KEY,
    state TEXT NOT NULL,
    progress_percent INTEGER NOT NULL,
    error TEXT,
    created_by BLOB NOT NULL,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    jurisdiction TEXT NOT NULL,
    container TEXT NOT NULL,
    audio_bytes INTEGER NOT NULL,
    audio_sha256 BLOB NOT NULL,
    caller_sealed BLOB NOT NULL,
    transcript_sealed BLOB,
    analysis_sealed BLOB,
    recommendations_sealed BLOB,
    "case" BLOB REFERENCES cases (id)
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
    id BLOB PRIMARY KEY,
    call BLOB NOT NULL REFERENCES calls (id),
    state TEXT NOT NULL CHECK (state IN ('ready', 'leased', 'done', 'dead')),
    priority INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    run_after_ms INTEGER NOT NULL,
    lease_owner TEXT,
    lease_until_ms INTEGER,
    last_error TEXT,
    created_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX jobs_that_wait ON jobs (state, priority DESC, run_after_ms) WHERE state IN ('ready', 'leased');

-- Idempotency keys, as digests: what a request made the first time.
CREATE TABLE once (
    scope BLOB PRIMARY KEY,
    digest BLOB NOT NULL,
    made BLOB NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX once_by_time ON once (at_ms);
