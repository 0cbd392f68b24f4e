//! Slots and the command of plan.

use std::collections::BTreeMap;

use export_blobs::Workspace;
use export_contract::ErrorCode;
use export_contract::profile::ProfileKind;
use export_contract::run::{RunRef, RunStatus};
use export_orchestrator::Orchestrator;
use futures::future::join_all;

use super::desk::{Desk, acme, at};
use super::stages::{Work, admission};

#[tokio::test]
async fn a_requested_run_is_commanded_with_the_revision_it_was_submitted_for() {
    let desk = Desk::new().await;
    let run = desk.submit().await;
    let id = ProfileKind::JsonRaw.built_in_id();
    let submitted_for = desk.ledger.profile(&acme(), &id, None).await.unwrap().unwrap();
    let mut changed = submitted_for.clone();
    changed.revision = 2;
    changed.config.compression.level = 19;
    assert!(desk.ledger.update_profile(&changed, 1).await.unwrap());
    desk.pass(3);

    desk.deliver(&desk.orchestrator()).await;

    assert_eq!(desk.log.subjects(&run), ["admitted", "requested"]);
    let record = admission(&Workspace::new(desk.staging.clone(), run.clone())).await;
    assert_eq!(record.profile, submitted_for);
    assert_eq!((record.request.by.as_str(), record.request.at, record.request.admitted_at), ("alice", at(0), at(3)));
    assert_eq!(desk.run(&run).await.status, RunStatus::Running);
}

#[tokio::test]
async fn a_run_without_its_profile_fails_and_does_not_hold_a_slot() {
    let desk = Desk::new().await;
    let run = desk.submit().await;
    let mut orphan = desk.run(&run).await;
    orphan.id = "01jzzzzzzzzzzzzzzzzzzzzzzz".parse().unwrap();
    orphan.profile_revision = 9;
    desk.ledger.create_run(&orphan, None).await.unwrap();

    assert_eq!(desk.orchestrator().admit().await.unwrap(), 2);

    let failed = desk.run(&orphan.reference()).await;
    assert_eq!((failed.status, failed.error_code), (RunStatus::Failed, Some(ErrorCode::ProfileNotFound)));
    assert_eq!(desk.ledger.active().await.unwrap(), BTreeMap::from([(acme(), 1)]));
}

/// Brings every run of which it hears to its end, one step after the other, with the others at it too.
async fn follow(desk: &Desk, orchestrator: &Orchestrator, runs: &[RunRef]) {
    for run in runs {
        loop {
            let active = desk.ledger.active().await.unwrap().get(&acme()).copied().unwrap_or(0);
            assert!(active <= 4, "{active} runs have a slot");
            match desk.run(run).await.status {
                RunStatus::Succeeded => break,
                RunStatus::Pending => {
                    orchestrator.admit().await.unwrap();
                    tokio::task::yield_now().await;
                }
                // A run is admitted before its command is there.
                _ if !desk.log.subjects(run).contains(&"admitted".to_owned()) => tokio::task::yield_now().await,
                _ => {
                    for work in Work::ALL {
                        desk.work(run, work, true).await;
                    }
                    desk.deliver(orchestrator).await;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_orchestrators_hold_the_cap_and_run_everything_once() {
    let desk = Desk::new().await;
    let mut runs = Vec::new();
    for _ in 0..12 {
        runs.push(desk.submit().await);
    }
    let (first, second) = (desk.orchestrator(), desk.orchestrator());
    let mut backwards = runs.clone();
    backwards.reverse();
    // The first takes the runs in the order in which they get their slots, the second finds each of them pending first.
    futures::join!(follow(&desk, &first, &runs), follow(&desk, &second, &backwards));
    join_all(runs.iter().map(|run| async {
        let timeline = desk.types(run).await;
        assert_eq!(timeline.len(), 10, "{timeline:?}");
        let commands = desk.log.subjects(run).into_iter().filter(|subject| subject == "admitted").count();
        assert_eq!(commands, 1);
    }))
    .await;
    assert_eq!(desk.ledger.active().await.unwrap(), BTreeMap::new());
}
