//! The log folded into the ledger.

use export_contract::ErrorCode;
use export_contract::audit::{AuditAction, AuditOutcome};
use export_contract::event::EventType::{
    AdapterComplete, AdapterError, RunAborted, RunExpiring, RunFailed, RunPending, RunRunning, RunSigned, RunSucceeded,
    StageCompleted,
};
use export_contract::message::Outcome;
use export_contract::run::{Phase, RunProgress, RunStatus};
use export_orchestrator::Recorded;
use export_runs::RetentionStep;

use super::desk::{Desk, acme, at};
use super::stages::{Work, digest, distribution};

#[tokio::test]
async fn the_use_of_a_key_is_in_the_audit_log_once_whoever_records_it() {
    let desk = Desk::new().await;
    let run = desk.submit().await;
    desk.deliver(&desk.orchestrator()).await;
    desk.work_up_to(&desk.orchestrator(), &run, Work::Distribute).await;
    // The whole log once more, and a reconciler that reads staging.
    desk.deliver(&desk.orchestrator()).await;
    desk.pass(100_000);
    desk.orchestrator().reconcile().await;
    let entries = desk.audit().await;
    let [entry] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!((entry.action, entry.actor.as_str()), (AuditAction::KeyUsed, "sign"));
    assert_eq!(entry.object, format!("runs/{}/keys/key-1", run.run));
    assert_eq!(entry.outcome, AuditOutcome::Allowed);
}

#[tokio::test]
async fn a_whole_run_gives_this_timeline() {
    let desk = Desk::new().await;
    let orchestrator = desk.orchestrator();
    let run = desk.submit().await;
    desk.pass(1);
    desk.deliver(&orchestrator).await;
    desk.work_up_to(&orchestrator, &run, Work::Distribute).await;

    let events = desk.ledger.events(&run.tenant, &run.run, 0, 100).await.unwrap();
    let timeline: Vec<String> = events
        .iter()
        .map(|event| {
            let phase = event.phase.map_or("-", Phase::as_str);
            let counts: Vec<String> = event.metrics.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("{} {} {phase} [{}] {}", event.ordinal, event.event_type.as_str(), counts.join(" "), event.message)
        })
        .collect();
    let bundle = digest(5);
    let expected = [
        "1 run.pending - [] json:raw requested".to_owned(),
        "2 run.running - [] admitted".to_owned(),
        "3 stage.completed plan [duration_ms=1000] planned at watermark 12".to_owned(),
        "4 stage.completed resolve [duration_ms=1000 parts=2 records=7] 7 records in 2 parts".to_owned(),
        "5 adapter.complete adapt [bytes=40 part=1 parts=2 records=4] part 1: 4 advisory records".to_owned(),
        "6 adapter.complete adapt [bytes=30 part=0 parts=2 records=3] part 0: 3 advisory records".to_owned(),
        "7 stage.completed adapt [bytes=0 duration_ms=3000 records=0] all parts written and joined".to_owned(),
        "8 stage.completed manifest [bytes=500 duration_ms=1000 records=7] manifest and bundle are at hand".to_owned(),
        "9 run.signed sign [duration_ms=1000] signed with key key-1".to_owned(),
        format!("10 run.succeeded distribute [bytes=500 duration_ms=8000 records=7] bundle {bundle} with 7 records"),
    ];
    assert_eq!(timeline, expected);
    assert!(desk.log.times_told(&run.run) >= 9, "watchers hear of each entry after the first");

    let ended = desk.run(&run).await;
    assert_eq!((ended.status, ended.phase), (RunStatus::Succeeded, Some(Phase::Distribute)));
    assert_eq!((ended.started_at, ended.completed_at), (Some(at(1)), Some(at(9))));
    assert_eq!(ended.duration_ms, Some(8_000));
    let progress = RunProgress { parts_total: 2, parts_done: 2, records_total: 7, records_done: 7, bytes_done: 70 };
    assert_eq!(ended.progress, progress);
    assert_eq!(ended.policy_snapshot_id.unwrap().id, "snapshot-1");
    let made = ended.bundle.unwrap();
    assert_eq!((made.digest, made.bytes, made.manifest_digest), (digest(5), 500, digest(4)));
    assert_eq!((made.rerun_hash, made.records, made.as_of), (digest(6), 7, Some(at(0))));
    assert_eq!((made.key_id.as_str(), made.sidecars.get("export.json.sig")), ("key-1", Some(&digest(7))));
    assert_eq!(ended.distributions, [distribution()]);
    let inputs: Vec<_> = ended.inputs.iter().map(|input| (input.part.0, input.count)).collect();
    assert_eq!(inputs, [(0, 3), (1, 4)]);
}

