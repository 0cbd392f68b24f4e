-- Schedules, webhooks and deliveries: `document` is the record itself. `due` is when somebody must look at it,
-- microseconds since 1970; of a delivery that is over, when it is to be removed.
CREATE TABLE export_schedules (
    tenant   TEXT NOT NULL,
    id       TEXT NOT NULL,
    parent   TEXT NOT NULL,
    revision INTEGER NOT NULL,
    due      INTEGER,
    document TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE INDEX export_schedules_due ON export_schedules (due) WHERE due IS NOT NULL;

CREATE TABLE export_webhooks (
    tenant   TEXT NOT NULL,
    id       TEXT NOT NULL,
    parent   TEXT NOT NULL,
    revision INTEGER NOT NULL,
    due      INTEGER,
    document TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;

CREATE TABLE export_deliveries (
    tenant   TEXT NOT NULL,
    id       TEXT NOT NULL,
    parent   TEXT NOT NULL,
    revision INTEGER NOT NULL,
    due      INTEGER,
    document TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE INDEX export_deliveries_due ON export_deliveries (due) WHERE due IS NOT NULL;
CREATE INDEX export_deliveries_webhook ON export_deliveries (tenant, parent, id);

-- The outbox: whose end was told of. What had ended before there was one is not told of any more.
ALTER TABLE export_runs ADD COLUMN announced INTEGER NOT NULL DEFAULT 0;
UPDATE export_runs SET announced = 1 WHERE status IN ('succeeded', 'failed', 'aborted');
CREATE INDEX export_runs_outbox ON export_runs (last_event_at)
    WHERE announced = 0 AND status IN ('succeeded', 'failed', 'aborted');
