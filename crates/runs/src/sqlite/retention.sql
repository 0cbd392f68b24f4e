-- Retention looks through the runs that still have bytes; both times stand in the document.
ALTER TABLE export_runs ADD COLUMN expiring_at TEXT GENERATED ALWAYS AS (document ->> '$.expiry.since') VIRTUAL;
ALTER TABLE export_runs ADD COLUMN pruned_at TEXT GENERATED ALWAYS AS (document ->> '$.expiry.prunedAt') VIRTUAL;
CREATE INDEX export_runs_with_bytes ON export_runs (tenant, _id) WHERE pruned_at IS NULL;
