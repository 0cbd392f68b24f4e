//! An import into SQLite.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use export_contract::{TenantId, Timestamp};
use export_sqlite::rusqlite::{Connection, OptionalExtension as _, Result as SqlResult, Transaction, params};
use export_sqlite::{Database, undecodable};
use tokio_util::task::AbortOnDropHandle;

use super::store_failed;
use crate::batch::{self, Identity, Prepared, Row};
use crate::lease::LeaseTerms;
use crate::line::Fingerprint;
use crate::{ImportSession, LedgerError, NewRecord, PutRecord, Watermark};

/// Holds the lease as long as the tenant's `epoch` is its own. Every transaction checks that first, so a session that
/// was stopped for longer than its lease cannot touch what its successor does.
pub(super) struct SqliteSession {
    database: Database,
    tenant: TenantId,
    terms: LeaseTerms,
    epoch: i64,
    last_sequence: i64,
    as_of: Option<i64>,
    _renewal: AbortOnDropHandle<()>,
}

/// What a session needs to know of its tenant.
struct Begun {
    epoch: i64,
    watermark: i64,
    as_of: Option<i64>,
}

impl SqliteSession {
    pub(super) async fn begin(database: Database, tenant: &TenantId, terms: LeaseTerms) -> Result<Self, LedgerError> {
        let act = format!("begin an import of tenant `{tenant}`");
        let (now, until) = (terms.now().as_micros(), terms.end().as_micros());
        let begun = database
            .try_write(&act, {
                let tenant = tenant.clone();
                move |transaction| begin(transaction, &tenant, now, until)
            })
            .await
            .map_err(store_failed)?
            .map_err(|until| LedgerError::ImportInProgress { tenant: tenant.clone(), until })?;
        let renewal = tokio::spawn(renew(database.clone(), tenant.clone(), begun.epoch, terms.clone()));
        Ok(Self {
            database,
            tenant: tenant.clone(),
            terms,
            epoch: begun.epoch,
            last_sequence: begun.watermark,
            as_of: begun.as_of,
            _renewal: AbortOnDropHandle::new(renewal),
        })
    }

    /// Runs `work` in a transaction that holds the lease and renews it.
    async fn write<T: Send + 'static>(
        &self,
        act: String,
        work: impl FnOnce(&Transaction<'_>) -> SqlResult<T> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (tenant, epoch, until) = (self.tenant.clone(), self.epoch, self.terms.end().as_micros());
        self.database
            .try_write(&act, move |transaction| {
                if extend(transaction, &tenant, epoch, until)? { Ok(Ok(work(transaction)?)) } else { Ok(Err(())) }
            })
            .await
            .map_err(store_failed)?
            .map_err(|()| LedgerError::LeaseLost { tenant: self.tenant.clone() })
    }

    /// The fingerprints of the records that `records` would supersede.
    async fn current(&self, records: &Arc<Vec<NewRecord>>) -> Result<BTreeMap<Identity, Fingerprint>, LedgerError> {
        let (tenant, epoch, records) = (self.tenant.clone(), self.epoch, Arc::clone(records));
        let act = format!("look up records of tenant `{tenant}`");
        let found = self
            .database
            .read(&act, move |connection| {
                if !holds(connection, &tenant, epoch)? {
                    return Ok(None);
                }
                current(connection, &tenant, &records).map(Some)
            })
            .await
            .map_err(store_failed)?;
        found.ok_or_else(|| LedgerError::LeaseLost { tenant: self.tenant.clone() })
    }
}

#[async_trait]
impl ImportSession for SqliteSession {
    async fn put(&mut self, records: Vec<NewRecord>) -> Result<Vec<PutRecord>, LedgerError> {
        let records = Arc::new(records);
        let current = self.current(&records).await?;
        let first = self.last_sequence + 1;
        let tenant = self.tenant.clone();
        let Prepared { outcomes, rows } = batch::prepare(&tenant, Arc::clone(&records), current, first).await?;
        if rows.is_empty() {
            return Ok(outcomes);
        }
        let written = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        let as_of = rows.iter().filter_map(|row| records.get(row.index)).map(|r| r.observed_at.as_micros()).max();
        let tenant = self.tenant.clone();
        self.write(format!("put records of tenant `{tenant}`"), move |transaction| {
            rows.iter().try_for_each(|row| match records.get(row.index) {
                Some(record) => insert(transaction, &tenant, record, row),
                None => Ok(()),
            })
        })
        .await?;
        self.last_sequence += written;
        self.as_of = self.as_of.max(as_of);
        Ok(outcomes)
    }

    async fn commit(self: Box<Self>) -> Result<Watermark, LedgerError> {
        let (tenant, watermark, as_of) = (self.tenant.clone(), self.last_sequence, self.as_of);
        self.write(format!("commit the import of tenant `{tenant}`"), move |transaction| {
            let sql = "UPDATE tenants SET watermark = ?2, as_of = ?3, lease_until = NULL WHERE tenant = ?1";
            transaction.execute(sql, params![tenant.as_str(), watermark, as_of]).map(drop)
        })
        .await?;
        super::watermark_of(watermark, as_of).map_err(|cause| super::failed("read the watermark".to_owned(), cause))
    }

    async fn abandon(self: Box<Self>) -> Result<(), LedgerError> {
        let tenant = self.tenant.clone();
        let act = format!("abandon the import of tenant `{tenant}`");
        let outcome = self.write(act, move |transaction| {
            transaction.execute("UPDATE tenants SET lease_until = NULL WHERE tenant = ?1", [tenant.as_str()]).map(drop)
        });
        match outcome.await {
            Err(LedgerError::LeaseLost { .. }) => Ok(()),
            outcome => outcome,
        }
    }
}

