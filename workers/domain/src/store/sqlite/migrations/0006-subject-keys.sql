-- A subject is the person whose matter it is; several calls and cases may share one. Everything sealed of them is sealed
-- under the subject's keys, one for each class; without keys nothing of it opens, wherever copies of it may be.
CREATE TABLE subject_keys (
    id BLOB PRIMARY KEY,
    case_key_sealed BLOB,
    call_key_sealed BLOB,
    made_at_ms INTEGER NOT NULL,
    destroyed_at_ms INTEGER,
    destroyed_by TEXT,
    CHECK ((case_key_sealed IS NULL) = (destroyed_at_ms IS NOT NULL)),
    CHECK ((call_key_sealed IS NULL) = (destroyed_at_ms IS NOT NULL))
) STRICT, WITHOUT ROWID;

-- What was there before this is moved to keys of its subject in the background.
ALTER TABLE calls ADD COLUMN subject BLOB;
ALTER TABLE calls ADD COLUMN erased_at_ms INTEGER;
UPDATE calls SET subject = id;
CREATE INDEX calls_by_subject ON calls (subject);

ALTER TABLE cases ADD COLUMN subject BLOB;
ALTER TABLE cases ADD COLUMN erased_at_ms INTEGER;
UPDATE cases SET subject = coalesce(call, id);
CREATE INDEX cases_by_subject ON cases (subject);

ALTER TABLE case_versions ADD COLUMN subject BLOB;
ALTER TABLE case_versions ADD COLUMN erased_at_ms INTEGER;
UPDATE case_versions SET subject = coalesce(call, id);
CREATE INDEX case_versions_by_subject ON case_versions (subject);
