//! `trivy:db`: the same bytes whatever the parts, merges and crashes; a cancel leaves nothing, and damage is called so.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use export_adapt::{AdaptError, Assemble};
use export_blobs::{BlobStore as _, Workspace};
use export_contract::event::WaitReason;
use export_contract::event::{ProgressStep, ProgressTick};
use export_contract::evidence::Linkset;
use export_contract::message::{PartAdapted, PartsResolved, RunAdapted};
use export_contract::profile::{Frames, ProfileKind};
use export_contract::run::Phase;
use export_contract::{ErrorCode, RecordKey, RecordKind};
use export_evidence::NewRecord;
use export_pipeline::context::ProgressSink;
use export_pipeline::{Judged as _, Stage as _, StageContext, Verdict};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::world::{Then, Ticks, World, digests};

const ADVISORIES: usize = 240;

/// An advisory of some 100 KB; of every forty one is withdrawn, and one names commits only.
fn advisory(number: usize) -> NewRecord {
    let id = format!("CVE-2026-{number:05}");
    let noise: String = (0..20_000).map(|n| format!("{:x} ", (number * 7919 + n * 104_729) % 65_521)).collect();
    let (kind, fixed) = if number % 40 == 7 { ("GIT", "0a1b2c3d") } else { ("ECOSYSTEM", "2.0") };
    let mut document = json!({
        "id": id, "modified": "2026-01-01T00:00:00Z", "details": noise,
        "affected": [{
            "package": {"ecosystem": "PyPI", "name": format!("Package_{}", number % 100)},
            "ranges": [{"type": kind, "events": [{"introduced": "0"}, {"fixed": fixed}]}],
        }],
    });
    if number % 40 == 9 {
        document["withdrawn"] = json!("2026-01-02T00:00:00Z");
    }
    NewRecord {
        kind: RecordKind::Advisory,
        key: RecordKey { subject: id.clone(), document_id: format!("pypi/{id}"), source: "osv".to_owned() },
        ecosystems: vec!["PyPI".to_owned()],
        observed_at: "2026-01-01T00:00:00Z".parse().unwrap(),
        linkset: Linkset::default(),
        format: "osv".to_owned(),
        spec_version: String::new(),
        raw: Bytes::from(document.to_string()),
    }
}

async fn world() -> World {
    World::holding(ProfileKind::TrivyDb, (0..ADVISORIES).map(advisory).collect()).await
}

/// A run whose parts have so many records.
async fn cut(world: &World, run: u64, every: u32) -> PartsResolved {
    let plan = world.resolved(run, Frames::Multi).await.plan;
    world.cut(plan, every).await
}

/// Adapts every part and keeps its record.
async fn adapted(world: &World, run: u64, every: u32) -> PartsResolved {
    let resolved = cut(world, run, every).await;
    for part in &resolved.parts {
        let adapted = world.adapt(&resolved, part, 1).await.unwrap();
        keep(world, &resolved, &adapted).await;
    }
    resolved
}

async fn keep(world: &World, resolved: &PartsResolved, adapted: &PartAdapted) {
    let workspace = Workspace::new(world.blobs.clone(), resolved.plan.run.clone());
    workspace.put_result(Phase::Adapt, Some(adapted.part), adapted).await.unwrap();
}

async fn result(world: &World, resolved: &PartsResolved, part: usize) -> PartAdapted {
    let workspace = Workspace::new(world.blobs.clone(), resolved.plan.run.clone());
    workspace.part_result(Phase::Adapt, resolved.parts[part].index).await.unwrap()
}

