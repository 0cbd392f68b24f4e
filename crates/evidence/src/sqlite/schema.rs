//! Tables and indexes. Steps are only ever appended.
//!
//! `evidence_order` holds every column that a cut looks at, so that a cut never touches a page with a line on it. The lists
//! that selectors look at stand in tables of their own, clustered by record. A record's row has the line last: SQLite
//! reads the columns before it without following the line's overflow pages.

/// Steps from an empty file to the current schema.
pub(super) const SCHEMA: &[&str] = &[
    "
CREATE TABLE tenants (
  tenant      TEXT PRIMARY KEY,
  watermark   INTEGER NOT NULL DEFAULT 0,
  as_of       INTEGER,
  epoch       INTEGER NOT NULL DEFAULT 0, -- number of the latest import; a session acts only while this is its own
  lease_until INTEGER                     -- NULL: nobody holds it
) STRICT, WITHOUT ROWID;

CREATE TABLE evidence (
  id            INTEGER PRIMARY KEY,
  tenant        TEXT NOT NULL,
  sequence      INTEGER NOT NULL,
  kind          TEXT NOT NULL,
  subject       TEXT NOT NULL,
  document_id   TEXT NOT NULL,
  source        TEXT NOT NULL,
  observed_at   INTEGER NOT NULL,         -- microseconds since 1970
  superseded_at INTEGER,                  -- sequence of the record that took its place
  fingerprint   BLOB NOT NULL,
  content_hash  BLOB NOT NULL,
  format        TEXT NOT NULL,
  spec_version  TEXT NOT NULL,
  plain_bytes   INTEGER NOT NULL,
  line          BLOB NOT NULL
) STRICT;

CREATE INDEX evidence_order
  ON evidence (tenant, kind, subject, document_id, source, sequence, superseded_at, observed_at);
CREATE UNIQUE INDEX evidence_identity
  ON evidence (tenant, kind, source, document_id) WHERE superseded_at IS NULL;
CREATE INDEX evidence_sequence
  ON evidence (tenant, sequence, observed_at);
CREATE INDEX evidence_superseded
  ON evidence (tenant, superseded_at) WHERE superseded_at IS NOT NULL;

CREATE TABLE evidence_ecosystems (
  record    INTEGER NOT NULL,
  ecosystem TEXT NOT NULL,
  PRIMARY KEY (record, ecosystem)
) STRICT, WITHOUT ROWID;

CREATE TABLE evidence_purls (
  record INTEGER NOT NULL,
  purl   TEXT NOT NULL,
  PRIMARY KEY (record, purl)
) STRICT, WITHOUT ROWID;
",
    "
-- A cut looks at lengths too.
DROP INDEX evidence_order;
CREATE INDEX evidence_order
  ON evidence (tenant, kind, subject, document_id, source, sequence, superseded_at, observed_at, plain_bytes);
",
];
