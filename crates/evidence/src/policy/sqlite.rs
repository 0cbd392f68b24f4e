//! The embedded store: one SQLite file for all tenants, beside the ledger's.

mod read;

use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use export_contract::{Digest, TenantId, Timestamp};
use export_sqlite::rusqlite::{self, OptionalExtension as _, Transaction, params};
use export_sqlite::{Database, SqliteError, undecodable};

use super::{Enrichment, PolicyFinding, PolicySnapshot, PolicyStore};
use crate::{LedgerError, PutRecord};

/// Steps of the schema; see [`Database::open`]. Rows without rowid are their own index, so lists come in key
/// order.
const SCHEMA: &[&str] = &["
CREATE TABLE policy_snapshots (
  tenant TEXT NOT NULL, generated_at INTEGER NOT NULL, snapshot_id TEXT NOT NULL,
  policy_version TEXT NOT NULL, inputs_hash TEXT NOT NULL, digest TEXT NOT NULL, raw BLOB NOT NULL,
  PRIMARY KEY (tenant, snapshot_id)
) STRICT;
CREATE INDEX policy_snapshots_order ON policy_snapshots (tenant, generated_at, snapshot_id);
CREATE TABLE policy_findings (
  tenant TEXT NOT NULL, snapshot_id TEXT NOT NULL, subject TEXT NOT NULL, advisory TEXT NOT NULL,
  finding_id TEXT NOT NULL, status TEXT NOT NULL, severity TEXT NOT NULL, raw BLOB NOT NULL,
  PRIMARY KEY (tenant, snapshot_id, subject, advisory, finding_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE enrichment (
  tenant TEXT NOT NULL, name TEXT NOT NULL, source TEXT NOT NULL, observed_at INTEGER NOT NULL,
  digest TEXT NOT NULL, raw BLOB NOT NULL,
  PRIMARY KEY (tenant, name)
) STRICT;
"];

/// A policy store in a SQLite file of its own. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SqlitePolicyStore {
    database: Database,
}

impl SqlitePolicyStore {
    /// Opens the store, creating what is missing. Blocks for some seconds at most; see [`Database::open`].
    /// The file must not be that of another store.
    ///
    /// # Errors [`LedgerError::Unavailable`] where the file is busy or cannot be reached, else
    /// [`LedgerError::Refused`].
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        Database::open(path, SCHEMA).map(|database| Self { database }).map_err(failed)
    }
}

#[async_trait]
impl PolicyStore for SqlitePolicyStore {
    async fn put_snapshot(&self, tenant: &TenantId, snapshot: PolicySnapshot) -> Result<PutRecord, LedgerError> {
        let tenant = tenant.clone();
        let act = format!("write policy snapshot of tenant `{tenant}`");
        let write = move |transaction: &Transaction<'_>| {
            let sql = "SELECT raw FROM policy_snapshots WHERE tenant = ?1 AND snapshot_id = ?2";
            let put = compare(transaction, sql, &[tenant.as_str(), &snapshot.snapshot_id], &snapshot.raw)?;
            if put != PutRecord::Unchanged {
                transaction
                    .prepare_cached("INSERT OR REPLACE INTO policy_snapshots VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
                    .execute(params![
                        tenant.as_str(),
                        snapshot.generated_at.as_micros(),
                        snapshot.snapshot_id,
                        snapshot.policy_version,
                        snapshot.inputs_hash,
                        snapshot.digest.to_string(),
                        &snapshot.raw[..],
                    ])?;
            }
            Ok(put)
        };
        self.database.write(&act, write).await.map_err(failed)
    }

    async fn put_findings(
        &self,
        tenant: &TenantId,
        findings: Vec<PolicyFinding>,
    ) -> Result<Vec<PutRecord>, LedgerError> {
        let tenant = tenant.clone();
        let act = format!("write policy findings of tenant `{tenant}`");
        let write = move |transaction: &Transaction<'_>| {
            findings.iter().map(|finding| put_finding(transaction, &tenant, finding)).collect()
        };
        self.database.write(&act, write).await.map_err(failed)
    }

    async fn put_enrichment(&self, tenant: &TenantId, enrichment: Enrichment) -> Result<PutRecord, LedgerError> {
        let tenant = tenant.clone();
        let act = format!("write enrichment `{}` of tenant `{tenant}`", enrichment.name);
        let write = move |transaction: &Transaction<'_>| {
            let sql = "SELECT raw FROM enrichment WHERE tenant = ?1 AND name = ?2";
            let put = compare(transaction, sql, &[tenant.as_str(), &enrichment.name], &enrichment.raw)?;
            if put != PutRecord::Unchanged {
                transaction
                    .prepare_cached("INSERT OR REPLACE INTO enrichment VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
                    .execute(params![
                        tenant.as_str(),
                        enrichment.name,
                        enrichment.source,
                        enrichment.observed_at.as_micros(),
                        enrichment.digest.to_string(),
                        &enrichment.raw[..],
                    ])?;
            }
            Ok(put)
        };
        self.database.write(&act, write).await.map_err(failed)
    }

    async fn enrichments(&self, tenant: &TenantId) -> Result<Vec<Enrichment>, LedgerError> {
        let tenant = tenant.clone();
        let act = format!("list enrichment of tenant `{tenant}`");
        let read = move |connection: &rusqlite::Connection| {
            let mut select = connection.prepare_cached(
                "SELECT name, source, observed_at, digest, raw FROM enrichment WHERE tenant = ?1 ORDER BY name",
            )?;
            let rows = select.query_map([tenant.as_str()], |row| {
                Ok(Enrichment {
                    name: row.get(0)?,
                    source: row.get(1)?,
                    observed_at: timestamp(row, 2)?,
                    digest: digest(row, 3)?,
                    raw: raw(row, 4)?,
                })
            })?;
            rows.collect()
        };
        self.database.read(&act, read).await.map_err(failed)
    }
}

