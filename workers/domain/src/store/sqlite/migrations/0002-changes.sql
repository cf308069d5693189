-- Who comes back to a live connection asks what has changed since.
CREATE INDEX cases_by_change ON cases (updated_at_ms);
