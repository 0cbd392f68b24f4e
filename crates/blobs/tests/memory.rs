//! What goes through staging is not held in memory. In a binary of its own: the measure is the whole process's peak.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use bytes::Bytes;
use export_blobs::folder::FolderBlobs;
use export_blobs::s3::S3Blobs;
use export_blobs::seaweed::SeaweedFs;
use export_blobs::{BlobKey, BlobStore};
use futures::TryStreamExt as _;

const PIECE: usize = 1 << 20;
const PIECES: usize = 256;
/// A part of an upload is 16 MiB, and the client holds some of them.
const PEAK: u64 = 128 << 20;

async fn in_and_out(store: &dyn BlobStore) {
    let key: BlobKey = "t/large".parse().unwrap();
    let mut writer = store.writer().await.unwrap();
    for number in 0..PIECES {
        writer.write(Bytes::from(vec![u8::try_from(number).unwrap(); PIECE])).await.unwrap();
    }
    writer.finish(&key).await.unwrap();
    let mut stream = store.read(&key, None).await.unwrap();
    let mut at = 0;
    while let Some(piece) = stream.try_next().await.unwrap() {
        assert!(piece.iter().enumerate().all(|(offset, byte)| usize::from(*byte) == (at + offset) / PIECE));
        at += piece.len();
    }
    assert_eq!(at, PIECES * PIECE);
}

fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_larger_than_memory_may_be_goes_in_and_out() {
    let folder = tempfile::tempdir().unwrap();
    in_and_out(&FolderBlobs::open(folder.path()).await.unwrap()).await;
    assert!(peak() < PEAK, "the folder driver took {} bytes", peak());
    let Some(server) = SeaweedFs::start().await.unwrap() else { return };
    in_and_out(&S3Blobs::open(&server.bucket("large").await.unwrap()).unwrap()).await;
    assert!(peak() < PEAK, "the S3 driver took {} bytes", peak());
}
