//! The audit log: a row each.

use async_trait::async_trait;
use export_contract::audit::{AuditAction, AuditEntry, AuditOutcome};
use export_contract::{TenantId, Timestamp};
use export_sqlite::rusqlite::{OptionalExtension as _, params};

use super::{SqliteRuns, failed, from_json, to_json};
use crate::audit::{AuditFilter, AuditPage, AuditStore, MAX_AUDIT_PAGE};
use crate::store::RunStoreError;

#[async_trait]
impl AuditStore for SqliteRuns {
    async fn note(&self, entry: &AuditEntry) -> Result<(), RunStoreError> {
        let act = "write an entry of the audit log";
        let mut entry = entry.clone();
        self.database
            .write(act, move |transaction| {
                let known: Option<AuditEntry> = transaction
                    .prepare_cached("SELECT document FROM export_audit WHERE tenant = ?1 AND id = ?2")?
                    .query_row(params![entry.tenant.as_str(), entry.id], |row| from_json(0, row.get_ref(0)?.as_str()?))
                    .optional()?;
                match known {
                    Some(known) if known.outcome != AuditOutcome::Begun => return Ok(()),
                    Some(known) => entry.at = known.at,
                    None => {}
                }
                transaction
                    .prepare_cached(
                        "INSERT OR REPLACE INTO export_audit (tenant, id, place, at, action, ended, document)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    )?
                    .execute(params![
                        entry.tenant.as_str(),
                        entry.id,
                        entry.place(),
                        entry.at.as_micros(),
                        entry.action.as_str(),
                        entry.outcome != AuditOutcome::Begun,
                        to_json(&entry)?,
                    ])
                    .map(|_| ())
            })
            .await
            .map_err(|cause| failed(act, cause))
    }

    async fn entries_of(&self, tenant: &TenantId, filter: &AuditFilter) -> Result<AuditPage, RunStoreError> {
        let act = "read the audit log";
        let (tenant, filter) = (tenant.clone(), filter.clone());
        let limit = filter.limit.clamp(1, MAX_AUDIT_PAGE);
        let mut entries: Vec<AuditEntry> = self
            .database
            .read(act, move |connection| {
                connection
                    .prepare_cached(
                        "SELECT document FROM export_audit
                         WHERE tenant = ?1 AND place < coalesce(?2, '~') AND at >= ?3 AND at < ?4
                           AND (?5 IS NULL OR action = ?5)
                         ORDER BY place DESC LIMIT ?6",
                    )?
                    .query_map(
                        params![
                            tenant.as_str(),
                            filter.before,
                            filter.since.map_or(i64::MIN, Timestamp::as_micros),
                            filter.until.map_or(i64::MAX, Timestamp::as_micros),
                            filter.action.map(AuditAction::as_str),
                            limit + 1,
                        ],
                        |row| from_json(0, row.get_ref(0)?.as_str()?),
                    )?
                    .collect()
            })
            .await
            .map_err(|cause| failed(act, cause))?;
        let limit = limit as usize;
        let more = entries.len() > limit;
        entries.truncate(limit);
        Ok(AuditPage { entries, more })
    }

    async fn forget(&self, until: Timestamp) -> Result<(), RunStoreError> {
        let act = "remove old entries of the audit log";
        let removed = self.database.write(act, move |transaction| {
            transaction.prepare_cached("DELETE FROM export_audit WHERE at < ?1")?.execute(params![until.as_micros()])
        });
        removed.await.map(|_| ()).map_err(|cause| failed(act, cause))
    }
}