/// Takes the lease and removes what an import that never committed has left. The inner error is the end of another lease.
fn begin(
    transaction: &Transaction<'_>,
    tenant: &TenantId,
    now: i64,
    until: i64,
) -> SqlResult<Result<Begun, Timestamp>> {
    transaction.execute("INSERT INTO tenants (tenant) VALUES (?1) ON CONFLICT DO NOTHING", [tenant.as_str()])?;
    let taken = transaction
        .query_row(
            "UPDATE tenants SET epoch = epoch + 1, lease_until = ?3
             WHERE tenant = ?1 AND (lease_until IS NULL OR lease_until <= ?2) RETURNING epoch, watermark, as_of",
            params![tenant.as_str(), now, until],
            |row| Ok(Begun { epoch: row.get(0)?, watermark: row.get(1)?, as_of: row.get(2)? }),
        )
        .optional()?;
    let Some(begun) = taken else {
        let sql = "SELECT lease_until FROM tenants WHERE tenant = ?1";
        let until = transaction.query_row(sql, [tenant.as_str()], |row| row.get::<_, i64>(0))?;
        return Ok(Err(Timestamp::from_micros(until).map_err(|cause| undecodable(0, cause))?));
    };
    let abandoned = "SELECT id FROM evidence WHERE tenant = ?1 AND sequence > ?2";
    for statement in [
        format!("DELETE FROM evidence_ecosystems WHERE record IN ({abandoned})"),
        format!("DELETE FROM evidence_purls WHERE record IN ({abandoned})"),
        "DELETE FROM evidence WHERE tenant = ?1 AND sequence > ?2".to_owned(),
        "UPDATE evidence SET superseded_at = NULL WHERE tenant = ?1 AND superseded_at > ?2".to_owned(),
    ] {
        transaction.execute(&statement, params![tenant.as_str(), begun.watermark])?;
    }
    Ok(Ok(begun))
}

fn holds(connection: &Connection, tenant: &TenantId, epoch: i64) -> SqlResult<bool> {
    let sql = "SELECT 1 FROM tenants WHERE tenant = ?1 AND epoch = ?2 AND lease_until IS NOT NULL";
    connection.prepare_cached(sql)?.exists(params![tenant.as_str(), epoch])
}

/// Renews the lease and says whether it was still held.
fn extend(transaction: &Transaction<'_>, tenant: &TenantId, epoch: i64, until: i64) -> SqlResult<bool> {
    let sql = "UPDATE tenants SET lease_until = max(lease_until, ?3)
               WHERE tenant = ?1 AND epoch = ?2 AND lease_until IS NOT NULL";
    Ok(transaction.prepare_cached(sql)?.execute(params![tenant.as_str(), epoch, until])? == 1)
}

/// Renews until the lease is gone. A renewal that fails is tried again at the next turn, well before the end.
async fn renew(database: Database, tenant: TenantId, epoch: i64, terms: LeaseTerms) {
    let act = format!("renew the import lease of tenant `{tenant}`");
    loop {
        tokio::time::sleep(terms.renewal_interval()).await;
        let (tenant, until) = (tenant.clone(), terms.end().as_micros());
        match database.write(&act, move |transaction| extend(transaction, &tenant, epoch, until)).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => tracing::warn!(%error, "import lease was not renewed"),
        }
    }
}

fn current(
    connection: &Connection,
    tenant: &TenantId,
    records: &[NewRecord],
) -> SqlResult<BTreeMap<Identity, Fingerprint>> {
    let mut select = connection.prepare_cached(
        "SELECT fingerprint FROM evidence
         WHERE tenant = ?1 AND kind = ?2 AND source = ?3 AND document_id = ?4 AND superseded_at IS NULL",
    )?;
    let mut found = BTreeMap::new();
    for record in records {
        let key = &record.key;
        let identity = params![tenant.as_str(), record.kind.as_str(), key.source, key.document_id];
        if let Some(fingerprint) = select.query_row(identity, |row| row.get(0)).optional()? {
            found.insert(Identity::of(record), Fingerprint(fingerprint));
        }
    }
    Ok(found)
}

fn insert(transaction: &Transaction<'_>, tenant: &TenantId, record: &NewRecord, row: &Row) -> SqlResult<()> {
    let key = &record.key;
    transaction
        .prepare_cached(
            "UPDATE evidence SET superseded_at = ?5
             WHERE tenant = ?1 AND kind = ?2 AND source = ?3 AND document_id = ?4 AND superseded_at IS NULL",
        )?
        .execute(params![tenant.as_str(), record.kind.as_str(), key.source, key.document_id, row.sequence])?;
    transaction
        .prepare_cached(
            "INSERT INTO evidence (tenant, sequence, kind, subject, document_id, source, observed_at, fingerprint,
               content_hash, format, spec_version, plain_bytes, line)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?
        .execute(params![
            tenant.as_str(),
            row.sequence,
            record.kind.as_str(),
            key.subject,
            key.document_id,
            key.source,
            record.observed_at.as_micros(),
            row.digests.fingerprint.0,
            row.digests.content,
            record.format,
            record.spec_version,
            row.line.plain_bytes,
            row.line.frame.as_ref(),
        ])?;
    let id = transaction.last_insert_rowid();
    let mut ecosystem = transaction.prepare_cached("INSERT OR IGNORE INTO evidence_ecosystems VALUES (?1, ?2)")?;
    record.ecosystems.iter().try_for_each(|text| ecosystem.execute(params![id, text]).map(drop))?;
    let mut purl = transaction.prepare_cached("INSERT OR IGNORE INTO evidence_purls VALUES (?1, ?2)")?;
    record.linkset.purls.iter().try_for_each(|text| purl.execute(params![id, text]).map(drop))
}
