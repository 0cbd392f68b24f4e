//! What a worker does when all is well, and when a command comes twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use export_contract::message::{Outcome, StageEvent};
use export_contract::run::Phase;
use export_contract::{PartIndex, Timestamp, Version};
use export_jetstream::{Join, Settings, Step};
use export_pipeline::{RunQueue as _, Verdict};
use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;

use crate::rig::{Broken, Note, Plan, Rig, Toy, Working, eventually, pipeline, quick, soon};

fn joiner(rig: &Rig) -> Working {
    let stop = CancellationToken::new();
    let join = Join::new(rig.nats.clone(), rig.metrics.clone());
    Working { task: tokio::spawn(join.run(stop.clone())), stop }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_run_commits_each_step_once() {
    let rig = Rig::new().await;
    let mut working = pipeline(&rig, 5, 2);
    working.extend([joiner(&rig), joiner(&rig)]);
    let mut runs = Vec::new();
    for number in 0..12 {
        runs.push(rig.admit_new(&format!("run {number}")).await);
    }
    for (number, run) in runs.iter().enumerate() {
        assert_eq!(rig.result(run, "adapt.done").await.text, format!("run {number}>plan>resolve>assembled"));
        assert_eq!(rig.result(run, "adapt.part.3.done").await.text, format!("run {number}>plan>resolve>3"));
    }
    for run in &runs {
        let subjects: Vec<String> = rig.log_of(run).await.into_iter().map(|(what, _)| what).collect();
        let mut expected: BTreeSet<String> =
            ["admitted", "plan.done", "resolve.done", "adapt.joined", "adapt.done"].map(str::to_owned).into();
        expected
            .extend((0..5).flat_map(|part| [format!("resolve.part.{part}.done"), format!("adapt.part.{part}.done")]));
        assert_eq!(subjects.len(), expected.len(), "{subjects:?}");
        assert_eq!(subjects.into_iter().collect::<BTreeSet<_>>(), expected);
    }
    for step in [Step::Plan, Step::Resolve, Step::AdaptPart, Step::Assemble] {
        rig.idle(step).await;
    }
    assert_eq!(rig.dead_letters().await, []);
    for one in working {
        one.stop().await;
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_carries_its_number_and_the_number_of_parts() {
    let rig = Rig::new().await;
    let working = pipeline(&rig, 2, 1);
    let run = rig.admit_new("x").await;
    let Outcome::Done { part, parts, .. } = rig.event(&run, "adapt.part.1.done").await.outcome else {
        panic!("not done")
    };
    assert_eq!((part, parts), (Some(PartIndex(1)), Some(2)));
    let Outcome::Done { part, parts, .. } = rig.event(&run, "resolve.done").await.outcome else { panic!("not done") };
    assert_eq!((part, parts), (None, Some(2)));
    for one in working {
        one.stop().await;
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redelivery_that_finds_the_result_does_not_call_the_stage() {
    let rig = Rig::new().await;
    let run = rig.new_run();
    let written = rig.workspace(&run).put_result(Phase::Plan, None, &Note::of("from an earlier life")).await.unwrap();
    rig.admit(&run, &Note::of("x")).await;
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let worker = rig.work(
        Step::Plan,
        Toy::<Plan>::new(move |note, _| {
            counted.fetch_add(1, Ordering::Relaxed);
            async move { Ok(note) }
        }),
    );
    let Outcome::Done { result, .. } = rig.event(&run, "plan.done").await.outcome else { panic!("not done") };
    assert_eq!(result, written);
    rig.idle(Step::Plan).await;
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    worker.stop().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_done_with_another_result_is_refused_and_counted() {
    let rig = Rig::new().await;
    let worker = rig.work(Step::Plan, Toy::<Plan>::new(|note, _| async move { Ok(note.then("plan")) }));
    let run = rig.admit_new("x").await;
    let first = rig.event(&run, "plan.done").await;
    let workspace = rig.workspace(&run);
    let other = workspace.put_record(&workspace.scratch_key("other").unwrap(), &Note::of("other")).await.unwrap();
    rig.queue.done(&run, Phase::Plan, None, None, &other, export_contract::message::Summary::default()).await.unwrap();
    assert_eq!(rig.event(&run, "plan.done").await, first);
    assert_eq!(rig.log_of(&run).await.len(), 2);
    assert_eq!(rig.metric("exporter_publish_conflicts_total", &BTreeMap::from([("other", "true")])), 1);
    worker.stop().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_was_put_on_the_log_twice_is_there_once() {
    let rig = Rig::new().await;
    let run = rig.admit_new("x").await;
    rig.admit(&run, &Note::of("x")).await;
    let (one, two) = tokio::join!(rig.queue.requested(&run), rig.queue.requested(&run));
    one.unwrap();
    two.unwrap();
    let what: Vec<String> = rig.log_of(&run).await.into_iter().map(|(what, _)| what).collect();
    assert_eq!(what, ["admitted", "requested"]);
    assert_eq!(rig.metric("exporter_publish_conflicts_total", &BTreeMap::from([("other", "true")])), 0);
    rig.stop().await;
}

/// The duplicate window forgets, the subject does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_step_is_refused_at_any_age() {
    let rig = Rig::new().await;
    let run = rig.admit_new("x").await;
    let first = rig.event(&run, "admitted").await;
    let mut config = rig.nats.jetstream().get_stream("EXPORT").await.unwrap().cached_info().config.clone();
    config.duplicate_window = std::time::Duration::from_millis(100);
    rig.nats.jetstream().update_stream(config).await.unwrap();
    let probe = async || {
        let probe = async_nats::jetstream::message::PublishMessage::build().message_id("probe");
        rig.nats.jetstream().send_publish("export.probe", probe).await.unwrap().await.unwrap()
    };
    probe().await;
    eventually("the server to forget message ids", async || !probe().await.duplicate).await;
    let workspace = rig.workspace(&run);
    let other = workspace.put_record(&workspace.scratch_key("other").unwrap(), &Note::of("other")).await.unwrap();
    rig.queue.admitted(&run, &other).await.unwrap();
    assert_eq!(rig.event(&run, "admitted").await, first);
    assert_eq!(rig.log_of(&run).await.len(), 1);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_retry_does_a_failed_step_again() {
    let rig = Rig::new().await;
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let worker = rig.work(
        Step::Plan,
        Toy::<Plan>::new(move |note, _| {
            let first = counted.fetch_add(1, Ordering::Relaxed) == 0;
            let broken = Broken(Verdict::FailRun(export_contract::ErrorCode::SnapshotMissing));
            async move { if first { Err(broken) } else { Ok(note.then("retried")) } }
        }),
    );
    let run = rig.admit_new("x").await;
    rig.event(&run, "plan.failed").await;
    let command = rig.event(&run, "admitted").await;
    let subject = format!("export.{}.{}.{}.plan.retry.1", run.tenant, run.run, run.generation);
    let payload =
        serde_json::to_vec(&StageEvent { v: Version, at: Timestamp::from(std::time::UNIX_EPOCH), ..command }).unwrap();
    rig.nats.jetstream().publish(subject, payload.into()).await.unwrap().await.unwrap();
    assert_eq!(rig.result(&run, "plan.done").await.text, "x>retried");
    worker.stop().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_begins_no_more_commands_than_it_has_slots() {
    let rig = Rig::new().await;
    let (now, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (now_inside, most_inside) = (Arc::clone(&now), Arc::clone(&most));
    let (release, gate) = tokio::sync::watch::channel(false);
    let toy = Toy::<Plan>::new(move |note, _| {
        let (now, most, mut gate) = (Arc::clone(&now_inside), Arc::clone(&most_inside), gate.clone());
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            gate.wait_for(|open| *open).await.unwrap();
            now.fetch_sub(1, Ordering::SeqCst);
            Ok(note)
        }
    });
    let worker = rig.work_with(Step::Plan, toy, Settings { slots: 3, ..quick() });
    let mut runs = Vec::new();
    for _ in 0..9 {
        runs.push(rig.admit_new("x").await);
    }
    eventually("three at work", async || now.load(Ordering::SeqCst) == 3).await;
    let pending = async || {
        let stream = rig.nats.jetstream().get_stream("EXPORT").await.unwrap();
        stream.consumer_info("plan").await.unwrap().num_pending
    };
    assert_eq!(pending().await, 6, "commands were taken that cannot be begun");
    release.send(true).unwrap();
    for run in &runs {
        rig.event(run, "plan.done").await;
    }
    assert_eq!(most.load(Ordering::SeqCst), 3);
    worker.stop().await;
    rig.stop().await;
}

/// The heartbeat is caught on its way, and answered as if the worker had refused the command: the server delivers it
/// again at once, to the worker that has it.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_comes_again_while_it_is_at_work_joins_the_work() {
    let rig = Rig::new().await;
    let mut answers = rig.nats.client().subscribe("$JS.ACK.EXPORT.plan.>").await.unwrap();
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let (release, gate) = tokio::sync::watch::channel(false);
    let worker = rig.work(
        Step::Plan,
        Toy::<Plan>::new(move |note: Note, _| {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut gate = gate.clone();
            async move {
                gate.wait_for(|open| *open).await.unwrap();
                Ok(note)
            }
        }),
    );
    let run = rig.admit_new("x").await;
    let heartbeat = soon("a heartbeat", answers.next()).await.unwrap();
    assert_eq!(heartbeat.payload, "+WPI");
    rig.nats.client().publish(heartbeat.subject, "-NAK".into()).await.unwrap();
    let again = BTreeMap::from([("step", "plan")]);
    eventually("the second delivery", async || rig.metric("exporter_step_redeliveries_total", &again) > 0).await;
    // The heartbeats go on, for the second delivery now.
    let beat = async {
        loop {
            let answer = answers.next().await.unwrap();
            if answer.payload == "+WPI" && answer.subject.starts_with("$JS.ACK.EXPORT.plan.2.") {
                return;
            }
        }
    };
    soon("a heartbeat of the second delivery", beat).await;
    release.send(true).unwrap();
    rig.event(&run, "plan.done").await;
    rig.idle(Step::Plan).await;
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    worker.stop().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_command_is_traced_by_goes_on_with_its_events() {
    let rig = Rig::new().await;
    let run = rig.new_run();
    let workspace = rig.workspace(&run);
    let record = workspace.put_record(&workspace.admission_key(), &Note::of("x")).await.unwrap();
    let event = StageEvent {
        v: Version,
        run: run.clone(),
        outcome: Outcome::Admitted { result: record },
        at: Timestamp::from(std::time::UNIX_EPOCH),
    };
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Export-Correlation-Id", "c0ffee");
    headers.insert("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    headers.insert("Other", "stays behind");
    let prefix = format!("export.{}.{}.{}", run.tenant, run.run, run.generation);
    let payload = serde_json::to_vec(&event).unwrap().into();
    rig.nats
        .jetstream()
        .publish_with_headers(format!("{prefix}.admitted"), headers.clone(), payload)
        .await
        .unwrap()
        .await
        .unwrap();
    let working = pipeline(&rig, 1, 1);
    let join = joiner(&rig);
    rig.event(&run, "adapt.done").await;
    let log = rig.nats.jetstream().get_stream("EXPORT").await.unwrap();
    for what in ["plan.done", "resolve.part.0.done", "adapt.part.0.done", "adapt.joined", "adapt.done"] {
        let found = log.get_last_raw_message_by_subject(&format!("{prefix}.{what}")).await.unwrap().headers;
        for name in ["Export-Correlation-Id", "traceparent"] {
            assert_eq!(found.get(name), headers.get(name), "{what}");
        }
        assert_eq!(found.get("Other"), None);
    }
    join.stop().await;
    for one in working {
        one.stop().await;
    }
    rig.stop().await;
}
