//! The folder driver keeps the promises of the port.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use export_blobs::folder::FolderBlobs;
use export_blobs::{BlobError, BlobStore as _, PutOutcome, suite};

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

#[tokio::test]
async fn a_crash_leaves_nothing_but_a_file_that_is_cleared_by_age() {
    let folder = tempfile::tempdir().unwrap();
    let temporary = folder.path().join(".tmp");
    std::fs::create_dir(&temporary).unwrap();
    for (name, age) in [("old", 25), ("young", 1)] {
        let file = std::fs::File::create(temporary.join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_hours(age)).unwrap();
    }
    FolderBlobs::open(folder.path()).await.unwrap();
    let left: Vec<_> = std::fs::read_dir(&temporary).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["young"], "another process may still write what is young");
}

#[tokio::test]
async fn a_dropped_writer_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = FolderBlobs::open(folder.path()).await.unwrap();
    let mut writer = blobs.writer().await.unwrap();
    writer.write(Bytes::from_static(b"half")).await.unwrap();
    drop(writer);
    assert_eq!(std::fs::read_dir(folder.path().join(".tmp")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_processes_one_writes() {
    let folder = tempfile::tempdir().unwrap();
    // Each opens the folder by itself, as a process does.
    let writes = (0..16_u8).map(|writer| {
        let root = folder.path().to_owned();
        tokio::spawn(async move {
            let blobs = FolderBlobs::open(&root).await.unwrap();
            blobs.put_if_absent(&"t/r/once".parse().unwrap(), vec![writer; 10].into()).await.unwrap()
        })
    });
    let outcomes = futures::future::join_all(writes).await;
    let written = outcomes.into_iter().filter(|outcome| *outcome.as_ref().unwrap() == PutOutcome::Written).count();
    assert_eq!(written, 1);
}

/// A run must not fail, and nothing count as removed, because a share is not mounted for a while.
#[tokio::test]
async fn what_is_not_found_in_a_folder_that_is_away_is_not_lost() {
    let place = tempfile::tempdir().unwrap();
    let (root, elsewhere) = (place.path().join("staging"), place.path().join("elsewhere"));
    let blobs = FolderBlobs::open(&root).await.unwrap();
    let (there, nowhere) = ("t/r/there".parse().unwrap(), "t/r/nowhere".parse().unwrap());
    blobs.put(&there, Bytes::from_static(b"x")).await.unwrap();
    assert!(matches!(blobs.get(&nowhere, 9).await, Err(BlobError::NotFound(_))));
    std::fs::rename(&root, &elsewhere).unwrap();
    for mount_point in ["none", "a folder", "a file"] {
        match mount_point {
            "a folder" => std::fs::create_dir(&root).unwrap(),
            "a file" => std::fs::write(&root, b"").unwrap(),
            _ => {}
        }
        let is_away = |outcome: Option<BlobError>, what: &str| {
            assert!(outcome.is_some_and(|error| error.is_transient()), "{what} over {mount_point}");
        };
        is_away(blobs.get(&there, 9).await.err(), "get");
        is_away(blobs.read(&there, None).await.err(), "read");
        is_away(blobs.head(&there).await.err(), "head");
        is_away(blobs.delete(&there).await.err(), "delete");
        is_away(blobs.list(&"t/r".parse().unwrap()).await.err(), "list");
        is_away(blobs.names(None).await.err(), "names");
        is_away(blobs.put(&there, Bytes::from_static(b"y")).await.err(), "put");
        is_away(blobs.check().await.err(), "check");
        if mount_point == "a folder" {
            std::fs::remove_dir_all(&root).unwrap();
        }
    }
    std::fs::remove_file(&root).unwrap();
    std::fs::rename(&elsewhere, &root).unwrap();
    assert_eq!(blobs.get(&there, 9).await.unwrap(), Bytes::from_static(b"x"));
}

#[test]
fn keys_cannot_leave_the_folder() {
    for bad in
        ["", "/a", "a/", "a/../b", "a//b", "..", ".", ".tmp/x", "a/.b", "a/./b", "a\\b", "a\0", "ü", &"a".repeat(513)]
    {
        assert!(bad.parse::<export_blobs::BlobKey>().is_err(), "{bad:?}");
    }
}

#[tokio::test]
async fn a_folder_of_which_nothing_is_left_goes_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = FolderBlobs::open(folder.path()).await.unwrap();
    for key in ["t/one/g1/scratch/x", "t/two/g1/plan.json"] {
        blobs.put(&key.parse().unwrap(), Bytes::from_static(b"x")).await.unwrap();
    }
    blobs.delete(&"t/one/g1/scratch/x".parse().unwrap()).await.unwrap();
    for run in ["t/one", "t/two"] {
        blobs.tidy(&run.parse().unwrap()).await.unwrap();
    }
    assert!(!folder.path().join("t/one").exists());
    assert!(folder.path().join("t/two/g1/plan.json").is_file());
    assert_eq!(blobs.names(Some(&"t".parse().unwrap())).await.unwrap(), ["two"]);
}
