//! How far a part is, kept in scratch so that another worker goes on where one died.
//!
//! A checkpoint names whole segments only, so a resumed part has the same frames as one that was never interrupted.

use std::collections::BTreeMap;

use bytes::Bytes;
use export_blobs::sums::{is_as_written, with_sum};
use export_blobs::{BlobError, BlobKey, Workspace};
use export_canon::digesting::sha256;
use export_contract::message::{AdapterRef, InputRange, Segment};
use export_contract::{Digest, PartIndex, RecordKey, RecordKind};
use serde::{Deserialize, Serialize};

/// Longest checkpoint that is read back.
const MAX_BYTES: u64 = 64 << 20;

/// What a part has written and read so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Progress {
    /// Whole segments, in order.
    pub(crate) segments: Vec<Segment>,
    /// The last key inside them.
    pub(crate) cursor: Option<RecordKey>,
    /// Records inside them.
    pub(crate) records: u64,
    /// Plain bytes inside them.
    pub(crate) plain_bytes: u64,
    /// What was read, by source.
    pub(crate) sources: BTreeMap<String, SourceProgress>,
}

/// What was read of one source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SourceProgress {
    /// Last key read.
    cursor: RecordKey,
    /// Content hashes read, in order, 64 hex digits each: the state of a hash cannot be kept, its input can.
    hashes: String,
}

impl Progress {
    /// Counts one record in.
    pub(crate) fn take(&mut self, key: &RecordKey, content_hash: &Digest) {
        self.records += 1;
        self.cursor = Some(key.clone());
        if let Some(source) = self.sources.get_mut(&key.source) {
            source.cursor = key.clone();
            source.hashes.push_str(content_hash.hex());
        } else {
            let hashes = content_hash.hex().to_owned();
            self.sources.insert(key.source.clone(), SourceProgress { cursor: key.clone(), hashes });
        }
    }

    /// The rows of `export_inputs`.
    pub(crate) fn inputs(&self, kind: RecordKind, part: PartIndex) -> Vec<InputRange> {
        self.sources
            .iter()
            .map(|(source, read)| {
                let bytes = hex::decode(&read.hashes).unwrap_or_default();
                InputRange {
                    kind,
                    source: source.clone(),
                    part,
                    cursor: read.cursor.clone(),
                    count: (bytes.len() / 32) as u64,
                    hash: Digest::from_bytes(*sha256(&bytes).as_bytes()),
                }
            })
            .collect()
    }
}

/// A checkpoint as it lies in scratch.
#[derive(Serialize, Deserialize)]
struct Kept {
    adapter: AdapterRef,
    progress: Progress,
}

/// The place of a part's checkpoint.
pub(crate) struct Checkpoint {
    key: BlobKey,
    adapter: AdapterRef,
}

impl Checkpoint {
    pub(crate) fn new(workspace: &Workspace, adapter: AdapterRef, part: PartIndex) -> Result<Self, BlobError> {
        let name = format!("adapt.part-{part}.checkpoint.json");
        let key = workspace
            .scratch_key(&name)
            .map_err(|cause| BlobError::Refused { act: format!("name `{name}`"), cause: Box::new(cause) })?;
        Ok(Self { key, adapter })
    }

    /// What an earlier worker left, if all of it is there and of the same adapter.
    pub(crate) async fn load(&self, workspace: &Workspace) -> Result<Progress, BlobError> {
        let bytes = match workspace.store().get(&self.key, MAX_BYTES).await {
            Ok(bytes) => bytes,
            Err(BlobError::NotFound(_) | BlobError::TooLarge { .. }) => return Ok(Progress::default()),
            Err(error) => return Err(error),
        };
        let kept = match serde_json::from_slice::<Kept>(&bytes) {
            Ok(kept) if kept.adapter == self.adapter && is_as_written(&bytes) => kept.progress,
            // Of another adapter version, or damaged: it is only scratch, the part begins anew.
            Ok(_) | Err(_) => return Ok(Progress::default()),
        };
        let run = workspace.run();
        for segment in &kept.segments {
            let key = Workspace::artefact_key(&run.tenant, &run.run, &segment.artefact.digest);
            if workspace.store().head(&key).await?.map(|meta| meta.bytes) != Some(segment.artefact.bytes) {
                return Ok(Progress::default());
            }
        }
        Ok(kept)
    }

    pub(crate) async fn save(&self, workspace: &Workspace, progress: &Progress) -> Result<(), BlobError> {
        let kept = Kept { adapter: self.adapter.clone(), progress: progress.clone() };
        let bytes = serde_json::to_vec(&kept)
            .map_err(|cause| BlobError::Refused { act: "write a checkpoint".to_owned(), cause: Box::new(cause) })?;
        workspace.store().put(&self.key, Bytes::from(with_sum(bytes))).await
    }

    pub(crate) async fn remove(&self, workspace: &Workspace) -> Result<(), BlobError> {
        workspace.store().delete(&self.key).await
    }
}

/// Removes what a cancelled part left. What cannot be removed now is pruned with the run.
pub(crate) async fn destroy(workspace: &Workspace, checkpoint: &Checkpoint) {
    let outcome: Result<(), BlobError> = async {
        let left = checkpoint.load(workspace).await?;
        let run = workspace.run();
        for segment in left.segments {
            let key = Workspace::artefact_key(&run.tenant, &run.run, &segment.artefact.digest);
            workspace.store().delete(&key).await?;
        }
        checkpoint.remove(workspace).await
    }
    .await;
    if let Err(error) = outcome {
        tracing::warn!(error = &error as &dyn std::error::Error, "what a cancelled part left is still there");
    }
}
