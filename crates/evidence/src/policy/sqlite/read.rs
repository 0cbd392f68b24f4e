//! The reading side of the embedded store.

use async_trait::async_trait;
use export_contract::TenantId;
use export_sqlite::rusqlite::{self, Connection, OptionalExtension as _, Row};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{SqlitePolicyStore, digest, failed, raw, timestamp};
use crate::policy::source::{BATCH_BYTES, BATCH_FINDINGS, BATCHES_AHEAD};
use crate::policy::{
    FindingKey, FindingStream, PolicyError, PolicyFinding, PolicySnapshot, PolicySource, SnapshotName,
};

const SNAPSHOT: &str =
    "SELECT snapshot_id, policy_version, inputs_hash, generated_at, digest, raw FROM policy_snapshots
                        WHERE tenant = ?1";

#[async_trait]
impl PolicySource for SqlitePolicyStore {
    async fn snapshots(&self, tenant: &TenantId) -> Result<Vec<SnapshotName>, PolicyError> {
        let tenant = tenant.clone();
        let act = format!("list policy snapshots of tenant `{tenant}`");
        let read = move |connection: &Connection| {
            let mut select = connection.prepare_cached(
                "SELECT snapshot_id, generated_at FROM policy_snapshots
                 WHERE tenant = ?1 ORDER BY generated_at, snapshot_id",
            )?;
            let rows = select.query_map([tenant.as_str()], |row| {
                Ok(SnapshotName { snapshot_id: row.get(0)?, generated_at: timestamp(row, 1)? })
            })?;
            rows.collect()
        };
        Ok(self.database.read(&act, read).await.map_err(failed)?)
    }

    async fn snapshot(&self, tenant: &TenantId, snapshot_id: &str) -> Result<Option<PolicySnapshot>, PolicyError> {
        let (tenant, snapshot_id) = (tenant.clone(), snapshot_id.to_owned());
        let act = format!("read policy snapshot `{snapshot_id}` of tenant `{tenant}`");
        let read = move |connection: &Connection| {
            let mut select = connection.prepare_cached(&format!("{SNAPSHOT} AND snapshot_id = ?2"))?;
            select.query_row([tenant.as_str(), &snapshot_id], snapshot).optional()
        };
        Ok(self.database.read(&act, read).await.map_err(failed)?)
    }

    async fn newest(&self, tenant: &TenantId) -> Result<Option<PolicySnapshot>, PolicyError> {
        let tenant = tenant.clone();
        let act = format!("read the newest policy snapshot of tenant `{tenant}`");
        let read = move |connection: &Connection| {
            let newest = format!("{SNAPSHOT} ORDER BY generated_at DESC, snapshot_id DESC LIMIT 1");
            connection.prepare_cached(&newest)?.query_row([tenant.as_str()], snapshot).optional()
        };
        Ok(self.database.read(&act, read).await.map_err(failed)?)
    }

    /// One statement on a connection of its own: what an import writes in between is not seen.
    async fn findings(&self, tenant: &TenantId, snapshot_id: &str) -> Result<FindingStream, PolicyError> {
        let (tenant, snapshot_id) = (tenant.clone(), snapshot_id.to_owned());
        let act = format!("read the findings of policy snapshot `{snapshot_id}` of tenant `{tenant}`");
        let database = self.database.clone();
        let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
        tokio::task::spawn_blocking(move || {
            let sent =
                database.dedicated_reader().and_then(|connection| send(&connection, &tenant, &snapshot_id, &sender));
            if let Err(cause) = sent {
                let error = failed(export_sqlite::SqliteError::Failed { act, cause });
                // Nobody listens any more: nobody wants to know.
                drop(sender.blocking_send(Err(error.into())));
            }
        });
        Ok(Box::pin(ReceiverStream::new(receiver)))
    }
}

type Sender = mpsc::Sender<Result<Vec<PolicyFinding>, PolicyError>>;

/// The connection is read as the channel is emptied; a closed channel ends it.
fn send(connection: &Connection, tenant: &TenantId, snapshot_id: &str, sender: &Sender) -> rusqlite::Result<()> {
    let mut select = connection.prepare(
        "SELECT subject, advisory, finding_id, status, severity, raw FROM policy_findings
         WHERE tenant = ?1 AND snapshot_id = ?2 ORDER BY subject, advisory, finding_id",
    )?;
    let mut rows = select.query([tenant.as_str(), snapshot_id])?;
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let finding = PolicyFinding {
            snapshot_id: snapshot_id.to_owned(),
            key: FindingKey { subject: row.get(0)?, advisory: row.get(1)?, finding_id: row.get(2)? },
            status: row.get(3)?,
            severity: row.get(4)?,
            raw: raw(row, 5)?,
        };
        bytes += finding.raw.len();
        batch.push(finding);
        if bytes >= BATCH_BYTES || batch.len() >= BATCH_FINDINGS {
            bytes = 0;
            if sender.blocking_send(Ok(std::mem::take(&mut batch))).is_err() {
                return Ok(());
            }
        }
    }
    if !batch.is_empty() {
        // As above: a closed channel is a reader that has seen enough.
        drop(sender.blocking_send(Ok(batch)));
    }
    Ok(())
}

fn snapshot(row: &Row<'_>) -> rusqlite::Result<PolicySnapshot> {
    Ok(PolicySnapshot {
        snapshot_id: row.get(0)?,
        policy_version: row.get(1)?,
        inputs_hash: row.get(2)?,
        generated_at: timestamp(row, 3)?,
        digest: digest(row, 4)?,
        raw: raw(row, 5)?,
    })
}
