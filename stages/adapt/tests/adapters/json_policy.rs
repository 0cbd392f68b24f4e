//! `json:policy`: a snapshot and its findings beside the evidence, and never others than those that were planned.

#[cfg(target_os = "linux")]
mod memory;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use export_adapt::{AdaptError, Assemble, PolicyExportError};
use export_blobs::Workspace;
use export_canon::digesting::sha256;
use export_canon::zst::{decompress_frame, read_seek_table};
use export_contract::event::{ProgressStep, ProgressTick};
use export_contract::message::{PartsResolved, PolicySnapshotRef, RunAdapted};
use export_contract::profile::{Frames, PolicySnapshotMode, ProfileKind};
use export_contract::run::Phase;
use export_contract::{Digest, ErrorCode};
use export_evidence::policy::suite::{finding, snapshot};
use export_evidence::policy::{Findings, PolicyFinding, PolicySource as _, PolicyStore as _};
use export_pipeline::context::ProgressSink;
use export_pipeline::{Judged as _, Stage as _, StageContext, Verdict};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::world::{Ticks, World, decompress, digests, record};

const SNAPSHOT: &str = "data/policy/snapshot.json";
const EVALUATIONS: &str = "data/policy/evaluations.jsonl.zst";
const ID: &str = "snap-1";

