//! A part that was broken off goes on where it was, to the same bytes; a cancelled one leaves nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use export_adapt::AdaptPart;
use export_blobs::{BlobKey, BlobStore as _, Workspace};
use export_contract::event::ProgressTick;
use export_contract::event::WaitReason;
use export_contract::message::{PartAdapted, PartsResolved};
use export_contract::profile::Frames;
use export_contract::run::Phase;
use export_pipeline::context::ProgressSink;
use export_pipeline::stage::PartResolved;
use export_pipeline::{Judged as _, Stage as _, StageContext, Verdict};
use tokio_util::sync::CancellationToken;

use crate::world::{Then, World};

/// Where a read of the first part, which has 250 records, is broken off: behind its first segment.
const BREAK: u64 = 240;

/// A part that nothing disturbed.
async fn undisturbed(world: &World) -> PartAdapted {
    let resolved = world.resolved(1, Frames::Multi).await;
    world.adapt(&resolved, &resolved.parts[0], 2).await.unwrap()
}

/// A part of another run, whose first worker lost the ledger behind a whole segment.
async fn broken_off(world: &World, run: u64) -> PartsResolved {
    let resolved = world.resolved(run, Frames::Multi).await;
    world.after(BREAK, Then::Break);
    let error = world.adapt(&resolved, &resolved.parts[0], 2).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::Wait { on: WaitReason::Evidence });
    assert_eq!(world.staged(&resolved.plan.run).await, (1, 1), "one whole segment and its checkpoint");
    world.heal();
    resolved
}

