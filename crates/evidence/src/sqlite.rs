//! The embedded ledger: one SQLite file for all tenants.

mod query;
mod read;
mod schema;
mod session;

use std::path::Path;

use async_trait::async_trait;
use export_contract::message::{LedgerSource, Part};
use export_contract::{RecordKind, Sequence, TenantId, Timestamp};
use export_sqlite::rusqlite::{self, OptionalExtension as _, params};
use export_sqlite::{Database, SqliteError, undecodable};

use crate::cutter::{Cutter, PartSize};
use crate::lease::LeaseTerms;
use crate::{EvidenceLedger, ImportSession, LedgerError, LineStream, ReadRange, Selection, Watermark};

/// An evidence ledger in a SQLite file. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SqliteLedger {
    database: Database,
    terms: LeaseTerms,
}

impl SqliteLedger {
    /// Opens the ledger, creating what is missing. Blocks for some seconds at most; see [`Database::open`].
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`] where the file is busy or cannot be reached, else [`LedgerError::Refused`].
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let database = Database::open(path, schema::SCHEMA).map_err(store_failed)?;
        Ok(Self { database, terms: LeaseTerms::default() })
    }

    /// The same ledger with other terms for import leases.
    #[must_use]
    pub fn with_lease(mut self, terms: LeaseTerms) -> Self {
        self.terms = terms;
        self
    }

    async fn read<T: Send + 'static>(
        &self,
        act: String,
        work: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, LedgerError> {
        self.database.read(&act, work).await.map_err(store_failed)
    }
}

#[async_trait]
impl EvidenceLedger for SqliteLedger {
    async fn watermark(&self, tenant: &TenantId) -> Result<Watermark, LedgerError> {
        let tenant = tenant.clone();
        self.read(format!("read the watermark of tenant `{tenant}`"), move |connection| {
            let sql = "SELECT watermark, as_of FROM tenants WHERE tenant = ?1";
            let row =
                connection.prepare_cached(sql)?.query_row([tenant.as_str()], |row| Ok((row.get(0)?, row.get(1)?)));
            row.optional()?.map_or(Ok(Watermark::default()), |(sequence, as_of)| watermark_of(sequence, as_of))
        })
        .await
    }

    async fn as_of(&self, tenant: &TenantId, at: Sequence) -> Result<Option<Timestamp>, LedgerError> {
        let tenant = tenant.clone();
        self.read(format!("read the as-of time of tenant `{tenant}`"), move |connection| {
            let sql = "SELECT max(observed_at) FROM evidence INDEXED BY evidence_sequence
                       WHERE tenant = ?1 AND sequence <= ?2";
            let micros: Option<i64> =
                connection.prepare_cached(sql)?.query_row(params![tenant.as_str(), position(at)], |row| row.get(0))?;
            micros.map(timestamp).transpose()
        })
        .await
    }

    async fn sources(&self, tenant: &TenantId, at: Sequence) -> Result<Vec<LedgerSource>, LedgerError> {
        let tenant = tenant.clone();
        self.read(format!("list the sources of tenant `{tenant}`"), move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT kind, source, count(*) FROM evidence INDEXED BY evidence_order
                 WHERE tenant = ?1 AND sequence <= ?2 AND (superseded_at IS NULL OR superseded_at > ?2)
                 GROUP BY kind, source",
            )?;
            let rows = select.query_map(params![tenant.as_str(), position(at)], |row| {
                let kind: String = row.get(0)?;
                let kind: RecordKind = kind.parse().map_err(|cause| undecodable(0, cause))?;
                Ok(LedgerSource { kind, name: row.get(1)?, records: row.get::<_, i64>(2)?.unsigned_abs() })
            })?;
            let mut sources: Vec<LedgerSource> = rows.collect::<Result<_, _>>()?;
            sources.sort_unstable_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
            Ok(sources)
        })
        .await
    }

    async fn cut(
        &self,
        selection: &Selection,
        kind: RecordKind,
        size: PartSize,
        first_index: u32,
    ) -> Result<Vec<Part>, LedgerError> {
        let selection = selection.clone();
        let act = format!("cut {} of tenant `{}`", kind.file_stem(), selection.tenant);
        self.read(act, move |connection| read::cut(connection, &selection, Cutter::new(size, kind, first_index))).await
    }

    async fn read(&self, range: ReadRange) -> Result<LineStream, LedgerError> {
        Ok(read::stream(self.database.clone(), &range))
    }

    async fn begin_import(&self, tenant: &TenantId) -> Result<Box<dyn ImportSession>, LedgerError> {
        let session = session::SqliteSession::begin(self.database.clone(), tenant, self.terms.clone()).await?;
        Ok(Box::new(session))
    }

    async fn check(&self) -> Result<(), LedgerError> {
        // Takes the write lock and changes nothing.
        let sql = "UPDATE tenants SET watermark = watermark WHERE tenant = ''";
        let outcome = self.database.write("write to the ledger", |transaction| transaction.execute(sql, [])).await;
        outcome.map(drop).map_err(store_failed)
    }
}

fn position(at: Sequence) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

fn timestamp(micros: i64) -> rusqlite::Result<Timestamp> {
    Timestamp::from_micros(micros).map_err(|cause| undecodable(0, cause))
}

fn watermark_of(sequence: i64, as_of: Option<i64>) -> rusqlite::Result<Watermark> {
    Ok(Watermark { sequence: Sequence(sequence.unsigned_abs()), as_of: as_of.map(timestamp).transpose()? })
}

/// An error of SQLite, in the words of the port.
fn failed(act: String, cause: rusqlite::Error) -> LedgerError {
    store_failed(SqliteError::Failed { act, cause })
}

fn store_failed(error: SqliteError) -> LedgerError {
    let transient = error.is_transient();
    let (act, cause): (String, Box<dyn std::error::Error + Send + Sync>) = match error {
        SqliteError::Failed { act, cause } => (act, cause.into()),
        SqliteError::Stopped { act, cause } => (act, cause.into()),
        SqliteError::NewerSchema { .. } => ("open the ledger".to_owned(), error.into()),
    };
    if transient { LedgerError::Unavailable { act, cause } } else { LedgerError::Refused { act, cause } }
}

#[cfg(test)]
mod tests;
