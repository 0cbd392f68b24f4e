//! Commands that no worker has any more.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use export_contract::PartIndex;
use export_contract::run::Phase;
use export_jetstream::{Step, Topology};
use export_pipeline::RunQueue as _;
use futures::StreamExt as _;
use tokio::sync::{Notify, watch};

use crate::rig::{Adapt, Note, Plan, Resolve, Rig, Toy, eventually, soon};

/// Takes the next commands of a step, as a worker would; acknowledges them or forgets them.
async fn take(rig: &Rig, step: Step, commands: usize, acknowledge: bool) {
    let stream = rig.nats.jetstream().get_stream("EXPORT").await.unwrap();
    let consumer: PullConsumer = stream.get_consumer(step.durable()).await.unwrap();
    let mut batch = consumer.batch().max_messages(commands).expires(Duration::from_secs(10)).messages().await.unwrap();
    for _ in 0..commands {
        let message = soon("a command", batch.next()).await.unwrap().unwrap();
        if acknowledge {
            message.double_ack().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_was_acknowledged_and_not_done_is_given_again() {
    let rig = Rig::new().await;
    let (lost, other) = (rig.admit_new("lost").await, rig.admit_new("other").await);
    assert!(!rig.queue.retry(&lost, Phase::Plan, None).await.unwrap(), "it waits for a worker");
    take(&rig, Step::Plan, 1, true).await;
    assert!(rig.queue.retry(&lost, Phase::Plan, None).await.unwrap());
    assert!(!rig.queue.retry(&lost, Phase::Plan, None).await.unwrap(), "it waits again");
    assert!(!rig.queue.retry(&lost, Phase::Resolve, None).await.unwrap(), "it was never commanded");
    assert!(!rig.queue.retry(&other, Phase::Plan, None).await.unwrap(), "nobody took it");
    // The command that was given again may be lost, too.
    take(&rig, Step::Plan, 2, true).await;
    assert!(rig.queue.retry(&lost, Phase::Plan, None).await.unwrap());
    let worker = rig.work(Step::Plan, Toy::<Plan>::new(|note, _| async move { Ok(note.then("plan")) }));
    assert_eq!(rig.result(&lost, "plan.done").await.text, "lost>plan");
    rig.idle(Step::Plan).await;
    assert!(!rig.queue.retry(&lost, Phase::Plan, None).await.unwrap(), "it is done");
    let what: Vec<String> = rig.log_of(&lost).await.into_iter().map(|(what, _)| what).collect();
    assert_eq!(what, ["admitted", "plan.retry.1", "plan.retry.3", "plan.done"]);
    rig.queue.cancelled(&other, "alice").await.unwrap();
    assert!(!rig.queue.retry(&other, Phase::Plan, None).await.unwrap(), "it is cancelled");
    worker.stop().await;
    rig.stop().await;
}

/// The server's advisory about it is lossy; nobody reads it here.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_not_delivered_any_more_is_given_again() {
    let topology = Topology { ack_wait: Duration::from_millis(200), max_deliver: 1, ..Topology::default() };
    let rig = Rig::with(topology).await;
    let (run, other) = (rig.admit_new("x").await, rig.admit_new("other").await);
    take(&rig, Step::Plan, 1, false).await;
    // Behind it the step goes on, so that nothing is quiet because nothing happens.
    take(&rig, Step::Plan, 1, true).await;
    eventually("the loss", async || rig.queue.retry(&run, Phase::Plan, None).await.unwrap()).await;
    let worker = rig.work(Step::Plan, Toy::<Plan>::new(|note, _| async move { Ok(note.then("plan")) }));
    assert_eq!(rig.result(&run, "plan.done").await.text, "x>plan");
    assert!(rig.queue.retry(&other, Phase::Plan, None).await.unwrap());
    worker.stop().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_a_worker_has_is_not_given_again() {
    let rig = Rig::with(Topology { ack_wait: Duration::from_hours(1), ..Topology::default() }).await;
    let entered = Arc::new(Notify::new());
    let (release, gate) = watch::channel(false);
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
    assert!(!rig.queue.retry(&run, Phase::Plan, None).await.unwrap());
    release.send(true).unwrap();
    rig.event(&run, "plan.done").await;
    worker.stop().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_parts_the_lost_one_is_given_again() {
    let rig = Rig::new().await;
    let run = rig.admit_new("x").await;
    let plan = rig.work(Step::Plan, Toy::<Plan>::new(|note, _| async move { Ok(note) }));
    let resolve =
        rig.work(Step::Resolve, Toy::<Resolve>::new(|note, _| async move { Ok(Note { parts: Some(3), ..note }) }));
    rig.event(&run, "resolve.done").await;
    take(&rig, Step::AdaptPart, 1, true).await;
    let mut given = Vec::new();
    for part in (0..3).map(PartIndex) {
        if rig.queue.retry(&run, Phase::Adapt, Some(part)).await.unwrap() {
            given.push(part);
        }
    }
    assert_eq!(given.len(), 1, "{given:?}");
    assert!(!rig.queue.retry(&run, Phase::Adapt, None).await.unwrap(), "nobody joined the parts");
    let adapt =
        rig.work(Step::AdaptPart, Toy::<Adapt>::new(|note, cx| async move { Ok(note.then(cx.part().unwrap())) }));
    for part in 0..3 {
        assert_eq!(rig.result(&run, &format!("adapt.part.{part}.done")).await.text, format!("x>{part}"));
    }
    for worker in [plan, resolve, adapt] {
        worker.stop().await;
    }
    rig.stop().await;
}
