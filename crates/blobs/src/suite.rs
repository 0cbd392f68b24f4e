//! What every driver must do. Each driver calls [`conformance`] from its own tests.

#![expect(clippy::expect_used, reason = "a test suite that is called from tests")]

use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt as _;
use futures::future::join_all;

use crate::store::{BlobError, BlobKey, BlobStore, PutOutcome};

fn key(text: &str) -> BlobKey {
    text.parse().expect("a legal key")
}

async fn collect(store: &dyn BlobStore, name: &str, range: Option<std::ops::Range<u64>>) -> Vec<u8> {
    let pieces: Vec<Bytes> = store.read(&key(name), range).await.expect("readable").try_collect().await.expect("whole");
    pieces.concat()
}

/// Runs every promise of [`BlobStore`] against an empty store.
///
/// # Panics
/// When a promise is broken; that is its purpose.
pub async fn conformance(store: Arc<dyn BlobStore>) {
    absent_blobs_are_absent(&*store).await;
    a_put_is_read_back_whole_and_in_part(&*store).await;
    a_file_where_there_is_one_has_the_bytes_of_its_blob(&*store).await;
    of_many_conditional_puts_one_wins(&store).await;
    an_overwrite_shows_the_old_bytes_or_the_new_ones(&store).await;
    a_writer_shows_nothing_before_it_ends(&*store).await;
    a_writer_replaces_what_was_there(&*store).await;
    large_blobs_go_in_and_out(&*store).await;
    listing_knows_names_not_prefixes(&*store).await;
    names_lead_on_and_what_is_empty_is_let_go(&*store).await;
    store.check().await.expect("the store is ready");
}

async fn absent_blobs_are_absent(store: &dyn BlobStore) {
    let absent = key("t/absent");
    assert!(matches!(store.get(&absent, 10).await, Err(BlobError::NotFound(_))));
    assert!(matches!(store.read(&absent, None).await.map(|_| ()), Err(BlobError::NotFound(_))));
    assert!(matches!(store.read(&absent, Some(0..1)).await.map(|_| ()), Err(BlobError::NotFound(_))));
    assert_eq!(store.head(&absent).await.expect("head"), None);
    store.delete(&absent).await.expect("removing what is not there is no error");
    assert!(store.list(&key("t")).await.expect("list").is_empty());
}

async fn a_put_is_read_back_whole_and_in_part(store: &dyn BlobStore) {
    let name = key("t/a/one");
    store.put(&name, Bytes::from_static(b"old")).await.expect("put");
    for _ in 0..2 {
        store.put(&name, Bytes::from_static(b"0123456789")).await.expect("a repeated put is no error");
    }
    assert_eq!(store.get(&name, 10).await.expect("get"), "0123456789");
    assert!(matches!(store.get(&name, 9).await, Err(BlobError::TooLarge { bytes: 10, limit: 9, .. })));
    assert_eq!(store.head(&name).await.expect("head").expect("there").bytes, 10);
    for (range, expected) in [
        (None, "0123456789"),
        (Some(0..1), "0"),
        (Some(3..7), "3456"),
        (Some(8..100), "89"),
        (Some(10..12), ""),
        (Some(4..4), ""),
        (Some(u64::MAX - 1..u64::MAX), ""),
    ] {
        assert_eq!(collect(store, "t/a/one", range.clone()).await, expected.as_bytes(), "{range:?}");
    }
    store.put(&key("t/a/empty"), Bytes::new()).await.expect("an empty blob");
    assert_eq!(store.get(&key("t/a/empty"), 0).await.expect("get"), "");
    let above = key("t/a");
    assert!(matches!(store.get(&above, 10).await, Err(BlobError::NotFound(_))), "the way to a blob is no blob");
    assert!(matches!(store.read(&above, None).await.map(|_| ()), Err(BlobError::NotFound(_))));
    assert_eq!(store.head(&above).await.expect("head"), None);
    store.delete(&name).await.expect("delete");
    assert_eq!(store.head(&name).await.expect("head"), None);
}

async fn a_file_where_there_is_one_has_the_bytes_of_its_blob(store: &dyn BlobStore) {
    store.put(&key("t/r/file"), Bytes::from_static(b"as a file")).await.expect("put");
    if let Some(mut file) = store.file(&key("t/r/file")).await.expect("file") {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut file, &mut text).expect("read");
        assert_eq!(text, "as a file");
        assert!(matches!(store.file(&key("t/r/no-file")).await, Err(BlobError::NotFound(_))));
    }
}

async fn of_many_conditional_puts_one_wins(store: &Arc<dyn BlobStore>) {
    let name = key("t/race");
    let outcomes = join_all((0..16_u8).map(|writer| {
        let (store, name) = (store.clone(), name.clone());
        async move { (writer, store.put_if_absent(&name, Bytes::from(vec![writer; 1000])).await.expect("put")) }
    }))
    .await;
    let winners: Vec<u8> =
        outcomes.iter().filter(|(_, outcome)| *outcome == PutOutcome::Written).map(|(writer, _)| *writer).collect();
    assert_eq!(winners.len(), 1, "one of sixteen writes");
    assert_eq!(store.get(&name, 1000).await.expect("get"), vec![winners.first().copied().expect("one"); 1000]);
    assert_eq!(store.put_if_absent(&name, Bytes::from_static(b"late")).await.expect("put"), PutOutcome::AlreadyThere);
}