/// Findings of several frames at 64 KiB a frame.
fn findings(count: usize) -> Vec<PolicyFinding> {
    let severities = ["critical", "high", "low", ""];
    let all = (0..count).map(|number| {
        let noise: String = (0..60).map(|n| format!("{:x}", (number * 7919 + n * 104_729) % 65_521)).collect();
        let subject = format!("pkg:{}/p{number:05}@1", if number % 3 == 0 { "npm" } else { "golang" });
        let mut made = finding(ID, &subject, "CVE-2026-1", if number % 2 == 0 { "blocked" } else { "passed" });
        severities[number % 4].clone_into(&mut made.severity);
        made.raw =
            Bytes::from(format!(r#"{{"noise":"{noise}","score":1.50,"severity":"for the engine to conclude"}}"#));
        made
    });
    all.collect()
}

/// Ten records of evidence and these findings.
async fn world(findings: Vec<PolicyFinding>) -> World {
    let world = World::holding(ProfileKind::JsonPolicy, (0..10).map(record).collect()).await;
    put(&world, findings).await;
    world.policy.put_snapshot(&world.tenant, snapshot(ID, 1_767_225_600_000_000, "x")).await.unwrap();
    world
}

async fn put(world: &World, findings: Vec<PolicyFinding>) {
    for findings in findings.chunks(500) {
        world.policy.put_findings(&world.tenant, findings.to_vec()).await.unwrap();
    }
}

/// What plan pins.
async fn pinned(world: &World) -> PolicySnapshotRef {
    let snapshot = world.policy.snapshot(&world.tenant, ID).await.unwrap().unwrap();
    let findings = Findings::read(&*world.policy, &world.tenant, ID, |_, _| {}).await.unwrap();
    PolicySnapshotRef { findings: Some(findings.reference), ..snapshot.reference() }
}

async fn planned(world: &World, run: u64, frames: Frames) -> PartsResolved {
    let mut resolved = world.resolved(run, frames).await;
    resolved.plan.policy_snapshot = Some(pinned(world).await);
    resolved
}

async fn text(world: &World, adapted: &RunAdapted, path: &str) -> String {
    String::from_utf8(world.bytes(adapted, path).await.to_vec()).unwrap()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_finding_is_there_once_in_order_with_its_literals() {
    let world = world(findings(2_000)).await;
    let adapted = world.run(planned(&world, 1, Frames::Multi).await, 2).await;
    let paths: Vec<&str> = adapted.files.iter().map(|file| file.path.as_str()).collect();
    let raw = ["data/raw/advisories.jsonl.zst", "data/raw/sboms.jsonl.zst", "data/raw/vex.jsonl.zst"];
    assert_eq!(paths, ["README.md", EVALUATIONS, SNAPSHOT, raw[0], raw[1], raw[2]]);

    let plain = decompress(&world.bytes(&adapted, EVALUATIONS).await);
    let read = lines(&plain);
    let key = |line: &Value| {
        ["subject", "advisory", "finding_id"].map(|name| line[name].as_str().unwrap_or_default().to_owned())
    };
    assert!(read.len() == 2_000 && read.is_sorted_by_key(key));
    assert!(plain.lines().all(|line| line.contains(r#""score":1.50"#) && line.contains(r#""tenant":"acme""#)));
    assert!(
        read.iter().all(|line| line["raw"]["severity"] == "for the engine to conclude"),
        "the guard is not for findings"
    );
    let file = adapted.files.iter().find(|file| file.path == EVALUATIONS).unwrap();
    assert_eq!((file.records, file.plain_bytes), (Some(2_000), Some(plain.len() as u64)));
    let frames = read_seek_table(&mut std::io::Cursor::new(world.bytes(&adapted, EVALUATIONS).await), 1_000).unwrap();
    assert!(frames.len() > 8 && file.frames == Some(frames.len() as u64), "{}", frames.len());

    // Anyone can tell that these are the findings that were pinned.
    let promised = adapted.plan.policy_snapshot.as_ref().unwrap().findings.clone().unwrap();
    assert_eq!((promised.count, promised.digest.hex()), (2_000, sha256(plain.as_bytes()).hex().as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_snapshot_document_counts_and_holds_the_engines_own_text() {
    let world = world(findings(8)).await;
    let adapted = world.run(planned(&world, 1, Frames::Multi).await, 1).await;
    let written = text(&world, &adapted, SNAPSHOT).await;
    let document: Value = serde_json::from_str(&written).unwrap();
    let own = snapshot(ID, 1_767_225_600_000_000, "x");
    assert_eq!(document["schema"], "urn:export-center:policy-snapshot:v1");
    assert_eq!((&document["snapshotId"], &document["policyVersion"]), (&Value::from(ID), &Value::from("7")));
    assert_eq!(
        (&document["inputsHash"], &document["decisionTrace"]),
        (&"sha256:inputs".into(), &"sha256:trace".into())
    );
    assert_eq!(document["generatedAt"], "2026-01-01T00:00:00Z");
    assert_eq!(document["digest"], own.digest.as_str());
    assert!(written.contains(&format!(r#""raw":{},"#, std::str::from_utf8(&own.raw).unwrap())), "{written}");
    assert_eq!(document["findings"]["count"], 8);
    assert_eq!(document["findings"]["byStatus"], serde_json::json!({"blocked": 4, "passed": 4}));
    assert_eq!(document["findings"]["bySeverity"], serde_json::json!({"critical": 2, "high": 2, "low": 2}));
    assert_eq!(document["exported"]["count"], 8);
    let members: Vec<&String> = document.as_object().unwrap().keys().collect();
    assert!(members.is_sorted() && written.ends_with("}\n") && written.starts_with("{\"decisionTrace\""), "{written}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bytes_are_the_same_for_one_thread_for_four_and_for_a_single_frame() {
    let world = world(findings(2_000)).await;
    let one = world.run(planned(&world, 1, Frames::Multi).await, 1).await;
    let four = world.run(planned(&world, 2, Frames::Multi).await, 4).await;
    assert_eq!(digests(&one), digests(&four));
    let single = world.run(planned(&world, 3, Frames::Single).await, 1).await;
    let frame = world.bytes(&single, EVALUATIONS).await;
    let plain = decompress_frame(&frame, 64 << 20).expect("exactly one frame");
    assert_eq!(String::from_utf8(plain).unwrap(), decompress(&world.bytes(&one, EVALUATIONS).await));
    let again = world.run(planned(&world, 4, Frames::Single).await, 4).await;
    assert_eq!(digests(&single), digests(&again));
}

#[tokio::test(flavor = "multi_thread")]
async fn severities_and_products_choose_findings() {
    let world = world(findings(400)).await;
    let mut chosen = planned(&world, 1, Frames::Multi).await;
    let selectors = &mut chosen.plan.selectors;
    selectors.severities = ["critical", "high"].map(str::to_owned).into();
    selectors.products = ["pkg:npm/".to_owned()].into();
    // Evidence is chosen by its own purls: these records have none.
    chosen.parts.clear();
    let adapted = world.run(chosen, 1).await;
    let read = lines(&decompress(&world.bytes(&adapted, EVALUATIONS).await));
    let expected: Vec<PolicyFinding> = findings(400)
        .into_iter()
        .filter(|f| f.key.subject.starts_with("pkg:npm/") && ["critical", "high"].contains(&f.severity.as_str()))
        .collect();
    let subjects: Vec<&str> = read.iter().map(|line| line["subject"].as_str().unwrap()).collect();
    assert_eq!(subjects, expected.iter().map(|f| f.key.subject.as_str()).collect::<Vec<_>>());
    let document: Value = serde_json::from_str(&text(&world, &adapted, SNAPSHOT).await).unwrap();
    assert_eq!((&document["findings"]["count"], &document["exported"]["count"]), (&400.into(), &read.len().into()));
    let readme = text(&world, &adapted, "README.md").await;
    assert!(readme.contains(&format!("400 evaluated findings, {} of which are in here", read.len())), "{readme}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_findings_and_no_snapshot_do_not_look_alike() {
    let world = world(Vec::new()).await;
    let none = world.run(planned(&world, 1, Frames::Multi).await, 1).await;
    let file = none.files.iter().find(|file| file.path == EVALUATIONS).unwrap();
    assert_eq!((file.records, file.frames), (Some(0), Some(1)));
    assert_eq!(decompress(&world.bytes(&none, EVALUATIONS).await), "");
    assert!(text(&world, &none, "README.md").await.contains("It has 0 evaluated findings"));

    for (run, mode, why) in [
        (2, PolicySnapshotMode::Optional, "the tenant had none when the run was planned"),
        (3, PolicySnapshotMode::None, "`policySnapshotMode` is `none`"),
    ] {
        let mut resolved = world.resolved(run, Frames::Multi).await;
        resolved.plan.profile.config.policy_snapshot_mode = mode;
        let adapted = world.run(resolved, 1).await;
        assert!(adapted.files.iter().all(|file| !file.path.starts_with("data/policy")));
        let readme = text(&world, &adapted, "README.md").await;
        assert!(readme.contains("**No policy snapshot is in this bundle**") && readme.contains(why), "{readme}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_that_were_replaced_after_the_plan_fail_the_run() {
    let world = world(findings(50)).await;
    let resolved = planned(&world, 1, Frames::Multi).await;
    let mut replaced = findings(50)[7].clone();
    replaced.raw = Bytes::from_static(b"{}");
    put(&world, vec![replaced]).await;
    let error = failed(&world, &resolved).await;
    assert!(matches!(&error, AdaptError::Policy(PolicyExportError::FindingsChanged { .. })), "{error:?}");
    assert_eq!(error.verdict(), Verdict::FailRun(ErrorCode::SnapshotChanged));

    let resolved = planned(&world, 2, Frames::Multi).await;
    put(&world, vec![finding(ID, "pkg:npm/late@1", "CVE-2026-2", "blocked")]).await;
    let error = failed(&world, &resolved).await;
    assert_eq!(error.verdict(), Verdict::FailRun(ErrorCode::SnapshotChanged));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_was_replaced_or_is_gone_fails_the_run() {
    let world = world(findings(5)).await;
    let resolved = planned(&world, 1, Frames::Multi).await;
    world.policy.put_snapshot(&world.tenant, snapshot(ID, 1_767_225_600_000_000, "another text")).await.unwrap();
    assert_eq!(failed(&world, &resolved).await.verdict(), Verdict::FailRun(ErrorCode::SnapshotChanged));
    let mut gone = planned(&world, 2, Frames::Multi).await;
    gone.plan.policy_snapshot = Some(PolicySnapshotRef::new("gone".to_owned(), Digest::from_bytes([1; 32])));
    let error = failed(&world, &gone).await;
    assert!(matches!(&error, AdaptError::Policy(PolicyExportError::SnapshotChanged { .. })), "{error:?}");
}

/// The error of the join.
async fn failed(world: &World, resolved: &PartsResolved) -> AdaptError {
    for part in &resolved.parts {
        let adapted = world.adapt(resolved, part, 1).await.unwrap();
        let workspace = Workspace::new(world.blobs.clone(), resolved.plan.run.clone());
        workspace.put_result(Phase::Adapt, Some(part.index), &adapted).await.unwrap();
    }
    world.assemble(resolved.clone()).await.unwrap_err()
}

/// Cancels at the second tick about findings.
struct CancelSoon {
    token: CancellationToken,
    ticks: AtomicU64,
}

impl ProgressSink for CancelSoon {
    fn tick(&self, tick: ProgressTick) {
        assert_eq!(tick.step, ProgressStep::StageProgress);
        if self.ticks.fetch_add(1, Ordering::SeqCst) == 1 {
            self.token.cancel();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_tells_how_far_it_is_and_ends_when_it_is_cancelled() {
    let world = world(findings(5_000)).await;
    let mut resolved = planned(&world, 1, Frames::Multi).await;
    resolved.parts.clear();
    let context = |token: CancellationToken, sink: Arc<dyn ProgressSink>| {
        let workspace = Workspace::new(world.blobs.clone(), resolved.plan.run.clone());
        StageContext::new(workspace, Phase::Adapt, None, 1, token, sink)
    };
    let ticks = Arc::new(Ticks::default());
    let cx = context(CancellationToken::new(), ticks.clone());
    Assemble::new(world.registry(2)).handle(resolved.clone(), &cx).await.unwrap();
    assert!(ticks.0.lock().unwrap().iter().any(|tick| tick.records == 5_000));

    let token = CancellationToken::new();
    let sink = Arc::new(CancelSoon { token: token.clone(), ticks: AtomicU64::new(0) });
    let error = Assemble::new(world.registry(2)).handle(resolved.clone(), &context(token, sink)).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::Cancelled, "{error:?}");
}