/// Joins, and tells `sink` of it; `cancel` is the run's.
async fn join(
    world: &World,
    resolved: PartsResolved,
    cancel: CancellationToken,
    sink: Arc<dyn ProgressSink>,
) -> Result<RunAdapted, AdaptError> {
    let workspace = Workspace::new(world.blobs.clone(), resolved.plan.run.clone());
    let cx = StageContext::new(workspace, Phase::Adapt, None, 1, cancel, sink);
    Assemble::new(world.registry(1)).handle(resolved, &cx).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_the_same_however_it_is_cut_and_merged() {
    let mut world = world().await;
    let mut seen: Option<Vec<_>> = None;
    // A fan-in of less than two would merge forever; it counts as two.
    for (run, every, fan_in) in [(1, 250, 64), (2, 20, 64), (3, 20, 2), (4, 33, 3), (5, 50, 1), (6, 50, 0)] {
        world.fan_in = fan_in;
        let resolved = adapted(&world, run, every).await;
        let made = digests(&world.assemble(resolved).await.unwrap());
        assert_eq!(*seen.get_or_insert_with(|| made.clone()), made, "parts of {every}, {fan_in} at once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_part_goes_on_after_its_first_run_to_the_same_bytes() {
    let world = world().await;
    let undisturbed = cut(&world, 1, 250).await;
    let undisturbed = world.adapt(&undisturbed, &undisturbed.parts[0], 1).await.unwrap();
    assert!(undisturbed.segments.len() > 1, "a part of several runs");

    let resolved = cut(&world, 2, 250).await;
    world.after(235, Then::Break);
    let error = world.adapt(&resolved, &resolved.parts[0], 1).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::Wait { on: WaitReason::Evidence });
    let (artefacts, scratch) = world.staged(&resolved.plan.run).await;
    assert!(artefacts >= 1 && scratch == 1, "{artefacts} whole runs and a checkpoint");
    world.heal();

    let before = world.ledger.given.load(Ordering::SeqCst);
    assert_eq!(world.adapt(&resolved, &resolved.parts[0], 1).await.unwrap(), undisturbed);
    let read = world.ledger.given.load(Ordering::SeqCst) - before;
    assert!(read < resolved.parts[0].records, "read {read} records again");
    assert_eq!(world.staged(&resolved.plan.run).await.1, 0, "a finished part leaves no checkpoint");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_part_leaves_nothing() {
    let world = world().await;
    for (run, lines) in [(1, 3), (2, 200), (3, 239)] {
        let resolved = cut(&world, run, 250).await;
        let cancel = CancellationToken::new();
        world.after(lines, Then::Cancel(cancel.clone()));
        let part = resolved.parts[0].clone();
        let cx = world.context(&resolved.plan, Some(part.index), cancel);
        let input = export_pipeline::stage::PartResolved { plan: resolved.plan.clone(), part };
        let error = export_adapt::AdaptPart::new(world.registry(1)).handle(input, &cx).await.unwrap_err();
        assert_eq!(error.verdict(), Verdict::Cancelled);
        assert_eq!(world.staged(&resolved.plan.run).await, (0, 0), "artefacts and scratch");
    }
}

/// Cancels at the first tick that is so.
struct CancelWhen(When, CancellationToken);

type When = fn(&ProgressTick) -> bool;

impl ProgressSink for CancelWhen {
    fn tick(&self, tick: ProgressTick) {
        if self.0(&tick) {
            self.1.cancel();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_that_is_cancelled_says_so_wherever_it_is_and_keeps_no_database() {
    let world = world().await;
    let places: [(&str, When); 3] = [
        ("fetching", |tick| tick.step == ProgressStep::StageProgress && tick.records > 0),
        ("merging", |tick| tick.records == 0 && tick.bytes == 0),
        // Bytes without records: the archive is being written.
        ("packing", |tick| tick.records == 0 && tick.bytes > 0),
    ];
    for (run, (place, when)) in (1..).zip(places) {
        let resolved = adapted(&world, run, 50).await;
        let before = world.staged(&resolved.plan.run).await.0;
        let cancel = CancellationToken::new();
        let sink = Arc::new(CancelWhen(when, cancel.clone()));
        let run = resolved.plan.run.clone();
        let error = join(&world, resolved, cancel.clone(), sink).await.unwrap_err();
        assert!(cancel.is_cancelled(), "{place}: never got there");
        assert_eq!(error.verdict(), Verdict::Cancelled, "{place}: {error}");
        assert_eq!(world.staged(&run).await.0, before, "{place}: artefacts");
        assert_eq!(std::fs::read_dir(&world.scratch).unwrap().count(), 0, "{place}: scratch");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_gives_signs_of_life_in_each_of_its_acts() {
    let mut world = world().await;
    world.fan_in = 2;
    let resolved = adapted(&world, 1, 50).await;
    let ticks = Arc::new(Ticks::default());
    let parts = resolved.parts.len();
    join(&world, resolved, CancellationToken::new(), ticks.clone()).await.unwrap();
    let ticks = ticks.0.lock().unwrap();
    let count = |wanted: When| ticks.iter().filter(|tick| wanted(tick)).count();
    assert_eq!(count(|tick| tick.records > 0 && tick.bytes > 0), parts, "a tick for each part that was fetched");
    assert!(
        count(|tick| tick.records == 0 && tick.bytes == 0) > 4,
        "each merge begins with one, and so does the database"
    );
    assert!(count(|tick| tick.records == 0 && tick.bytes > 0) > 0, "the archive");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_run_and_a_record_that_does_not_fit_it_fail_as_damage() {
    let world = world().await;
    let resolved = adapted(&world, 1, 100).await;
    let good = result(&world, &resolved, 1).await;
    let failed = Verdict::FailRun(ErrorCode::ArtefactCorrupt);

    // The first record of a part stays, so the damaged one is of another run.
    let other = cut(&world, 2, 100).await;
    for part in &other.parts {
        let mut adapted = world.adapt(&other, part, 1).await.unwrap();
        if part.index == good.part {
            adapted.segments[0].frames.pop();
        }
        keep(&world, &other, &adapted).await;
    }
    assert_eq!(world.assemble(other).await.unwrap_err().verdict(), failed, "a frame is missing");

    let run = &resolved.plan.run;
    let key = Workspace::artefact_key(&run.tenant, &run.run, &good.segments[0].artefact.digest);
    let mut bytes = world.blobs.get(&key, u64::MAX).await.unwrap().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    world.blobs.put(&key, Bytes::from(bytes)).await.unwrap();
    assert_eq!(world.assemble(resolved.clone()).await.unwrap_err().verdict(), failed, "a byte is another one");
    assert_eq!(std::fs::read_dir(&world.scratch).unwrap().count(), 0, "a failed join leaves its scratch");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_expressed_is_counted_in_the_report_of_all_parts() {
    let world = world().await;
    let made = world.run(cut(&world, 1, 50).await, 1).await;
    let report: Value = serde_json::from_slice(&world.bytes(&made, "trivy/report.json").await).unwrap();
    let reasons = report["notExpressed"].as_object().unwrap();
    let counts: Vec<_> =
        reasons.iter().map(|(reason, found)| (reason.as_str(), found["count"].as_u64().unwrap())).collect();
    assert_eq!(counts, [("no version is named that Trivy could compare", 6), ("withdrawn", 6)]);
    let withdrawn: Vec<_> =
        reasons["withdrawn"]["examples"].as_array().unwrap().iter().map(|e| e["id"].clone()).collect();
    assert_eq!(withdrawn, [9, 49, 89, 129, 169, 209].map(|number| json!(format!("CVE-2026-{number:05}"))));
    let sources: u64 = made.sources.iter().map(|source| source.records).sum();
    assert_eq!(sources, ADVISORIES as u64, "every record was read");
}
