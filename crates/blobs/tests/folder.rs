//! The folder driver keeps the promises of the port.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::sync::Arc;

use bytes::Bytes;
use export_blobs::folder::FolderBlobs;
use export_blobs::{BlobStore as _, suite};

#[tokio::test]
async fn the_folder_driver_conforms() {
    let folder = tempfile::tempdir().unwrap();
    suite::conformance(Arc::new(FolderBlobs::open(folder.path()).await.unwrap())).await;
}

#[tokio::test]
async fn what_was_put_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let key = "t/r/x".parse().unwrap();
    FolderBlobs::open(folder.path()).await.unwrap().put(&key, Bytes::from_static(b"kept")).await.unwrap();
    assert_eq!(FolderBlobs::open(folder.path()).await.unwrap().get(&key, 10).await.unwrap(), "kept");
}

#[test]
fn keys_cannot_leave_the_folder() {
    for bad in ["", "/a", "a/../b", "a//b", "..", ".", "a/./b", "a\\b", "a\0", "ü", &"a".repeat(513)] {
        assert!(bad.parse::<export_blobs::BlobKey>().is_err(), "{bad:?}");
    }
}
