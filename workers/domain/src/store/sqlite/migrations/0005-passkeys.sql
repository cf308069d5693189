-- Passkeys: public halves only. The device's id of one is found by a digest.
CREATE TABLE passkeys (
    id BLOB PRIMARY KEY,
    user BLOB NOT NULL REFERENCES users (id),
    credential_index BLOB NOT NULL UNIQUE,
    -- Its name and the credential.
    passkey_sealed BLOB NOT NULL,
    -- As the device counted last. It only grows; 0 for ever where the device does not count.
    sign_count INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    used_at_ms INTEGER,
    -- Another device was seen to hold it, too.
    suspended_at_ms INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX passkeys_by_user ON passkeys (user);

-- Challenges that were answered, until they would have lapsed.
CREATE TABLE used_challenges (
    id BLOB PRIMARY KEY,
    until_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
