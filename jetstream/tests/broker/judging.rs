//! Verdicts are obeyed.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use export_blobs::{BlobError, BlobKey, BlobMeta, BlobStore, BlobWriter, ByteStream, PutOutcome};
use export_contract::ErrorCode;
use export_contract::message::Outcome;
use export_jetstream::{Deps, Settings, Step, Topology, Worker};
use export_pipeline::Verdict;
use tokio_util::sync::CancellationToken;

use crate::rig::{Broken, Note, Plan, Rig, Toy, Working, eventually, quick};

/// A plan worker that fails as often as told, and how often it was called.
fn failing(rig: &Rig, times: u32, verdict: Verdict) -> (Working, Arc<AtomicU32>) {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let toy = Toy::<Plan>::new(move |note: Note, cx| {
        let call = counted.fetch_add(1, Ordering::SeqCst) + 1;
        assert_eq!(cx.attempt(), call);
        let verdict = verdict.clone();
        async move { if call <= times { Err(Broken(verdict)) } else { Ok(note.then("plan")) } }
    });
    (rig.work(Step::Plan, toy), calls)
}

async fn failure(rig: &Rig, run: &export_contract::run::RunRef) -> ErrorCode {
    let Outcome::Failed { code, .. } = rig.event(run, "plan.failed").await.outcome else { panic!("not failed") };
    code
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_may_pass_is_tried_again() {
    let rig = Rig::new().await;
    let (worker, calls) = failing(&rig, 2, Verdict::Redeliver { after: None });
    let run = rig.admit_new("x").await;
    assert_eq!(rig.result(&run, "plan.done").await.text, "x>plan");
    rig.idle(Step::Plan).await;
    assert_eq!(calls.load(Ordering::SeqCst), 3);
    assert_eq!(rig.dead_letters().await, []);
    assert_eq!(rig.metric("exporter_step_redeliveries_total", &BTreeMap::from([("step", "plan")])), 2);
    worker.stop().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artefact_that_came_spoilt_is_read_again_some_times() {
    let topology = Topology { ack_wait: Duration::from_secs(1), max_deliver: 6, ..Topology::default() };
    let rig = Rig::with(topology).await;
    let (worker, calls) = failing(&rig, 2, Verdict::FailRun(ErrorCode::ArtefactCorrupt));
    let run = rig.admit_new("x").await;
    assert_eq!(rig.result(&run, "plan.done").await.text, "x>plan");
    assert_eq!(calls.load(Ordering::SeqCst), 3);
    worker.stop().await;

    // One that is spoilt where it is stored fails the run with that code, and no letter is left of it.
    let (worker, calls) = failing(&rig, u32::MAX, Verdict::FailRun(ErrorCode::ArtefactCorrupt));
    let run = rig.admit_new("y").await;
    assert_eq!(failure(&rig, &run).await, ErrorCode::ArtefactCorrupt);
    assert_eq!(calls.load(Ordering::SeqCst), 4);
    assert_eq!(rig.dead_letters().await, []);
    worker.stop().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_try_ends_in_a_dead_letter_and_a_failed_run() {
    let rig = Rig::new().await;
    let (worker, calls) = failing(&rig, u32::MAX, Verdict::Redeliver { after: Some(Duration::from_millis(10)) });
    let run = rig.admit_new("x").await;
    assert_eq!(failure(&rig, &run).await, ErrorCode::Exhausted);
    rig.idle(Step::Plan).await;
    assert_eq!(calls.load(Ordering::SeqCst), 3);
    let letters = rig.dead_letters().await;
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].code, letters[0].deliveries), (ErrorCode::Exhausted, 3));
    assert_eq!(letters[0].reason, "the toy broke");
    assert!(letters[0].payload.contains("\"admitted\""), "{}", letters[0].payload);
    worker.stop().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_for_good_is_not_tried_again() {
    let rig = Rig::new().await;
    let (worker, calls) = failing(&rig, u32::MAX, Verdict::FailRun(ErrorCode::SnapshotMissing));
    let run = rig.admit_new("x").await;
    assert_eq!(failure(&rig, &run).await, ErrorCode::SnapshotMissing);
    rig.idle(Step::Plan).await;
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(rig.dead_letters().await, []);
    worker.stop().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_panics_is_tried_again_and_fails_as_a_defect() {
    let rig = Rig::new().await;
    let worker = rig.work(
        Step::Plan,
        Toy::<Plan>::new(|note: Note, _| async move {
            assert!(note.text != "bad", "the toy fell apart");
            Ok(note)
        }),
    );
    let bad = rig.admit_new("bad").await;
    let good = rig.admit_new("good").await;
    assert_eq!(failure(&rig, &bad).await, ErrorCode::Internal);
    assert_eq!(rig.result(&good, "plan.done").await.text, "good");
    rig.idle(Step::Plan).await;
    assert!(rig.dead_letters().await[0].reason.contains("the toy fell apart"));
    worker.stop().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_command_dies_alone() {
    let rig = Rig::new().await;
    let worker = rig.work(Step::Plan, Toy::<Plan>::new(|note, _| async move { Ok(note) }));
    let before = rig.admit_new("before").await;
    let poisoned = rig.new_run();
    let subject = format!("export.{}.{}.{}.admitted", poisoned.tenant, poisoned.run, poisoned.generation);
    rig.nats.jetstream().publish(subject.clone(), "{\"v\":7}".into()).await.unwrap().await.unwrap();
    // No run can be named for this one.
    rig.nats.jetstream().publish("export.NO.SUCH.RUN.admitted", "?".into()).await.unwrap().await.unwrap();
    let after = rig.admit_new("after").await;
    assert_eq!(failure(&rig, &poisoned).await, ErrorCode::Poisoned);
    assert_eq!(rig.result(&before, "plan.done").await.text, "before");
    assert_eq!(rig.result(&after, "plan.done").await.text, "after");
    rig.idle(Step::Plan).await;
    let mut letters = rig.dead_letters().await;
    letters.sort_by_key(|letter| letter.sequence);
    let seen: Vec<_> =
        letters.iter().map(|letter| (letter.subject.as_str(), letter.deliveries, letter.payload.as_str())).collect();
    assert_eq!(seen, [(subject.as_str(), 1, "{\"v\":7}"), ("export.NO.SUCH.RUN.admitted", 1, "?")]);
    assert!(letters[0].reason.contains("schema version 7"), "{}", letters[0].reason);
    worker.stop().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_record_fails_the_run_once_it_was_read_again() {
    let rig = Rig::new().await;
    let worker = rig.work(Step::Plan, Toy::<Plan>::new(|note, _| async move { Ok(note) }));
    let run = rig.new_run();
    let workspace = rig.workspace(&run);
    let mut record = workspace.put_record(&workspace.admission_key(), &Note::of("x")).await.unwrap();
    record.digest = export_contract::Digest::from_bytes([0; 32]);
    export_pipeline::RunQueue::admitted(&rig.queue, &run, &record).await.unwrap();
    assert_eq!(failure(&rig, &run).await, ErrorCode::ArtefactCorrupt);
    worker.stop().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_without_progress_is_given_up_and_tried_again() {
    let rig = Rig::new().await;
    let toy = Toy::<Plan>::new(|note: Note, cx| async move {
        if cx.attempt() == 1 {
            cx.cancellation().cancelled().await;
            return Err(Broken(Verdict::Cancelled));
        }
        Ok(note.then("second"))
    });
    let worker = rig.work_with(Step::Plan, toy, Settings { stall_limit: Duration::from_millis(500), ..quick() });
    let run = rig.admit_new("x").await;
    assert_eq!(rig.result(&run, "plan.done").await.text, "x>second");
    assert_eq!(rig.metric("exporter_step_stalls_total", &BTreeMap::from([("step", "plan")])), 1);
    worker.stop().await;
    rig.stop().await;
}

/// A store that is away until it is told to come back.
#[derive(Debug)]
struct Away {
    inner: Arc<dyn BlobStore>,
    refused: AtomicU32,
    back: AtomicBool,
}

impl Away {
    fn there(&self) -> Result<(), BlobError> {
        if self.back.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.refused.fetch_add(1, Ordering::SeqCst);
        Err(BlobError::Unavailable { act: "reach staging".to_owned(), cause: "it is away".into() })
    }
}

#[async_trait]
impl BlobStore for Away {
    async fn put(&self, key: &BlobKey, bytes: Bytes) -> Result<(), BlobError> {
        self.there()?;
        self.inner.put(key, bytes).await
    }
    async fn put_if_absent(&self, key: &BlobKey, bytes: Bytes) -> Result<PutOutcome, BlobError> {
        self.there()?;
        self.inner.put_if_absent(key, bytes).await
    }
    async fn writer(&self) -> Result<Box<dyn BlobWriter>, BlobError> {
        self.there()?;
        self.inner.writer().await
    }
    async fn get(&self, key: &BlobKey, limit: u64) -> Result<Bytes, BlobError> {
        self.there()?;
        self.inner.get(key, limit).await
    }
    async fn read(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<ByteStream, BlobError> {
        self.there()?;
        self.inner.read(key, range).await
    }
    async fn head(&self, key: &BlobKey) -> Result<Option<BlobMeta>, BlobError> {
        self.there()?;
        self.inner.head(key).await
    }
    async fn delete(&self, key: &BlobKey) -> Result<(), BlobError> {
        self.there()?;
        self.inner.delete(key).await
    }
    async fn list(&self, prefix: &BlobKey) -> Result<Vec<BlobKey>, BlobError> {
        self.there()?;
        self.inner.list(prefix).await
    }
    async fn names(&self, prefix: Option<&BlobKey>) -> Result<Vec<String>, BlobError> {
        self.there()?;
        self.inner.names(prefix).await
    }
    async fn tidy(&self, prefix: &BlobKey) -> Result<(), BlobError> {
        self.there()?;
        self.inner.tidy(prefix).await
    }
    async fn check(&self) -> Result<(), BlobError> {
        self.there()?;
        self.inner.check().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn staging_that_is_away_uses_up_no_deliveries() {
    let rig = Rig::with(Topology { ack_wait: Duration::from_secs(1), max_deliver: 1, ..Topology::default() }).await;
    let away =
        Arc::new(Away { inner: Arc::clone(&rig.store), refused: AtomicU32::new(0), back: AtomicBool::new(false) });
    let deps = Deps { store: Arc::<Away>::clone(&away), ..rig.deps() };
    let toy = Toy::<Plan>::new(|note: Note, cx| async move { Ok(note.then(cx.attempt())) });
    let stop = CancellationToken::new();
    let worker = Worker::new(toy, Step::Plan, deps, quick());
    let worker = Working { task: tokio::spawn(worker.run(stop.clone())), stop };
    let run = rig.admit_new("x").await;
    eventually("some tries", async || away.refused.load(Ordering::SeqCst) > 3).await;
    away.back.store(true, Ordering::SeqCst);
    assert_eq!(rig.result(&run, "plan.done").await.text, "x>1");
    assert_eq!(rig.dead_letters().await, []);
    worker.stop().await;
    rig.stop().await;
}
