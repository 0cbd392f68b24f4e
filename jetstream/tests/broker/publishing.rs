//! A log that nobody answers for ("no responders"): whoever puts a step there waits longer each time, and puts it there once.

use std::sync::atomic::Ordering;

use async_nats::jetstream::context::PublishErrorKind;
use export_jetstream::topology::{self, LOG_STREAM};
use export_pipeline::RunQueue as _;

use crate::rig::{Rig, eventually};

/// Requests that this process has sent.
fn sent(rig: &Rig) -> u64 {
    rig.nats.client().statistics().out_messages.load(Ordering::Relaxed)
}

/// Takes the log away, and asserts that nobody answers for it.
async fn without_a_log() -> Rig {
    let rig = Rig::new().await;
    rig.nats.jetstream().delete_stream(LOG_STREAM).await.unwrap();
    let nobody = rig.nats.jetstream().publish("export.acme.x.g1.requested", "{}".into()).await.unwrap().await;
    assert_eq!(nobody.unwrap_err().kind(), PublishErrorKind::StreamNotFound, "which is \"no responders\"");
    rig
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_nobody_takes_is_tried_again_until_the_log_is_there_and_stands_there_once() {
    let rig = without_a_log().await;
    let run = rig.new_run();
    let before = sent(&rig);
    // Two gateways that were asked for the same run at once.
    let telling: Vec<_> = (0..2)
        .map(|_| {
            let (queue, run) = (rig.queue.clone(), run.clone());
            tokio::spawn(async move { queue.requested(&run).await })
        })
        .collect();
    eventually("several tries of each", async || sent(&rig) >= before + 6).await;
    assert!(telling.iter().all(|telling| !telling.is_finished()), "nobody gives up so soon");
    topology::ensure(&rig.nats, &rig.topology).await.unwrap();
    for telling in telling {
        telling.await.unwrap().unwrap();
    }
    let told: Vec<String> = rig.log_of(&run).await.into_iter().map(|(what, _)| what).collect();
    assert_eq!(told, ["requested"]);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_whose_log_does_not_come_back_is_given_up_in_time_and_may_be_told_again() {
    let rig = without_a_log().await;
    let run = rig.new_run();
    let before = sent(&rig);
    let error = rig.queue.requested(&run).await.unwrap_err();
    assert!(error.to_string().contains(&format!("`requested` of run {run}")), "{error}");
    let tries = sent(&rig) - before;
    // 0.1, 0.2, 0.4, 0.8, 1.6, 3.2 s and then 5 s between them, within 10 s.
    assert!((4..=9).contains(&tries), "{tries} tries: it should wait longer each time");
    topology::ensure(&rig.nats, &rig.topology).await.unwrap();
    rig.queue.requested(&run).await.unwrap();
    assert_eq!(rig.log_of(&run).await.len(), 1);
    rig.stop().await;
}
