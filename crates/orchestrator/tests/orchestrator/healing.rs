//! Crashes at every point, and a broker that forgets.

use export_contract::event::EventType::{RunFailed, RunSucceeded};
use export_contract::run::{Phase, RunStatus};
use export_contract::{ErrorCode, PartIndex};
use export_orchestrator::Reconciled;

use super::desk::{Desk, acme, at};
use super::stages::Work;

#[tokio::test]
async fn a_crash_between_admission_and_command_is_healed() {
    let desk = Desk::new().await;
    let run = desk.submit().await;
    desk.log.wipe();
    desk.log.set_broken(true);
    assert!(desk.orchestrator().admit().await.is_err());
    desk.log.set_broken(false);
    assert_eq!(desk.run(&run).await.status, RunStatus::Running);
    assert!(desk.log.subjects(&run).is_empty());

    // Another process; the run is not silent for long enough yet.
    let orchestrator = desk.orchestrator();
    desk.pass(60);
    assert_eq!(orchestrator.reconcile().await, Reconciled::default());
    desk.pass(1);
    let report = orchestrator.reconcile().await;
    assert_eq!((report.silent, report.republished, report.errors), (1, 1, 0));
    assert_eq!(desk.log.subjects(&run), ["admitted"]);
    desk.work_up_to(&orchestrator, &run, Work::Distribute).await;
    assert_eq!(desk.run(&run).await.status, RunStatus::Succeeded);
}

#[tokio::test]
async fn a_lost_hint_only_costs_time() {
    let desk = Desk::new().await;
    let run = desk.submit().await;
    desk.log.wipe();
    assert_eq!(desk.orchestrator().reconcile().await, Reconciled { admitted: 1, ..Reconciled::default() });
    assert_eq!(desk.log.subjects(&run), ["admitted"]);
}

#[tokio::test]
async fn a_wiped_log_is_rebuilt_to_what_it_was_at_every_point_of_a_run() {
    for last in Work::ALL {
        let desk = Desk::new().await;
        let orchestrator = desk.orchestrator();
        let run = desk.submit().await;
        desk.deliver(&orchestrator).await;
        desk.work_up_to(&orchestrator, &run, last).await;
        let (before, timeline, known) = (desk.log.subjects(&run), desk.types(&run).await, desk.run(&run).await);
        desk.log.wipe();
        desk.pass(61);

        let report = desk.orchestrator().reconcile().await;

        assert_eq!((report.recorded, report.ended, report.given_up, report.errors), (0, 0, 0, 0), "{last:?}");
        let mut rebuilt = desk.log.subjects(&run);
        if last == Work::Distribute {
            assert!(rebuilt.is_empty(), "a run that has ended needs no log");
            continue;
        }
        rebuilt.push("requested".to_owned());
        rebuilt.sort();
        let mut expected = before;
        if last >= Work::Assemble {
            // Once all parts are known and joined, nobody waits for their events.
            expected.retain(|subject| !subject.contains(".part."));
        }
        assert_eq!(rebuilt, expected, "{last:?}");
        assert_eq!(desk.types(&run).await, timeline, "{last:?}");
        assert_eq!(desk.run(&run).await, known, "{last:?}");

        desk.work_up_to(&orchestrator, &run, Work::Distribute).await;
        assert_eq!(desk.run(&run).await.status, RunStatus::Succeeded, "{last:?}");
        assert_eq!(desk.types(&run).await.len(), 10, "{last:?}");
    }
}

#[tokio::test]
async fn only_what_is_missing_is_added_to_a_log_that_lost_some_events() {
    let desk = Desk::new().await;
    let orchestrator = desk.orchestrator();
    let run = desk.submit().await;
    desk.deliver(&orchestrator).await;
    desk.work_up_to(&orchestrator, &run, Work::Part(1)).await;
    // The worker stopped between its result record and its event.
    desk.work(&run, Work::Part(0), false).await;
    let before = desk.log.all();
    desk.pass(61);

    let report = orchestrator.reconcile().await;

    assert_eq!((report.silent, report.recorded), (1, 1));
    let after = desk.log.all();
    assert_eq!(after.get(..before.len()), Some(before.as_slice()));
    let added: Vec<_> = after.iter().skip(before.len()).map(|entry| entry.subject.clone()).collect();
    assert_eq!(added, [format!("{run}.adapt.part.0.done")]);
    assert_eq!(desk.run(&run).await.progress.parts_done, 2);
}

#[tokio::test]
async fn staging_alone_brings_a_run_to_its_end() {
    let desk = Desk::new().await;
    let orchestrator = desk.orchestrator();
    let run = desk.submit().await;
    desk.deliver(&orchestrator).await;
    for work in Work::ALL {
        desk.work(&run, work, false).await;
    }
    desk.log.wipe();
    desk.log.set_broken(true);
    desk.pass(61);
    let report = orchestrator.reconcile().await;
    assert_eq!((report.recorded, report.ended, report.republished, report.errors), (8, 1, 0, 0));
    assert_eq!(desk.types(&run).await.last(), Some(&RunSucceeded));
    assert_eq!(desk.run(&run).await.progress.records_done, 7);
}

