-- Cases are listed by urgency and by change, too, page by page.
ALTER TABLE cases ADD COLUMN urgency_rank INTEGER NOT NULL GENERATED ALWAYS AS (
    CASE urgency WHEN 'emergency' THEN 0 WHEN 'urgent' THEN 1 WHEN 'soon' THEN 2 WHEN 'routine' THEN 3 ELSE 4 END
) VIRTUAL;
CREATE INDEX cases_by_urgency ON cases (urgency_rank, created_at_ms, id);
DROP INDEX cases_by_change;
CREATE INDEX cases_by_change ON cases (updated_at_ms, id);
