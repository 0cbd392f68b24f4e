//! The reading side of the served store.

use async_trait::async_trait;
use export_contract::TenantId;
use export_mongo::bson::{Document, doc};
use export_mongo::perform;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::rows::{digest, key, text, time, unpacked};
use super::{FINDINGS, MongoPolicyStore, SNAPSHOTS, failed, undecodable};
use crate::LedgerError;
use crate::policy::source::{BATCH_BYTES, BATCH_FINDINGS, BATCHES_AHEAD};
use crate::policy::{FindingStream, PolicyError, PolicyFinding, PolicySnapshot, PolicySource, SnapshotName};

/// Documents in one answer of the server.
const FINDINGS_PER_ANSWER: u32 = 1_024;

#[async_trait]
impl PolicySource for MongoPolicyStore {
    async fn snapshots(&self, tenant: &TenantId) -> Result<Vec<SnapshotName>, PolicyError> {
        let act = format!("list policy snapshots of tenant `{tenant}`");
        let collection = self.collection(SNAPSHOTS);
        let find = collection
            .find(doc! { "tenant": tenant.as_str() })
            .sort(doc! { "generated_at": 1, "snapshot_id": 1 })
            .projection(doc! { "snapshot_id": 1, "generated_at": 1 });
        let mut cursor = perform(&act, find).await.map_err(failed)?;
        let mut names = Vec::new();
        while perform(&act, cursor.advance()).await.map_err(failed)? {
            let row: Document = cursor.deserialize_current().map_err(|cause| undecodable(&act, cause))?;
            let (snapshot_id, generated_at) = (text(&act, &row, "snapshot_id")?, time(&act, &row, "generated_at")?);
            names.push(SnapshotName { snapshot_id, generated_at });
        }
        Ok(names)
    }

    async fn snapshot(&self, tenant: &TenantId, snapshot_id: &str) -> Result<Option<PolicySnapshot>, PolicyError> {
        let act = format!("read policy snapshot `{snapshot_id}` of tenant `{tenant}`");
        let place = doc! { "tenant": tenant.as_str(), "snapshot_id": snapshot_id };
        let row = perform(&act, self.collection(SNAPSHOTS).find_one(place)).await.map_err(failed)?;
        Ok(row.map(|row| snapshot(&act, &row)).transpose()?)
    }

    async fn newest(&self, tenant: &TenantId) -> Result<Option<PolicySnapshot>, PolicyError> {
        let act = format!("read the newest policy snapshot of tenant `{tenant}`");
        let collection = self.collection(SNAPSHOTS);
        let find = collection
            .find_one(doc! { "tenant": tenant.as_str() })
            .sort(doc! { "generated_at": -1, "snapshot_id": -1 });
        let row = perform(&act, find).await.map_err(failed)?;
        Ok(row.map(|row| snapshot(&act, &row)).transpose()?)
    }

    async fn findings(&self, tenant: &TenantId, snapshot_id: &str) -> Result<FindingStream, PolicyError> {
        let act = format!("read the findings of policy snapshot `{snapshot_id}` of tenant `{tenant}`");
        let filter = doc! { "tenant": tenant.as_str(), "snapshot_id": snapshot_id };
        let store = self.clone();
        let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
        tokio::spawn(async move {
            if let Err(error) = send(&store, &act, filter, &sender).await {
                // Nobody listens any more: nobody wants to know.
                drop(sender.send(Err(error.into())).await);
            }
        });
        Ok(Box::pin(ReceiverStream::new(receiver)))
    }
}

type Sender = mpsc::Sender<Result<Vec<PolicyFinding>, PolicyError>>;

/// The server is read as the channel is emptied; a closed channel ends it.
async fn send(store: &MongoPolicyStore, act: &str, filter: Document, sender: &Sender) -> Result<(), LedgerError> {
    let collection = store.collection(FINDINGS);
    // A sort that no index serves may not fit the server's memory; then it goes to disk rather than fail.
    let find = collection
        .find(filter)
        .sort(doc! { "subject": 1, "advisory": 1, "finding_id": 1 })
        .batch_size(FINDINGS_PER_ANSWER)
        .allow_disk_use(true);
    let mut cursor = perform(act, find).await.map_err(failed)?;
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while perform(act, cursor.advance()).await.map_err(failed)? {
        let row: Document = cursor.deserialize_current().map_err(|cause| undecodable(act, cause))?;
        let finding = PolicyFinding {
            snapshot_id: text(act, &row, "snapshot_id")?,
            key: key(act, &row)?,
            status: text(act, &row, "status")?,
            severity: text(act, &row, "severity")?,
            raw: unpacked(act, &row)?,
        };
        bytes += finding.raw.len();
        batch.push(finding);
        if bytes >= BATCH_BYTES || batch.len() >= BATCH_FINDINGS {
            bytes = 0;
            if sender.send(Ok(std::mem::take(&mut batch))).await.is_err() {
                return Ok(());
            }
        }
    }
    if !batch.is_empty() {
        // As above: a closed channel is a reader that has seen enough.
        drop(sender.send(Ok(batch)).await);
    }
    Ok(())
}

fn snapshot(act: &str, row: &Document) -> Result<PolicySnapshot, LedgerError> {
    Ok(PolicySnapshot {
        snapshot_id: text(act, row, "snapshot_id")?,
        policy_version: text(act, row, "policy_version")?,
        inputs_hash: text(act, row, "inputs_hash")?,
        generated_at: time(act, row, "generated_at")?,
        digest: digest(act, row)?,
        raw: unpacked(act, row)?,
    })
}