fn checkpoint(resolved: &PartsResolved) -> BlobKey {
    format!("{}/scratch/adapt.part-0.checkpoint.json", resolved.plan.run).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_part_goes_on_after_its_cursor_to_the_same_bytes() {
    let world = World::new().await;
    let undisturbed = undisturbed(&world).await;
    let resolved = broken_off(&world, 2).await;
    let before = world.ledger.given.load(Ordering::SeqCst);
    let resumed = world.adapt(&resolved, &resolved.parts[0], 3).await.unwrap();
    assert_eq!(resumed, undisturbed);

    let cursor = world.ledger.cursors.lock().unwrap().last().unwrap().clone();
    assert!(cursor.is_some_and(|key| key > resolved.parts[0].first), "the second read began at the beginning");
    let inside: u32 = undisturbed.segments[0].frames.iter().map(|frame| frame.records).sum();
    let read = world.ledger.given.load(Ordering::SeqCst) - before;
    assert_eq!(read, resolved.parts[0].records - u64::from(inside), "nothing is read twice");
    assert_eq!(world.staged(&resolved.plan.run).await.1, 0, "a finished part leaves no checkpoint");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_whose_worker_was_killed_goes_on_to_the_same_bytes() {
    let world = World::new().await;
    let undisturbed = undisturbed(&world).await;
    let resolved = world.resolved(2, Frames::Multi).await;
    let hangs = CancellationToken::new();
    world.after(BREAK, Then::Hang(hangs.clone()));
    let killed = async {
        hangs.cancelled().await;
        while world.staged(&resolved.plan.run).await.1 == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        done = world.adapt(&resolved, &resolved.parts[0], 2) => panic!("a read that hangs cannot end: {done:?}"),
        () = killed => {}
    }
    world.heal();
    assert_eq!(world.adapt(&resolved, &resolved.parts[0], 1).await.unwrap(), undisturbed);
    assert!(world.ledger.cursors.lock().unwrap().last().unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_cannot_be_trusted_is_not_used() {
    let world = World::new().await;
    let undisturbed = undisturbed(&world).await;
    for (run, what) in [(2, "garbage"), (3, "another version"), (4, "a segment is gone")] {
        let resolved = broken_off(&world, run).await;
        let key = checkpoint(&resolved);
        let text = String::from_utf8(world.blobs.get(&key, 1 << 20).await.unwrap().to_vec()).unwrap();
        match what {
            "garbage" => world.blobs.put(&key, Bytes::from(text.replace('}', ""))).await.unwrap(),
            "another version" => {
                let other = text.replacen(r#""version":"1""#, r#""version":"0""#, 1);
                assert_ne!(other, text);
                world.blobs.put(&key, Bytes::from(other)).await.unwrap();
            }
            _ => {
                let run = &resolved.plan.run;
                let digest = &undisturbed.segments[0].artefact.digest;
                world.blobs.delete(&Workspace::artefact_key(&run.tenant, &run.run, digest)).await.unwrap();
            }
        }
        assert_eq!(world.adapt(&resolved, &resolved.parts[0], 2).await.unwrap(), undisturbed, "{what}");
        assert_eq!(world.ledger.cursors.lock().unwrap().last().unwrap(), &None, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_with_one_part_write_the_same() {
    let world = World::new().await;
    let undisturbed = undisturbed(&world).await;
    let resolved = world.resolved(2, Frames::Multi).await;
    let (one, two) =
        tokio::join!(world.adapt(&resolved, &resolved.parts[0], 1), world.adapt(&resolved, &resolved.parts[0], 2));
    assert_eq!((one.unwrap(), two.unwrap()), (undisturbed.clone(), undisturbed));
}

/// Adapts the first part while `cancel` may fire.
async fn cancelled(world: &World, resolved: &PartsResolved, cancel: CancellationToken) {
    let part = resolved.parts[0].clone();
    let cx = world.context(&resolved.plan, Some(part.index), cancel);
    let input = PartResolved { plan: resolved.plan.clone(), part };
    let error = AdaptPart::new(world.registry(1)).handle(input, &cx).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::Cancelled);
    assert_eq!(world.staged(&resolved.plan.run).await, (0, 0), "artefacts and scratch");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_part_destroys_what_it_wrote() {
    let world = World::new().await;
    // Early, where nothing is staged yet; around the end of a segment; and late.
    for (run, lines) in [(11, 5), (12, 125), (13, 140), (14, 160), (15, BREAK), (16, 249)] {
        let resolved = world.resolved(run, Frames::Multi).await;
        let cancel = CancellationToken::new();
        world.after(lines, Then::Cancel(cancel.clone()));
        cancelled(&world, &resolved, cancel).await;
    }
}

/// Cancels the run once this many records are written.
struct CancelAt(u64, CancellationToken);

impl ProgressSink for CancelAt {
    fn tick(&self, tick: ProgressTick) {
        if tick.records >= self.0 {
            self.1.cancel();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_cancelled_at_its_last_record_leaves_nothing() {
    let world = World::new().await;
    let resolved = world.resolved(1, Frames::Multi).await;
    let part = resolved.parts[0].clone();
    let cancel = CancellationToken::new();
    let sink = Arc::new(CancelAt(part.records, cancel.clone()));
    let workspace = Workspace::new(world.blobs.clone(), resolved.plan.run.clone());
    let cx = StageContext::new(workspace, Phase::Adapt, Some(part.index), 1, cancel, sink);
    let input = PartResolved { plan: resolved.plan.clone(), part };
    let error = AdaptPart::new(world.registry(1)).handle(input, &cx).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::Cancelled);
    assert_eq!(world.staged(&resolved.plan.run).await, (0, 0), "artefacts and scratch");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_part_destroys_what_an_earlier_worker_wrote() {
    let world = World::new().await;
    let resolved = broken_off(&world, 2).await;
    let cancel = CancellationToken::new();
    cancel.cancel();
    cancelled(&world, &resolved, cancel).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_part_does_not_wait_for_the_ledger() {
    let world = World::new().await;
    let resolved = world.resolved(1, Frames::Multi).await;
    let cancel = CancellationToken::new();
    // The ledger cancels the run, and never answers again.
    world.after(BREAK, Then::Hang(cancel.clone()));
    cancelled(&world, &resolved, cancel).await;
}

/// Adapts the first part on a ledger that never answers behind its first segment; once that segment is staged, `then`
/// happens, with the token of the run and that of the delivery.
async fn ended(world: &World, resolved: &PartsResolved, then: impl FnOnce(&CancellationToken, &CancellationToken)) {
    let (run, hangs) = (CancellationToken::new(), CancellationToken::new());
    let delivery = run.child_token();
    world.after(BREAK, Then::Hang(hangs.clone()));
    let part = resolved.parts[0].clone();
    let cx = world.context(&resolved.plan, Some(part.index), delivery.clone()).with_run_cancellation(run.clone());
    let input = PartResolved { plan: resolved.plan.clone(), part };
    let stage = AdaptPart::new(world.registry(2));
    let end = async {
        hangs.cancelled().await;
        while world.staged(&resolved.plan.run).await.1 == 0 {
            tokio::task::yield_now().await;
        }
        then(&run, &delivery);
    };
    let (outcome, ()) = tokio::join!(stage.handle(input, &cx), end);
    assert_eq!(outcome.unwrap_err().verdict(), Verdict::Cancelled);
    world.heal();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_whose_host_stops_leaves_its_segments_to_another_worker() {
    let world = World::new().await;
    let undisturbed = undisturbed(&world).await;
    let resolved = world.resolved(2, Frames::Multi).await;
    ended(&world, &resolved, |_, delivery| delivery.cancel()).await;
    assert_eq!(world.staged(&resolved.plan.run).await, (1, 1), "one whole segment and its checkpoint");

    let before = world.ledger.given.load(Ordering::SeqCst);
    assert_eq!(world.adapt(&resolved, &resolved.parts[0], 1).await.unwrap(), undisturbed);
    let inside: u32 = undisturbed.segments[0].frames.iter().map(|frame| frame.records).sum();
    let read = world.ledger.given.load(Ordering::SeqCst) - before;
    assert_eq!(read, resolved.parts[0].records - u64::from(inside), "the first segment is made twice");
    assert_eq!(world.staged(&resolved.plan.run).await.1, 0, "a finished part leaves no checkpoint");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_whose_run_is_cancelled_destroys_the_segments_that_its_host_would_keep() {
    let world = World::new().await;
    let resolved = world.resolved(1, Frames::Multi).await;
    ended(&world, &resolved, |run, _| run.cancel()).await;
    assert_eq!(world.staged(&resolved.plan.run).await, (0, 0), "artefacts and scratch");
}
