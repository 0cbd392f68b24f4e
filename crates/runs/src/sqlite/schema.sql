-- The names are those of the specification's "Data model snapshots". `document` is the record itself; the columns that
-- the specification names are generated from it, so that the two cannot differ.

CREATE TABLE export_profiles (
    _id         TEXT NOT NULL PRIMARY KEY,
    document    TEXT NOT NULL,
    tenant      TEXT NOT NULL GENERATED ALWAYS AS (document ->> '$.tenant') STORED,
    profile_id  TEXT NOT NULL GENERATED ALWAYS AS (document ->> '$.id') STORED,
    revision    INTEGER NOT NULL GENERATED ALWAYS AS (document ->> '$.revision') STORED,
    name        TEXT NOT NULL GENERATED ALWAYS AS (document ->> '$.name') VIRTUAL,
    kind        TEXT NOT NULL GENERATED ALWAYS AS
                    (substr(document ->> '$.kind', 1, instr(document ->> '$.kind', ':') - 1)) VIRTUAL,
    variant     TEXT NOT NULL GENERATED ALWAYS AS
                    (substr(document ->> '$.kind', instr(document ->> '$.kind', ':') + 1)) VIRTUAL,
    config_json TEXT NOT NULL GENERATED ALWAYS AS (document -> '$.config') VIRTUAL,
    created_by  TEXT NOT NULL GENERATED ALWAYS AS (document ->> '$.createdBy') VIRTUAL,
    created_at  TEXT NOT NULL GENERATED ALWAYS AS (document ->> '$.createdAt') VIRTUAL
);
CREATE UNIQUE INDEX export_profiles_revision ON export_profiles (tenant, profile_id, revision);

CREATE TABLE export_runs (
    _id                TEXT NOT NULL PRIMARY KEY,
    document           TEXT NOT NULL,
    -- Number and time (microseconds since 1970) of the newest event.
    last_ordinal       INTEGER NOT NULL,
    last_event_at      INTEGER NOT NULL,
    idempotency_key    TEXT,
    fingerprint        TEXT,
    tenant             TEXT NOT NULL GENERATED ALWAYS AS (document ->> '$.tenant') STORED,
    profile_id         TEXT NOT NULL GENERATED ALWAYS AS (document ->> '$.profileId') STORED,
    status             TEXT NOT NULL GENERATED ALWAYS AS (document ->> '$.status') STORED,
    requested_by       TEXT NOT NULL GENERATED ALWAYS AS (document ->> '$.requestedBy') VIRTUAL,
    selectors          TEXT NOT NULL GENERATED ALWAYS AS (document -> '$.selectors') VIRTUAL,
    policy_snapshot_id TEXT GENERATED ALWAYS AS (document ->> '$.policySnapshotId.id') VIRTUAL,
    started_at         TEXT GENERATED ALWAYS AS (document ->> '$.startedAt') VIRTUAL,
    completed_at       TEXT GENERATED ALWAYS AS (document ->> '$.completedAt') VIRTUAL,
    duration_ms        INTEGER GENERATED ALWAYS AS (document ->> '$.durationMs') VIRTUAL,
    error_code         TEXT GENERATED ALWAYS AS (document ->> '$.errorCode') VIRTUAL
);
CREATE UNIQUE INDEX export_runs_idempotency ON export_runs (tenant, idempotency_key);
CREATE INDEX export_runs_newest ON export_runs (tenant, _id);
CREATE INDEX export_runs_status ON export_runs (tenant, status, _id);
CREATE INDEX export_runs_profile ON export_runs (tenant, profile_id, _id);
CREATE INDEX export_runs_silent ON export_runs (status, last_event_at, _id);

CREATE TABLE export_inputs (
    run_id TEXT NOT NULL REFERENCES export_runs (_id) ON DELETE CASCADE,
    part   INTEGER NOT NULL,
    kind   TEXT NOT NULL,
    source TEXT NOT NULL,
    cursor TEXT NOT NULL,
    count  INTEGER NOT NULL,
    hash   TEXT NOT NULL,
    PRIMARY KEY (run_id, part, kind, source)
) WITHOUT ROWID;

CREATE TABLE export_distributions (
    run_id     TEXT NOT NULL REFERENCES export_runs (_id) ON DELETE CASCADE,
    type       TEXT NOT NULL,
    location   TEXT NOT NULL,
    sha256     TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    expires_at TEXT,
    PRIMARY KEY (run_id, type, location)
) WITHOUT ROWID;

CREATE TABLE export_events (
    run_id     TEXT NOT NULL REFERENCES export_runs (_id) ON DELETE CASCADE,
    ordinal    INTEGER NOT NULL,
    -- Names the fact; a fact is recorded once.
    fact       TEXT NOT NULL,
    event_type TEXT NOT NULL,
    phase      TEXT,
    message    TEXT NOT NULL,
    at         TEXT NOT NULL,
    metrics    TEXT NOT NULL,
    actor      TEXT,
    PRIMARY KEY (run_id, ordinal)
) WITHOUT ROWID;
CREATE UNIQUE INDEX export_events_fact ON export_events (run_id, fact);
