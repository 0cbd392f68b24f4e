//! Cancelled runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use export_contract::Generation;
use export_contract::message::Outcome;
use export_contract::run::RunRef;
use export_jetstream::{Settings, Step, Topology};
use export_pipeline::{RunQueue as _, Verdict};
use tokio::sync::{Notify, mpsc};

use crate::rig::{Broken, Note, Plan, Rig, Toy, quick, soon};

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_stops_its_stage_and_publishes_nothing() {
    let rig = Rig::new().await;
    let (entered, left) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (enter, leave) = (Arc::clone(&entered), Arc::clone(&left));
    let toy = Toy::<Plan>::new(move |_: Note, cx| {
        enter.notify_one();
        let leave = Arc::clone(&leave);
        async move {
            cx.cancellation().cancelled().await;
            leave.notify_one();
            Err(Broken(Verdict::Cancelled))
        }
    });
    let worker = rig.work(Step::Plan, toy);
    let run = rig.admit_new("x").await;
    soon("the stage", entered.notified()).await;
    rig.queue.cancelled(&run, "alice").await.unwrap();
    soon("the end of the stage", left.notified()).await;
    rig.idle(Step::Plan).await;
    let log = rig.log_of(&run).await;
    let what: Vec<&str> = log.iter().map(|(what, _)| what.as_str()).collect();
    assert_eq!(what, ["admitted", "cancelled"]);
    assert_eq!(log[1].1.outcome, Outcome::Cancelled { by: "alice".to_owned() });
    worker.stop().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_ignores_the_cancel_publishes_nothing_either() {
    let rig = Rig::new().await;
    let entered = Arc::new(Notify::new());
    let enter = Arc::clone(&entered);
    let toy = Toy::<Plan>::new(move |note: Note, cx| {
        enter.notify_one();
        async move {
            cx.cancellation().cancelled().await;
            Ok(note)
        }
    });
    let worker = rig.work(Step::Plan, toy);
    let run = rig.admit_new("x").await;
    soon("the stage", entered.notified()).await;
    rig.queue.cancelled(&run, "alice").await.unwrap();
    rig.idle(Step::Plan).await;
    let what: Vec<String> = rig.log_of(&run).await.into_iter().map(|(what, _)| what).collect();
    assert_eq!(what, ["admitted", "cancelled"]);
    worker.stop().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_cancelled_before_is_not_begun_but_its_replay_is() {
    let rig = Rig::new().await;
    let run = rig.new_run();
    rig.queue.cancelled(&run, "alice").await.unwrap();
    rig.queue.cancelled(&run, "alice").await.unwrap();
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let worker = rig.work(
        Step::Plan,
        Toy::<Plan>::new(move |note, _| {
            counted.fetch_add(1, Ordering::SeqCst);
            async move { Ok(note) }
        }),
    );
    rig.admit(&run, &Note::of("x")).await;
    rig.idle(Step::Plan).await;
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    let replay = RunRef { generation: Generation(2), ..run };
    rig.admit(&replay, &Note::of("again")).await;
    assert_eq!(rig.result(&replay, "plan.done").await.text, "again");
    worker.stop().await;
    rig.stop().await;
}

/// What is staged goes with a cancelled run; a delivery that only its host ends leaves it to the next worker.
#[tokio::test(flavor = "multi_thread")]
async fn a_stage_can_tell_a_cancelled_run_from_a_host_that_ends_its_delivery() {
    let topology = Topology { ack_wait: Duration::from_hours(1), ..Topology::default() };
    for (ends, expected) in [("stops", false), ("stalls", false), ("cancels", true)] {
        let rig = Rig::with(topology.clone()).await;
        let entered = Arc::new(Notify::new());
        let (told, mut tells) = mpsc::unbounded_channel();
        let enter = Arc::clone(&entered);
        let toy = Toy::<Plan>::new(move |note: Note, cx| {
            enter.notify_one();
            let told = told.clone();
            async move {
                if cx.attempt() > 1 {
                    return Ok(note);
                }
                cx.cancellation().cancelled().await;
                told.send(cx.run_is_cancelled()).unwrap();
                Err(Broken(Verdict::Cancelled))
            }
        });
        let stall_limit = if ends == "stalls" { Duration::from_millis(500) } else { Duration::from_hours(1) };
        let worker = rig.work_with(Step::Plan, toy, Settings { grace: Duration::ZERO, stall_limit, ..quick() });
        let run = rig.admit_new("x").await;
        soon("the stage", entered.notified()).await;
        let worker = match ends {
            "stops" => {
                worker.stop().await;
                None
            }
            "cancels" => {
                rig.queue.cancelled(&run, "alice").await.unwrap();
                Some(worker)
            }
            _ => Some(worker),
        };
        assert_eq!(soon("the end of the stage", tells.recv()).await, Some(expected), "the host {ends}");
        if let Some(worker) = worker {
            worker.stop().await;
        }
        rig.stop().await;
    }
}
