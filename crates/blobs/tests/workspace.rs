//! A run's corner of staging: artefacts by content, results once, nothing of other runs.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::sync::Arc;

use bytes::Bytes;
use export_blobs::folder::FolderBlobs;
use export_blobs::{BlobError, BlobStore as _, ResultError, Workspace};
use export_contract::message::ResultRef;
use export_contract::run::{Phase, RunRef};
use export_contract::{Generation, PartIndex, RunId};
use futures::TryStreamExt as _;

struct World {
    _folder: tempfile::TempDir,
    blobs: Arc<FolderBlobs>,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Arc::new(FolderBlobs::open(folder.path()).await.unwrap());
        Self { _folder: folder, blobs }
    }

    fn workspace(&self, tenant: &str, run: u64, generation: Generation) -> Workspace {
        let run = RunRef { tenant: tenant.parse().unwrap(), run: RunId::from_parts(run, 0), generation };
        Workspace::new(self.blobs.clone(), run)
    }

    fn first(&self) -> Workspace {
        self.workspace("acme", 1, Generation::FIRST)
    }
}

#[tokio::test]
async fn an_artefact_is_named_by_its_content_however_it_is_written() {
    let world = World::new().await;
    let workspace = world.first();
    let whole = workspace.put_artefact(Bytes::from_static(b"some bytes")).await.unwrap();
    assert_eq!(workspace.put_artefact(Bytes::from_static(b"some bytes")).await.unwrap(), whole);
    let mut writer = workspace.artefact_writer().await.unwrap();
    writer.write(Bytes::from_static(b"some ")).await.unwrap();
    writer.write(Bytes::from_static(b"bytes")).await.unwrap();
    assert_eq!(writer.finish().await.unwrap(), whole);

    assert_eq!(whole.bytes, 10);
    // printf 'some bytes' | sha256sum
    assert_eq!(whole.digest.hex(), "0d22cdcc10e6d049dbe1af5123d50873fdfc1a4f58306e58cb6241be9472014d");
    assert_eq!(workspace.get_artefact(&whole.digest, 10).await.unwrap(), "some bytes");
    let pieces: Vec<Bytes> = workspace.read_artefact(&whole.digest).await.unwrap().try_collect().await.unwrap();
    assert_eq!(pieces.concat(), b"some bytes");
}

#[tokio::test]
async fn an_aborted_artefact_is_not_there() {
    let world = World::new().await;
    let workspace = world.first();
    let mut writer = workspace.artefact_writer().await.unwrap();
    writer.write(Bytes::from_static(b"x")).await.unwrap();
    writer.abort().await.unwrap();
    assert!(world.blobs.list(&"acme".parse().unwrap()).await.unwrap().is_empty());
}

#[tokio::test]
async fn artefacts_are_shared_by_generations_and_results_are_not() {
    let world = World::new().await;
    let (first, second) = (world.first(), world.workspace("acme", 1, Generation(2)));
    let artefact = first.put_artefact(Bytes::from_static(b"x")).await.unwrap();
    first.put_result(Phase::Plan, None, &"first").await.unwrap();
    assert_eq!(second.get_artefact(&artefact.digest, 1).await.unwrap(), "x");
    assert_eq!(second.find_result(Phase::Plan, None).await.unwrap(), None);
    for other in [world.workspace("acme", 2, Generation::FIRST), world.workspace("globex", 1, Generation::FIRST)] {
        assert!(matches!(other.get_artefact(&artefact.digest, 1).await, Err(BlobError::NotFound(_))));
    }
}

#[tokio::test]
async fn the_first_result_wins_and_all_go_on_with_it() {
    let world = World::new().await;
    let workspace = world.first();
    let part = Some(PartIndex(7));
    assert_eq!(workspace.find_result(Phase::Adapt, part).await.unwrap(), None);
    let first = workspace.put_result(Phase::Adapt, part, &"first").await.unwrap();
    let second = workspace.put_result(Phase::Adapt, part, &"second").await.unwrap();
    assert_eq!(first, second);
    assert_eq!(workspace.find_result(Phase::Adapt, part).await.unwrap(), Some(first.clone()));
    assert_eq!(workspace.read_result(&first).await.unwrap(), r#""first""#);
    assert_eq!(workspace.part_result::<String>(Phase::Adapt, PartIndex(7)).await.unwrap(), "first");
    assert!(workspace.put_result(Phase::Adapt, None, &"the join").await.unwrap() != first, "a part is not the stage");
}

#[tokio::test]
async fn a_changed_result_is_not_believed() {
    let world = World::new().await;
    let workspace = world.first();
    let result = workspace.put_result(Phase::Plan, None, &1).await.unwrap();
    world.blobs.put(&result.key.parse().unwrap(), Bytes::from_static(b"2")).await.unwrap();
    assert!(matches!(workspace.read_result(&result).await, Err(ResultError::Corrupt { .. })));
    let part = workspace.result_key(Phase::Adapt, Some(PartIndex(0)));
    world.blobs.put(&part, Bytes::from_static(b"{")).await.unwrap();
    let unreadable = workspace.part_result::<u32>(Phase::Adapt, PartIndex(0)).await;
    assert!(matches!(unreadable, Err(ResultError::Unreadable { .. })));
}

#[tokio::test]
async fn a_result_of_another_run_is_refused() {
    let world = World::new().await;
    let workspace = world.first();
    for other in [world.workspace("globex", 1, Generation::FIRST), world.workspace("acme", 2, Generation::FIRST)] {
        let result = other.put_result(Phase::Plan, None, &1).await.unwrap();
        let refused = workspace.read_result(&result).await;
        assert!(matches!(refused, Err(ResultError::Store { cause: BlobError::Refused { .. }, .. })), "{refused:?}");
    }
    let digest = workspace.put_result(Phase::Plan, None, &1).await.unwrap().digest;
    let outside = ResultRef { key: "../x".to_owned(), digest };
    assert!(workspace.read_result(&outside).await.is_err());
}

#[test]
fn scratch_names_cannot_leave_scratch() {
    let world = tokio::runtime::Runtime::new().unwrap().block_on(World::new());
    let workspace = world.first();
    let key = workspace.scratch_key("adapt.part-1.checkpoint.json").unwrap();
    assert!(key.as_str().ends_with("/g1/scratch/adapt.part-1.checkpoint.json"), "{key}");
    for bad in ["../x", "", "a b"] {
        assert!(workspace.scratch_key(bad).is_err(), "{bad:?}");
    }
}
