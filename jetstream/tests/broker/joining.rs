//! All parts, once.

use export_contract::PartIndex;
use export_contract::message::{Outcome, ResultRef, Summary};
use export_contract::run::{Phase, RunRef};
use export_jetstream::{Join, NatsQueue, ParsedSubject, What};
use export_pipeline::RunQueue as _;
use tokio_util::sync::CancellationToken;

use crate::rig::{Note, Rig, Working, eventually};

fn joiner(rig: &Rig) -> Working {
    let stop = CancellationToken::new();
    let join = Join::new(rig.nats.clone(), rig.metrics.clone());
    Working { task: tokio::spawn(join.run(stop.clone())), stop }
}

async fn record(rig: &Rig, run: &RunRef, phase: Phase, part: Option<u32>) -> ResultRef {
    rig.workspace(run).put_result(phase, part.map(PartIndex), &Note::of(format!("{phase} {part:?}"))).await.unwrap()
}

/// Says that resolve is done with `parts` parts.
async fn resolved(rig: &Rig, parts: u32) -> RunRef {
    let run = rig.new_run();
    let result = record(rig, &run, Phase::Resolve, None).await;
    rig.queue.done(&run, Phase::Resolve, None, Some(parts), &result, Summary::default()).await.unwrap();
    run
}

async fn written(rig: &Rig, queue: &NatsQueue, run: &RunRef, part: u32, parts: u32) {
    let result = record(rig, run, Phase::Adapt, Some(part)).await;
    queue.done(run, Phase::Adapt, Some(PartIndex(part)), Some(parts), &result, Summary::default()).await.unwrap();
}

async fn times_joined(rig: &Rig, run: &RunRef) -> usize {
    rig.log_of(run).await.iter().filter(|(what, _)| what == "adapt.joined").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_joiners_and_repeated_markers_join_a_run_once() {
    let rig = Rig::new().await;
    let joiners = [joiner(&rig), joiner(&rig)];
    let run = resolved(&rig, 40).await;
    let other = NatsQueue::new(rig.nats.clone(), rig.metrics.clone());
    tokio::join!(
        async {
            for part in 0..40 {
                written(&rig, &rig.queue, &run, part, 40).await;
            }
        },
        async {
            for part in (0..40).rev() {
                written(&rig, &other, &run, part, 40).await;
            }
        }
    );
    let Outcome::Joined { result } = rig.event(&run, "adapt.joined").await.outcome else { panic!("not joined") };
    assert_eq!(result, record(&rig, &run, Phase::Resolve, None).await);
    // A later run is joined, so both joiners have seen the end of this one.
    let later = resolved(&rig, 0).await;
    rig.event(&later, "adapt.joined").await;
    assert_eq!(times_joined(&rig, &run).await, 1);
    assert_eq!(rig.log_of(&run).await.len(), 40 + 1 + 40 + 1);
    for one in joiners {
        one.stop().await;
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_joiner_that_restarts_before_the_last_part_joins_the_run() {
    let rig = Rig::new().await;
    let first = joiner(&rig);
    let run = resolved(&rig, 5).await;
    for part in 0..4 {
        written(&rig, &rig.queue, &run, part, 5).await;
    }
    // It is at work: another run goes through it.
    let probe = resolved(&rig, 0).await;
    rig.event(&probe, "adapt.joined").await;
    first.stop().await;
    assert_eq!(times_joined(&rig, &run).await, 0, "joined without its last part");
    let second = joiner(&rig);
    written(&rig, &rig.queue, &run, 4, 5).await;
    rig.event(&run, "adapt.joined").await;
    second.stop().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_became_ready_while_nobody_joined_is_joined_at_the_start() {
    let rig = Rig::new().await;
    let ready = resolved(&rig, 2).await;
    written(&rig, &rig.queue, &ready, 1, 2).await;
    written(&rig, &rig.queue, &ready, 0, 2).await;
    let failed = resolved(&rig, 1).await;
    written(&rig, &rig.queue, &failed, 0, 1).await;
    let subject = ParsedSubject { run: failed.clone(), what: What::Failed(Phase::Adapt) };
    rig.nats.jetstream().publish(subject.to_string(), "{}".into()).await.unwrap().await.unwrap();
    let join = joiner(&rig);
    rig.event(&ready, "adapt.joined").await;
    let later = resolved(&rig, 0).await;
    rig.event(&later, "adapt.joined").await;
    assert_eq!(times_joined(&rig, &failed).await, 0, "a failed run was joined");
    join.stop().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_joiner_survives_the_death_of_the_server_and_the_loss_of_the_log() {
    let rig = Rig::new().await;
    let join = joiner(&rig);
    let run = resolved(&rig, 2).await;
    written(&rig, &rig.queue, &run, 0, 2).await;
    rig.kill_server().await;
    written(&rig, &rig.queue, &run, 1, 2).await;
    rig.event(&run, "adapt.joined").await;
    rig.nats.jetstream().delete_stream("EXPORT").await.unwrap();
    export_jetstream::topology::ensure(&rig.nats, &rig.topology).await.unwrap();
    // The same run again, as the reconciler would rebuild it.
    let result = record(&rig, &run, Phase::Resolve, None).await;
    rig.queue.done(&run, Phase::Resolve, None, Some(2), &result, Summary::default()).await.unwrap();
    written(&rig, &rig.queue, &run, 0, 2).await;
    written(&rig, &rig.queue, &run, 1, 2).await;
    rig.event(&run, "adapt.joined").await;
    eventually("the log to be complete", async || rig.log_of(&run).await.len() == 6).await;
    join.stop().await;
    rig.stop().await;
}
