//! Servers and workers die in the middle.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use export_contract::ErrorCode;
use export_contract::message::Outcome;
use export_jetstream::{Exhaustion, Join, Settings, Step, Topology, Worker};
use export_pipeline::Verdict;
use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;

use crate::rig::{Broken, Note, Plan, Rig, Toy, Working, pipeline, quick, soon};

#[tokio::test(flavor = "multi_thread")]
async fn killing_the_server_midway_loses_nothing() {
    let rig = Rig::new().await;
    let mut working = pipeline(&rig, 4, 2);
    let stop = CancellationToken::new();
    let join = Join::new(rig.nats.clone(), rig.metrics.clone());
    working.push(Working { task: tokio::spawn(join.run(stop.clone())), stop });
    let mut runs = Vec::new();
    for round in 0..3 {
        for number in 0..6 {
            runs.push(rig.admit_new(&format!("run {round} {number}")).await);
        }
        rig.event(&runs[runs.len() - 3], "plan.done").await;
        rig.kill_server().await;
    }
    for run in &runs {
        assert!(rig.result(run, "adapt.done").await.text.ends_with(">plan>resolve>assembled"));
        assert_eq!(rig.log_of(run).await.len(), 5 + 2 * 4, "{run}");
    }
    assert_eq!(rig.dead_letters().await, []);
    for one in working {
        one.stop().await;
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_midway_is_replaced() {
    let rig = Rig::new().await;
    let (entered, entries) = mpsc::channel();
    let dying = rig.work(
        Step::Plan,
        Toy::<Plan>::new(move |_, _| {
            entered.send(()).unwrap();
            std::future::pending()
        }),
    );
    let run = rig.admit_new("x").await;
    tokio::task::spawn_blocking(move || entries.recv_timeout(Duration::from_mins(1))).await.unwrap().unwrap();
    dying.task.abort();
    let worker = rig.work(Step::Plan, Toy::<Plan>::new(|note, cx| async move { Ok(note.then(cx.attempt())) }));
    assert_eq!(rig.result(&run, "plan.done").await.text, "x>2");
    worker.stop().await;
    rig.stop().await;
}

/// A frozen process: neither its stage nor its heartbeats go on. It wakes when another one has done its work.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_zombie_publishes_is_refused() {
    let rig = Rig::new().await;
    let (entered, entries) = mpsc::channel();
    let (wake, woken) = mpsc::channel::<()>();
    let woken = Mutex::new(woken);
    let toy = Toy::<Plan>::new(move |note: Note, _| {
        entered.send(()).unwrap();
        // Blocks the only thread of its runtime.
        woken.lock().unwrap().recv_timeout(Duration::from_mins(1)).unwrap();
        async move { Ok(note.then("zombie")) }
    });
    let (url, credentials) = (rig.server.url(), rig.server.credentials());
    let mut deps = rig.deps();
    let stop = CancellationToken::new();
    let stop_zombie = stop.clone();
    let zombie = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            deps.nats = export_jetstream::connect(&url, credentials).await.unwrap();
            Worker::new(toy, Step::Plan, deps, quick()).run(stop_zombie).await;
        });
    });
    let run = rig.admit_new("x").await;
    let entries = tokio::task::spawn_blocking(move || entries.recv_timeout(Duration::from_mins(1)).map(|()| entries));
    let _entries = entries.await.unwrap().unwrap();
    let worker = rig.work(Step::Plan, Toy::<Plan>::new(|note, _| async move { Ok(note.then("alive")) }));
    let done = rig.event(&run, "plan.done").await;
    wake.send(()).unwrap();
    stop.cancel();
    soon("the end of the zombie", tokio::task::spawn_blocking(move || zombie.join())).await.unwrap().unwrap();
    assert_eq!(rig.event(&run, "plan.done").await, done);
    assert_eq!(rig.result(&run, "plan.done").await.text, "x>alive");
    assert_eq!(rig.log_of(&run).await.len(), 2);
    worker.stop().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_stopped_hands_its_command_back_at_once() {
    // So long that only a command that was handed back can come again within the test.
    let rig = Rig::with(Topology { ack_wait: Duration::from_hours(1), ..Topology::default() }).await;
    let entered = Arc::new(tokio::sync::Notify::new());
    let enter = Arc::clone(&entered);
    let toy = Toy::<Plan>::new(move |_: Note, cx| {
        enter.notify_one();
        async move {
            cx.cancellation().cancelled().await;
            Err(Broken(Verdict::Cancelled))
        }
    });
    let first = rig.work_with(Step::Plan, toy, Settings { grace: Duration::ZERO, ..quick() });
    let run = rig.admit_new("x").await;
    soon("the first worker", entered.notified()).await;
    first.stop().await;
    let second = rig.work(Step::Plan, Toy::<Plan>::new(|note, cx| async move { Ok(note.then(cx.attempt())) }));
    assert_eq!(rig.result(&run, "plan.done").await.text, "x>2");
    second.stop().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_stopped_at_the_last_delivery_commands_anew() {
    let topology = Topology { ack_wait: Duration::from_hours(1), max_deliver: 1, ..Topology::default() };
    let rig = Rig::with(topology).await;
    let entered = Arc::new(tokio::sync::Notify::new());
    let enter = Arc::clone(&entered);
    let toy = Toy::<Plan>::new(move |_: Note, cx| {
        enter.notify_one();
        async move {
            cx.cancellation().cancelled().await;
            Err(Broken(Verdict::Cancelled))
        }
    });
    let first = rig.work_with(Step::Plan, toy, Settings { grace: Duration::ZERO, ..quick() });
    let run = rig.admit_new("x").await;
    soon("the first worker", entered.notified()).await;
    first.stop().await;
    let second = rig.work(Step::Plan, Toy::<Plan>::new(|note, cx| async move { Ok(note.then(cx.attempt())) }));
    assert_eq!(rig.result(&run, "plan.done").await.text, "x>1");
    assert_eq!(rig.dead_letters().await, []);
    second.stop().await;
    rig.stop().await;
}

/// Nobody is left to say that it failed: the worker is gone each time.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_kills_every_worker_fails_its_run() {
    let topology = Topology { ack_wait: Duration::from_millis(200), max_deliver: 2, ..Topology::default() };
    let rig = Rig::with(topology).await;
    let stop = CancellationToken::new();
    let exhaustion = Exhaustion::new(rig.nats.clone(), rig.metrics.clone());
    let exhaustion = Working { task: tokio::spawn(exhaustion.run(stop.clone())), stop };
    let run = rig.admit_new("x").await;
    let stream = rig.nats.jetstream().get_stream("EXPORT").await.unwrap();
    let plan: PullConsumer = stream.get_consumer("plan").await.unwrap();
    let taking = tokio::spawn(async move {
        loop {
            // Takes commands, and forgets them.
            let mut batch = plan.batch().max_messages(1).expires(Duration::from_secs(2)).messages().await.unwrap();
            while batch.next().await.is_some() {}
        }
    });
    let Outcome::Failed { code, .. } = rig.event(&run, "plan.failed").await.outcome else { panic!("not failed") };
    assert_eq!(code, ErrorCode::Exhausted);
    let letters = rig.dead_letters().await;
    assert_eq!(letters.iter().map(|letter| letter.deliveries).collect::<Vec<_>>(), [2]);
    taking.abort();
    exhaustion.stop().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_stopped_finishes_what_is_at_work() {
    let rig = Rig::with(Topology { ack_wait: Duration::from_hours(1), ..Topology::default() }).await;
    let entered = Arc::new(tokio::sync::Notify::new());
    let (release, gate) = tokio::sync::watch::channel(false);
    let enter = Arc::clone(&entered);
    let worker = rig.work(
        Step::Plan,
        Toy::<Plan>::new(move |note: Note, _| {
            enter.notify_one();
            let mut gate = gate.clone();
            async move {
                gate.wait_for(|open| *open).await.unwrap();
                Ok(note)
            }
        }),
    );
    let run = rig.admit_new("x").await;
    soon("the worker", entered.notified()).await;
    worker.stop.cancel();
    release.send(true).unwrap();
    worker.stop().await;
    assert_eq!(rig.result(&run, "plan.done").await.text, "x");
    rig.idle(Step::Plan).await;
    rig.stop().await;
}

/// Design D1: the log is lost with everything on it; what was admitted is put there again, and found done.
#[tokio::test(flavor = "multi_thread")]
async fn workers_go_on_when_the_log_was_lost() {
    let rig = Rig::new().await;
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let worker = rig.work(
        Step::Plan,
        Toy::<Plan>::new(move |note, _| {
            counted.fetch_add(1, Ordering::SeqCst);
            async move { Ok(note.then("plan")) }
        }),
    );
    let old = rig.admit_new("old").await;
    rig.event(&old, "plan.done").await;
    rig.nats.jetstream().delete_stream("EXPORT").await.unwrap();
    rig.admit(&old, &Note::of("old")).await;
    let new = rig.admit_new("new").await;
    assert_eq!(rig.result(&new, "plan.done").await.text, "new>plan");
    let Outcome::Done { .. } = rig.event(&old, "plan.done").await.outcome else { panic!("not done") };
    assert_eq!(calls.load(Ordering::SeqCst), 2, "the old run's plan was made twice");
    worker.stop().await;
    rig.stop().await;
}
