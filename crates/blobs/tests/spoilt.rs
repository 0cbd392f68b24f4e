//! A network that changes bytes on their way: what is stored is whole.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use export_blobs::folder::FolderBlobs;
use export_blobs::{BlobError, BlobKey, BlobMeta, BlobStore, BlobWriter, ByteStream, PutOutcome, Workspace};
use export_contract::run::{Phase, RunRef};
use export_contract::{Generation, PartIndex, RunId};

/// A store whose next answers come with another digit in `17`, or another last byte where they have none.
#[derive(Debug)]
struct Spoilt {
    blobs: FolderBlobs,
    answers: AtomicU32,
}

#[async_trait]
impl BlobStore for Spoilt {
    async fn put(&self, key: &BlobKey, bytes: Bytes) -> Result<(), BlobError> {
        self.blobs.put(key, bytes).await
    }

    async fn put_if_absent(&self, key: &BlobKey, bytes: Bytes) -> Result<PutOutcome, BlobError> {
        self.blobs.put_if_absent(key, bytes).await
    }

    async fn writer(&self) -> Result<Box<dyn BlobWriter>, BlobError> {
        self.blobs.writer().await
    }

    async fn get(&self, key: &BlobKey, limit: u64) -> Result<Bytes, BlobError> {
        let mut bytes = self.blobs.get(key, limit).await?.to_vec();
        let left = self.answers.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left.is_ok() {
            let at = bytes.windows(2).position(|digits| digits == b"17").map_or(bytes.len() - 1, |at| at + 1);
            bytes[at] ^= 1;
        }
        Ok(bytes.into())
    }

    async fn read(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<ByteStream, BlobError> {
        self.blobs.read(key, range).await
    }

    async fn head(&self, key: &BlobKey) -> Result<Option<BlobMeta>, BlobError> {
        self.blobs.head(key).await
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), BlobError> {
        self.blobs.delete(key).await
    }

    async fn list(&self, prefix: &BlobKey) -> Result<Vec<BlobKey>, BlobError> {
        self.blobs.list(prefix).await
    }

    async fn names(&self, prefix: Option<&BlobKey>) -> Result<Vec<String>, BlobError> {
        self.blobs.names(prefix).await
    }

    async fn tidy(&self, prefix: &BlobKey) -> Result<(), BlobError> {
        self.blobs.tidy(prefix).await
    }

    async fn check(&self) -> Result<(), BlobError> {
        self.blobs.check().await
    }
}

/// Such a store in a folder, and the workspace of a run on it.
async fn spoilt(folder: &Path) -> (Arc<Spoilt>, Workspace) {
    let blobs = FolderBlobs::open(folder).await.unwrap();
    let store = Arc::new(Spoilt { blobs, answers: AtomicU32::new(0) });
    let run = RunRef { tenant: "acme".parse().unwrap(), run: RunId::from_parts(1, 0), generation: Generation::FIRST };
    (store.clone(), Workspace::new(store, run))
}

#[tokio::test]
async fn a_record_that_comes_spoilt_is_read_again_and_promised_as_it_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let (store, workspace) = spoilt(folder.path()).await;
    let part = Some(PartIndex(3));
    let record = workspace.put_result(Phase::Adapt, part, &["stored"]).await.unwrap();

    let spoil = || store.answers.store(2, Ordering::SeqCst);
    spoil();
    assert_eq!(workspace.find_result(Phase::Adapt, part).await.unwrap(), Some(record.clone()));
    spoil();
    assert_eq!(workspace.put_result(Phase::Adapt, part, &["later"]).await.unwrap(), record);
    spoil();
    assert_eq!(workspace.read_result(&record).await.unwrap(), r#"["stored"]"#);
    spoil();
    assert_eq!(workspace.part_result::<Vec<String>>(Phase::Adapt, PartIndex(3)).await.unwrap(), ["stored"]);
}

#[tokio::test]
async fn a_record_that_can_be_read_and_is_not_what_was_written_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let (store, workspace) = spoilt(folder.path()).await;
    let part = Some(PartIndex(3));
    let record = workspace.put_result(Phase::Adapt, part, &serde_json::json!({ "records": 17 })).await.unwrap();
    let spoil = || store.answers.store(2, Ordering::SeqCst);
    spoil();
    let read: serde_json::Value = workspace.part_result(Phase::Adapt, PartIndex(3)).await.unwrap();
    assert_eq!(read["records"], 17);
    spoil();
    assert_eq!(workspace.find_result(Phase::Adapt, part).await.unwrap(), Some(record), "promised as it is stored");
    spoil();
    let key = workspace.result_key(Phase::Adapt, part);
    let found: Option<serde_json::Value> = workspace.find_record(&key).await.unwrap();
    assert_eq!(found.unwrap()["records"], 17);
    let artefact = workspace.put_artefact(Bytes::from_static(b"17 bytes")).await.unwrap();
    spoil();
    assert_eq!(workspace.get_artefact(&artefact.digest, 100).await.unwrap(), "17 bytes");
    // What is other bytes in the store itself stays so, and is refused by whoever knows what it should be.
    store.answers.store(u32::MAX, Ordering::SeqCst);
    assert_eq!(workspace.get_artefact(&artefact.digest, 100).await.unwrap(), "16 bytes");
}