fn put_finding(
    transaction: &Transaction<'_>,
    tenant: &TenantId,
    finding: &PolicyFinding,
) -> rusqlite::Result<PutRecord> {
    let key = &finding.key;
    let sql = "SELECT raw FROM policy_findings
               WHERE tenant = ?1 AND snapshot_id = ?2 AND subject = ?3 AND advisory = ?4 AND finding_id = ?5";
    let place = [tenant.as_str(), &finding.snapshot_id, &key.subject, &key.advisory, &key.finding_id];
    let put = compare(transaction, sql, &place, &finding.raw)?;
    if put != PutRecord::Unchanged {
        transaction
            .prepare_cached("INSERT OR REPLACE INTO policy_findings VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
            .execute(params![
            tenant.as_str(),
            finding.snapshot_id,
            key.subject,
            key.advisory,
            key.finding_id,
            finding.status,
            finding.severity,
            &finding.raw[..],
        ])?;
    }
    Ok(put)
}

/// What putting `raw` will mean to the row that `sql` finds.
fn compare(transaction: &Transaction<'_>, sql: &str, place: &[&str], raw: &[u8]) -> rusqlite::Result<PutRecord> {
    let mut select = transaction.prepare_cached(sql)?;
    let same = select.query_row(rusqlite::params_from_iter(place), |row| Ok(row.get_ref(0)?.as_blob()? == raw));
    Ok(match same.optional()? {
        None => PutRecord::Added,
        Some(true) => PutRecord::Unchanged,
        Some(false) => PutRecord::Changed,
    })
}

fn timestamp(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    Timestamp::from_micros(row.get(column)?).map_err(|cause| undecodable(column, cause))
}

fn digest(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Digest> {
    row.get::<_, String>(column)?
        .parse()
        .map_err(|cause: export_contract::digest::ParseDigestError| undecodable(column, cause))
}

fn raw(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Bytes> {
    row.get::<_, Vec<u8>>(column).map(Bytes::from)
}

fn failed(error: SqliteError) -> LedgerError {
    let transient = error.is_transient();
    let (act, cause): (String, Box<dyn std::error::Error + Send + Sync>) = match error {
        SqliteError::Failed { act, cause } => (act, cause.into()),
        SqliteError::Stopped { act, cause } => (act, cause.into()),
        SqliteError::NewerSchema { .. } => ("open the policy store".to_owned(), error.into()),
    };
    if transient { LedgerError::Unavailable { act, cause } } else { LedgerError::Refused { act, cause } }
}

#[cfg(test)]
mod tests {
    use super::SqlitePolicyStore;

    #[tokio::test]
    async fn the_sqlite_store_keeps_the_port() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqlitePolicyStore::open(&folder.path().join("policy.db")).unwrap();
        crate::policy::suite::keeps_the_ports(&store).await;
    }
}