#[tokio::test]
async fn redelivered_events_change_nothing() {
    let desk = Desk::new().await;
    let orchestrator = desk.orchestrator();
    let run = desk.submit().await;
    desk.deliver(&orchestrator).await;
    desk.work_up_to(&orchestrator, &run, Work::Manifest).await;
    let (before, timeline) = (desk.run(&run).await, desk.types(&run).await);
    desk.pass(100);
    let another = desk.orchestrator();
    for entry in desk.log.all().iter().rev() {
        let recorded = another.on_event(&entry.event, entry.phase).await.unwrap();
        assert!(matches!(recorded, Recorded::Known | Recorded::Nothing), "{}: {recorded:?}", entry.subject);
    }
    assert_eq!(desk.run(&run).await, before);
    assert_eq!(desk.types(&run).await, timeline);

    desk.work_up_to(&orchestrator, &run, Work::Distribute).await;
    let (before, timeline) = (desk.run(&run).await, desk.types(&run).await);
    desk.deliver(&another).await;
    assert_eq!(desk.run(&run).await, before);
    assert_eq!(desk.types(&run).await, timeline);
}

#[tokio::test]
async fn events_that_come_in_another_order_give_the_same_run() {
    let desk = Desk::new().await;
    let orchestrator = desk.orchestrator();
    let run = desk.submit().await;
    desk.deliver(&orchestrator).await;
    for work in Work::ALL {
        desk.work(&run, work, true).await;
    }
    // All but the end come backwards.
    let mut entries = desk.log.all();
    let end = entries.pop().unwrap();
    for entry in entries.iter().rev().chain([&end]) {
        orchestrator.on_event(&entry.event, entry.phase).await.unwrap();
    }
    let ended = desk.run(&run).await;
    assert_eq!((ended.status, ended.phase), (RunStatus::Succeeded, Some(Phase::Distribute)));
    assert_eq!((ended.progress.parts_done, ended.progress.parts_total), (2, 2));
    assert_eq!(desk.types(&run).await.len(), 10);
}

#[tokio::test]
async fn a_stage_that_gives_up_fails_the_run_and_frees_its_slot() {
    let desk = Desk::new().await;
    let orchestrator = desk.orchestrator();
    let run = desk.submit().await;
    let others = [desk.submit().await, desk.submit().await, desk.submit().await, desk.submit().await];
    desk.deliver(&orchestrator).await;
    desk.work_up_to(&orchestrator, &run, Work::Part(1)).await;
    let waiting = others.last().unwrap();
    assert_eq!(desk.run(waiting).await.status, RunStatus::Pending);

    let message = "the disk is full".to_owned();
    desk.log.failed(&run, Phase::Adapt, Outcome::Failed { code: ErrorCode::AdapterFailed, message });
    desk.deliver(&orchestrator).await;
    desk.deliver(&orchestrator).await;

    let failed = desk.run(&run).await;
    assert_eq!((failed.status, failed.error_code), (RunStatus::Failed, Some(ErrorCode::AdapterFailed)));
    assert_eq!(failed.error_message.as_deref(), Some("the disk is full"));
    let timeline = desk.types(&run).await;
    let expected = [RunPending, RunRunning, StageCompleted, StageCompleted, AdapterComplete, AdapterError, RunFailed];
    assert_eq!(timeline, expected);
    assert_eq!(desk.run(waiting).await.status, RunStatus::Running);
    assert!(desk.log.subjects(waiting).contains(&"admitted".to_owned()));
}

#[tokio::test]
async fn what_workers_do_after_a_cancel_is_not_recorded_and_they_are_told_again() {
    let desk = Desk::new().await;
    let orchestrator = desk.orchestrator();
    let run = desk.submit().await;
    desk.deliver(&orchestrator).await;
    desk.work_up_to(&orchestrator, &run, Work::Plan).await;
    // The gateway stopped between the ledger and the log.
    desk.ledger.cancel(&acme(), &run.run, "bob", at(5)).await.unwrap();
    assert!(!desk.log.subjects(&run).contains(&"cancelled".to_owned()));
    // What retention adds behind the end does not hide it.
    let expire = RetentionStep::Expire { reason: "over".to_owned() };
    assert!(desk.ledger.retain(&acme(), &run.run, &expire, at(6)).await.unwrap());

    desk.work(&run, Work::Resolve, true).await;
    desk.deliver(&orchestrator).await;

    assert_eq!(desk.types(&run).await, [RunPending, RunRunning, StageCompleted, RunAborted, RunExpiring]);
    assert_eq!(desk.run(&run).await.status, RunStatus::Aborted);
    let cancelled = desk.log.all().into_iter().find(|entry| entry.subject.ends_with(".cancelled")).unwrap();
    assert_eq!(cancelled.event.outcome, Outcome::Cancelled { by: "bob".to_owned() });
}

#[tokio::test]
async fn a_result_record_that_is_lost_fails_the_run() {
    let desk = Desk::new().await;
    let orchestrator = desk.orchestrator();
    let run = desk.submit().await;
    desk.deliver(&orchestrator).await;
    desk.work_up_to(&orchestrator, &run, Work::Sign).await;
    desk.work(&run, Work::Distribute, true).await;
    let record = format!("{run}/distribute.json").parse().unwrap();
    desk.staging.put(&record, b"{}".as_slice().into()).await.unwrap();

    desk.deliver(&orchestrator).await;

    let failed = desk.run(&run).await;
    assert_eq!((failed.status, failed.error_code), (RunStatus::Failed, Some(ErrorCode::ArtefactCorrupt)));
    assert_eq!(desk.types(&run).await.last(), Some(&RunFailed));
    assert!(!desk.types(&run).await.contains(&RunSucceeded));
    assert!(desk.types(&run).await.contains(&RunSigned));
}