async fn a_writer_shows_nothing_before_it_ends(store: &dyn BlobStore) {
    let before = store.list(&key("w")).await.expect("list");
    let mut dropped = store.writer().await.expect("writer");
    dropped.write(Bytes::from_static(b"half")).await.expect("write");
    drop(dropped);
    let mut aborted = store.writer().await.expect("writer");
    aborted.write(Bytes::from_static(b"half")).await.expect("write");
    aborted.abort().await.expect("abort");
    let mut finished = store.writer().await.expect("writer");
    finished.write(Bytes::from_static(b"who")).await.expect("write");
    assert_eq!(store.list(&key("w")).await.expect("list"), before);
    finished.write(Bytes::from_static(b"le")).await.expect("write");
    finished.finish(&key("w/done")).await.expect("finish");
    assert_eq!(store.list(&key("w")).await.expect("list"), [key("w/done")]);
    assert_eq!(store.get(&key("w/done"), 10).await.expect("get"), "whole");
}

async fn an_overwrite_shows_the_old_bytes_or_the_new_ones(store: &Arc<dyn BlobStore>) {
    const BYTES: usize = 300_000;
    let name = key("t/overwritten");
    store.put(&name, vec![0; BYTES].into()).await.expect("put");
    let writes = async {
        for round in 1..=30_u8 {
            store.put(&name, vec![round; BYTES].into()).await.expect("put");
        }
    };
    let reads = async {
        let mut newest = 0;
        while newest < 30 {
            let seen = store.get(&name, BYTES as u64).await.expect("there is always a whole blob");
            let round = seen.first().copied().expect("not empty");
            assert!(seen.len() == BYTES && seen.iter().all(|byte| *byte == round), "a mixture of two blobs");
            assert!(round >= newest, "blob {round} after blob {newest}");
            newest = round;
        }
    };
    tokio::join!(writes, reads);
}

async fn a_writer_replaces_what_was_there(store: &dyn BlobStore) {
    let name = key("w/replaced");
    for text in ["first and longer", "second"] {
        let mut writer = store.writer().await.expect("writer");
        writer.write(Bytes::from_static(text.as_bytes())).await.expect("write");
        writer.finish(&name).await.expect("finish");
        assert_eq!(store.get(&name, 100).await.expect("get"), text);
    }
}

/// Some 68 MB: more than any driver holds at once.
async fn large_blobs_go_in_and_out(store: &dyn BlobStore) {
    let name = key("w/large");
    let piece = Bytes::from((0..1_000_003_u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
    let mut writer = store.writer().await.expect("writer");
    for _ in 0..17 {
        writer.write(piece.clone()).await.expect("write");
    }
    writer.finish(&name).await.expect("finish");
    let length = piece.len() as u64;
    assert_eq!(store.head(&name).await.expect("head").expect("there").bytes, 17 * length);
    let middle = collect(store, "w/large", Some(length * 5..length * 6)).await;
    assert!(middle == piece, "a piece of the middle");

    let mut stream = store.read(&name, None).await.expect("read");
    let mut at = 0;
    while let Some(got) = stream.try_next().await.expect("whole") {
        assert!(got.len() <= 16 << 20, "{} bytes at once", got.len());
        for byte in &got {
            assert_eq!(Some(byte), piece.get(at % piece.len()), "at {at}");
            at += 1;
        }
    }
    assert_eq!(at as u64, 17 * length);
    assert!(matches!(store.get(&name, 1 << 20).await, Err(BlobError::TooLarge { .. })));
    store.delete(&name).await.expect("delete");
}

async fn listing_knows_names_not_prefixes(store: &dyn BlobStore) {
    for name in ["l/ab/2", "l/ab/1", "l/abc/3", "l/ab.x"] {
        store.put(&key(name), Bytes::from_static(b"x")).await.expect("put");
    }
    assert_eq!(store.list(&key("l/ab")).await.expect("list"), [key("l/ab/1"), key("l/ab/2")]);
    assert!(store.list(&key("l/ab.x")).await.expect("list").is_empty(), "a key is not below itself");
}

async fn names_lead_on_and_what_is_empty_is_let_go(store: &dyn BlobStore) {
    assert!(store.names(Some(&key("n"))).await.expect("names").is_empty());
    for name in ["n/run-2/g1/plan.json", "n/run-1/artefacts/a", "n/run-1/g1/scratch/x", "n/file"] {
        store.put(&key(name), Bytes::from_static(b"x")).await.expect("put");
    }
    assert_eq!(store.names(Some(&key("n"))).await.expect("names"), ["run-1", "run-2"]);
    let top = store.names(None).await.expect("names");
    assert!(top.contains(&"n".to_owned()) && !top.iter().any(|name| name.starts_with('.')), "{top:?}");
    assert!(top.is_sorted(), "{top:?}");
    // What still holds a blob stays, and the blob with it.
    store.tidy(&key("n/run-1")).await.expect("tidy");
    assert_eq!(store.list(&key("n/run-1")).await.expect("list").len(), 2);
    store.delete(&key("n/run-1/g1/scratch/x")).await.expect("delete");
    store.tidy(&key("n/run-1/g1/scratch")).await.expect("tidy");
    store.delete(&key("n/run-1/artefacts/a")).await.expect("delete");
    store.tidy(&key("n/run-1")).await.expect("tidy");
    store.tidy(&key("n/run-1")).await.expect("letting go of what is not there is no error");
    // A server may show the name for a while; nothing is below it.
    let left = store.names(Some(&key("n"))).await.expect("names");
    assert!(left.contains(&"run-2".to_owned()) && left.len() <= 2, "{left:?}");
    assert!(store.list(&key("n/run-1")).await.expect("list").is_empty());
    store.put(&key("n/run-1/again"), Bytes::from_static(b"x")).await.expect("a name may come back");
}
