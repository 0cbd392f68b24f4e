//! Stores that are away, and a log that is full: what waits, and that it uses up nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use export_contract::ErrorCode;
use export_contract::event::WaitReason;
use export_contract::message::Outcome;
use export_jetstream::topology::LOG_STREAM;
use export_jetstream::{Check, NatsFeed, Settings, Step, Topology, Worker};
use export_pipeline::{RunFeed as _, RunQueue as _, Verdict};
use futures::FutureExt as _;
use tokio_util::sync::CancellationToken;

use crate::rig::{Broken, Note, Plan, Rig, Toy, Working, eventually, quick};

/// A ledger that is away or not, as its own check says, and a stage that fails while it is.
#[derive(Clone, Default)]
struct Ledger {
    is_back: Arc<AtomicBool>,
    /// Whether its check says that it is there nevertheless.
    lies: bool,
    tries: Arc<AtomicU32>,
}

impl Ledger {
    fn worker(&self, rig: &Rig, settings: Settings) -> Working {
        let this = self.clone();
        let toy = Toy::<Plan>::new(move |note: Note, cx| {
            this.tries.fetch_add(1, Ordering::SeqCst);
            let is_back = this.is_back.load(Ordering::SeqCst);
            async move {
                if is_back {
                    Ok(note.then(cx.attempt()))
                } else {
                    Err(Broken(Verdict::Wait { on: WaitReason::Evidence }))
                }
            }
        });
        let this = self.clone();
        let check: Check = Arc::new(move || {
            let answers = this.lies || this.is_back.load(Ordering::SeqCst);
            async move { if answers { Ok(()) } else { Err("it is away".into()) } }.boxed()
        });
        let stop = CancellationToken::new();
        let worker = Worker::new(toy, Step::Plan, rig.deps(), settings).waiting_for(WaitReason::Evidence, check);
        Working { task: tokio::spawn(worker.run(stop.clone())), stop }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_whose_ledger_is_away_waits_with_what_it_has_and_takes_nothing_more() {
    let rig = Rig::with(Topology { ack_wait: Duration::from_secs(1), max_deliver: 1, ..Topology::default() }).await;
    let mut runs = Vec::new();
    for number in 0..6 {
        runs.push(rig.admit_new(&number.to_string()).await);
    }
    let ledger = Ledger::default();
    let worker = ledger.worker(&rig, Settings { slots: 2, ..quick() });
    let feed = NatsFeed::new(rig.nats.clone());
    let mut held = Vec::new();
    eventually("two runs that wait", async || {
        held.clear();
        for run in &runs {
            let waiting = feed.waiting(&run.tenant, &run.run).await.unwrap();
            held.extend(waiting.map(|waiting| (run.clone(), waiting.reason)));
        }
        held.len() == 2
    })
    .await;
    assert!(held.iter().all(|(_, reason)| *reason == WaitReason::Evidence));
    // Longer than the server waits for an answer: heartbeats keep what is held, and the rest is left to others.
    let redeliveries = || rig.metric("exporter_step_redeliveries_total", &BTreeMap::new());
    let stream = rig.nats.jetstream().get_stream(LOG_STREAM).await.unwrap();
    let mut looks = 0;
    eventually("three times the ack wait", async || {
        looks += 1;
        let info = stream.consumer_info("plan").await.unwrap();
        assert_eq!((info.num_ack_pending, info.num_pending), (2, 4));
        looks > 150
    })
    .await;
    assert_eq!((ledger.tries.load(Ordering::SeqCst), redeliveries()), (2, 0));

    ledger.is_back.store(true, Ordering::SeqCst);
    for (number, run) in runs.iter().enumerate() {
        assert_eq!(rig.result(run, "plan.done").await.text, format!("{number}>1"));
    }
    rig.idle(Step::Plan).await;
    for (run, _) in &held {
        assert_eq!(feed.waiting(&run.tenant, &run.run).await.unwrap(), None, "it goes away by itself");
    }
    assert_eq!((rig.dead_letters().await, redeliveries()), (Vec::new(), 0));
    worker.stop().await;
    rig.stop().await;
}

/// Or one run whose query is never answered would hold up all others.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_fails_on_a_store_that_answers_uses_up_its_tries() {
    let rig = Rig::new().await;
    let ledger = Ledger { lies: true, ..Ledger::default() };
    let worker = ledger.worker(&rig, quick());
    let run = rig.admit_new("x").await;
    let Outcome::Failed { code, .. } = rig.event(&run, "plan.failed").await.outcome else { panic!("it did not fail") };
    assert_eq!((code, ledger.tries.load(Ordering::SeqCst)), (ErrorCode::Exhausted, 3));
    worker.stop().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_and_a_stop_end_the_waiting() {
    let rig = Rig::with(Topology { ack_wait: Duration::from_secs(1), max_deliver: 1, ..Topology::default() }).await;
    let ledger = Ledger::default();
    let worker = ledger.worker(&rig, Settings { slots: 2, grace: Duration::from_millis(100), ..quick() });
    let (cancelled, handed_on) = (rig.admit_new("x").await, rig.admit_new("y").await);
    eventually("both wait", async || ledger.tries.load(Ordering::SeqCst) == 2).await;
    rig.queue.cancelled(&cancelled, "alice").await.unwrap();
    let stream = rig.nats.jetstream().get_stream(LOG_STREAM).await.unwrap();
    eventually("the command is dropped", async || stream.consumer_info("plan").await.unwrap().num_ack_pending == 1)
        .await;
    worker.stop().await;
    // Another worker, whose ledger answers, has what was in the hands of the first.
    let other = Ledger { is_back: Arc::new(AtomicBool::new(true)), ..Ledger::default() };
    let worker = other.worker(&rig, quick());
    assert!(rig.result(&handed_on, "plan.done").await.text.starts_with("y>"));
    assert_eq!(rig.dead_letters().await, []);
    worker.stop().await;
    rig.stop().await;
}

/// The limit of the log is told to publishers before the disk is full; room heals it.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_is_waited_for_and_nothing_is_lost() {
    let rig = Rig::new().await;
    let (told, goes_on) = (Arc::new(AtomicU32::new(0)), CancellationToken::new());
    let toy = Toy::<Plan>::new({
        let (told, goes_on) = (Arc::clone(&told), goes_on.clone());
        move |note: Note, cx| {
            told.fetch_add(1, Ordering::SeqCst);
            let goes_on = goes_on.clone();
            async move {
                goes_on.cancelled().await;
                Ok(note.then(cx.attempt()))
            }
        }
    });
    let worker = rig.work(Step::Plan, toy);
    let run = rig.admit_new("x").await;
    eventually("the stage is at work", async || told.load(Ordering::SeqCst) == 1).await;
    let stream = rig.nats.jetstream().get_stream(LOG_STREAM).await.unwrap();
    let mut config = stream.cached_info().config.clone();
    let room = config.max_bytes;
    config.max_bytes = i64::try_from(stream.cached_info().state.bytes).unwrap() + 1;
    rig.nats.jetstream().update_stream(config.clone()).await.unwrap();

    // Whoever asks hears that the log takes nothing, in time.
    let other = rig.new_run();
    let refused = rig.queue.requested(&other).await.unwrap_err();
    assert!(refused.act.contains("requested"), "{refused}");
    goes_on.cancel();
    let workspace = rig.workspace(&run);
    eventually("the result record", async || {
        workspace.find_result(export_contract::run::Phase::Plan, None).await.unwrap().is_some()
    })
    .await;
    assert_eq!(rig.log_of(&run).await.len(), 1, "the event has no room");

    config.max_bytes = room;
    rig.nats.jetstream().update_stream(config).await.unwrap();
    assert_eq!(rig.result(&run, "plan.done").await.text, "x>1");
    rig.queue.requested(&other).await.unwrap();
    rig.idle(Step::Plan).await;
    assert_eq!(rig.metric("exporter_step_redeliveries_total", &BTreeMap::new()), 0);
    assert_eq!((told.load(Ordering::SeqCst), rig.dead_letters().await), (1, Vec::new()));
    worker.stop().await;
    rig.stop().await;
}