#[tokio::test]
async fn a_run_that_stays_silent_is_looked_at_less_often_and_given_up_in_the_end() {
    let desk = Desk::new().await;
    let orchestrator = desk.orchestrator();
    let run = desk.submit().await;
    desk.deliver(&orchestrator).await;
    desk.work_up_to(&orchestrator, &run, Work::Resolve).await;
    let waiting = [desk.submit().await, desk.submit().await, desk.submit().await, desk.submit().await];
    let mut looks = Vec::new();
    for minute in 1..=20 {
        desk.pass(61);
        if orchestrator.reconcile().await.silent > 0 {
            looks.push(minute);
        }
        for other in &waiting {
            desk.ledger.cancel(&acme(), &other.run, "bob", at(0)).await.unwrap();
        }
    }
    assert_eq!(looks, [1, 2, 4, 8, 16]);
    assert_eq!(desk.run(&run).await.status, RunStatus::Running);

    desk.pass(10 * 3_600);
    let report = orchestrator.reconcile().await;
    assert_eq!((report.given_up, report.silent), (1, 0));
    let ended = desk.run(&run).await;
    assert_eq!((ended.status, ended.error_code), (RunStatus::Failed, Some(ErrorCode::Exhausted)));
    assert_eq!(desk.types(&run).await.last(), Some(&RunFailed));
    assert_eq!(orchestrator.reconcile().await, Reconciled::default());
}

#[tokio::test]
async fn a_run_that_cannot_be_repaired_does_not_keep_others_from_it() {
    let desk = Desk::new().await;
    let orchestrator = desk.orchestrator();
    let (broken, whole) = (desk.submit().await, desk.submit().await);
    desk.deliver(&orchestrator).await;
    desk.work_up_to(&orchestrator, &broken, Work::Resolve).await;
    desk.work(&whole, Work::Plan, false).await;
    let record = format!("{broken}/resolve.json").parse().unwrap();
    desk.staging.put(&record, b"not a record".as_slice().into()).await.unwrap();
    desk.pass(61);

    let report = orchestrator.reconcile().await;

    assert_eq!((report.silent, report.ended), (2, 1));
    let failed = desk.run(&broken).await;
    assert_eq!((failed.status, failed.error_code), (RunStatus::Failed, Some(ErrorCode::Poisoned)));
    assert!(desk.log.subjects(&whole).contains(&"plan.done".to_owned()));
}

#[tokio::test]
async fn a_command_that_no_worker_has_is_given_again() {
    for (last, phase, part) in [
        (None, Phase::Plan, None),
        (Some(Work::Plan), Phase::Resolve, None),
        (Some(Work::Resolve), Phase::Adapt, Some(PartIndex(1))),
        (Some(Work::Part(1)), Phase::Adapt, Some(PartIndex(0))),
        (Some(Work::Part(0)), Phase::Adapt, None),
        (Some(Work::Assemble), Phase::Manifest, None),
        (Some(Work::Manifest), Phase::Sign, None),
        (Some(Work::Sign), Phase::Distribute, None),
    ] {
        let desk = Desk::new().await;
        let orchestrator = desk.orchestrator();
        let run = desk.submit().await;
        desk.deliver(&orchestrator).await;
        if let Some(last) = last {
            desk.work_up_to(&orchestrator, &run, last).await;
        }
        let again = part.map_or_else(|| format!("{phase}.retry.1"), |part| format!("{phase}.part.{part}.retry.1"));
        desk.pass(61);
        assert_eq!(orchestrator.reconcile().await.retried, 0, "{last:?}: a worker has it");
        assert!(!desk.log.subjects(&run).contains(&again));
        desk.log.lose(&run, phase, part);
        desk.pass(61);
        let report = orchestrator.reconcile().await;
        assert_eq!((report.retried, report.errors), (1, 0), "{last:?}");
        assert!(desk.log.subjects(&run).contains(&again), "{last:?}");
        desk.work_up_to(&orchestrator, &run, Work::Distribute).await;
        assert_eq!(desk.run(&run).await.status, RunStatus::Succeeded, "{last:?}");
        assert_eq!(desk.types(&run).await.len(), 10, "{last:?}");
    }
}

#[tokio::test]
async fn a_step_that_is_done_or_not_yet_due_is_not_commanded_again() {
    let desk = Desk::new().await;
    let orchestrator = desk.orchestrator();
    let run = desk.submit().await;
    desk.deliver(&orchestrator).await;
    desk.work_up_to(&orchestrator, &run, Work::Part(1)).await;
    for (phase, part) in [
        (Phase::Plan, None),
        (Phase::Resolve, None),
        (Phase::Adapt, Some(PartIndex(1))),
        (Phase::Adapt, None),
        (Phase::Sign, None),
    ] {
        desk.log.lose(&run, phase, part);
    }
    desk.pass(61);
    assert_eq!(orchestrator.reconcile().await.retried, 0);
}
