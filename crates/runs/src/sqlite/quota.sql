-- Runs that a tenant submitted on a day (number of days since 1970, UTC).
CREATE TABLE export_quota_days (
    tenant TEXT NOT NULL,
    day    INTEGER NOT NULL,
    runs   INTEGER NOT NULL,
    PRIMARY KEY (tenant, day)
) WITHOUT ROWID;
-- For the bytes of a day: the end of a run is an event of it, so none that ended on a day has its newest event before.
CREATE INDEX export_runs_usage ON export_runs (tenant, status, last_event_at);

-- Who did what: `document` is the entry itself. `place` orders the entries of a tenant by time.
CREATE TABLE export_audit (
    tenant   TEXT NOT NULL,
    id       TEXT NOT NULL,
    place    TEXT NOT NULL,
    at       INTEGER NOT NULL,
    action   TEXT NOT NULL,
    ended    INTEGER NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE INDEX export_audit_place ON export_audit (tenant, place);
CREATE INDEX export_audit_at ON export_audit (at);
