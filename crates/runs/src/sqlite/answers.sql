-- What became of requests with an `Idempotency-Key`, and the profiles that were deleted. As the other entries.
CREATE TABLE export_idempotency (
    tenant   TEXT NOT NULL,
    id       TEXT NOT NULL,
    parent   TEXT NOT NULL,
    revision INTEGER NOT NULL,
    due      INTEGER,
    document TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE INDEX export_idempotency_due ON export_idempotency (due);

CREATE TABLE export_deleted_profiles (
    tenant   TEXT NOT NULL,
    id       TEXT NOT NULL,
    parent   TEXT NOT NULL,
    revision INTEGER NOT NULL,
    due      INTEGER,
    document TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
