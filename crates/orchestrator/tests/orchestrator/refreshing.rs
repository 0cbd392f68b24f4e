//! The earlier run that admission names, and what the ledger says of a run that confirmed its bundle.

use std::collections::BTreeSet;

use export_blobs::Workspace;
use export_contract::profile::{ProfileConfig, ProfileKind};
use export_contract::refresh::PreviousRun;
use export_contract::run::{Run, RunRef, RunStatus};
use export_contract::{Generation, RecordKind, Sequence};

use super::desk::{Desk, acme};
use super::stages::{Work, admission, digest};

/// A desk whose profile asks for refreshes from its second revision on.
async fn desk() -> Desk {
    let desk = Desk::new().await;
    let mut profile = desk.ledger.profile(&acme(), &ProfileKind::JsonRaw.built_in_id(), None).await.unwrap().unwrap();
    profile.revision = 2;
    profile.config = ProfileConfig { fresh_for_hours: Some(1), refresh_when_unchanged: true, ..profile.config };
    assert!(desk.ledger.update_profile(&profile, 1).await.unwrap());
    desk
}

fn refreshing(run: &mut Run) {
    run.profile_revision = 2;
}

/// Submits a run and admits it.
async fn admitted(desk: &Desk, change: impl FnOnce(&mut Run)) -> RunRef {
    let run = desk.submit_with(change).await;
    desk.deliver(&desk.orchestrator()).await;
    run
}

async fn previous(desk: &Desk, run: &RunRef) -> Option<PreviousRun> {
    admission(&Workspace::new(desk.staging.clone(), run.clone())).await.previous
}

/// Brings an admitted run to its end.
async fn finish(desk: &Desk, run: &RunRef) -> Run {
    let parts = desk.orchestrator();
    for work in Work::ALL {
        let confirms = previous(desk, run).await.is_some();
        if !(confirms && matches!(work, Work::Part(_))) {
            desk.work(run, work, true).await;
            desk.deliver(&parts).await;
        }
    }
    let finished = desk.run(run).await;
    assert_eq!(finished.status, RunStatus::Succeeded);
    finished
}

fn named(run: &RunRef) -> PreviousRun {
    PreviousRun { run: run.run.clone(), generation: Generation::FIRST, bundle: digest(5) }
}

#[tokio::test]
async fn a_run_is_told_of_the_run_that_made_the_bundle_and_the_ledger_says_whose_it_is() {
    let desk = desk().await;
    let first = admitted(&desk, refreshing).await;
    assert_eq!(previous(&desk, &first).await, None);
    assert_eq!(finish(&desk, &first).await.bundle.unwrap().refreshes, None);

    let second = admitted(&desk, refreshing).await;
    assert_eq!(previous(&desk, &second).await, Some(named(&first)));
    let bundle = finish(&desk, &second).await.bundle.unwrap();
    assert_eq!((&bundle.refreshes, &bundle.digest, bundle.records), (&Some(first.run.clone()), &digest(5), 7));
    let events = desk.ledger.events(&acme(), &second.run, 0, 100).await.unwrap();
    let told = |words: &str| events.iter().any(|event| event.message.contains(words));
    assert!(told(&format!("nothing changed since run {} made its bundle", first.run)), "{events:?}");
    assert!(told(&format!("of run {} confirmed", first.run)), "{events:?}");

    // The tar is where it was made, however often it was confirmed.
    let third = admitted(&desk, refreshing).await;
    assert_eq!(previous(&desk, &third).await, Some(named(&first)));
}

#[tokio::test]
async fn only_a_run_that_asked_for_the_same_and_succeeded_comes_into_question() {
    let desk = desk().await;
    let unfinished = admitted(&desk, refreshing).await;
    let waiting = admitted(&desk, refreshing).await;
    assert_eq!(previous(&desk, &waiting).await, None, "the earlier run has not ended");
    finish(&desk, &unfinished).await;
    finish(&desk, &waiting).await;
    let narrow = |run: &mut Run| {
        refreshing(run);
        run.selectors.kinds = BTreeSet::from([RecordKind::Vex]);
    };
    let pinned = |run: &mut Run| {
        refreshing(run);
        run.options.watermark = Some(Sequence(12));
    };
    let narrowed = admitted(&desk, narrow).await;
    assert_eq!(previous(&desk, &narrowed).await, None, "other selectors");
    finish(&desk, &narrowed).await;
    let positioned = admitted(&desk, pinned).await;
    assert_eq!(previous(&desk, &positioned).await, None, "other options");
    let old = admitted(&desk, |_| ()).await;
    assert_eq!(previous(&desk, &old).await, None, "a revision that does not ask for it");
    // Runs in between that asked for something else do not hide it.
    let again = admitted(&desk, refreshing).await;
    assert_eq!(previous(&desk, &again).await, Some(named(&waiting)));
}

#[tokio::test]
async fn an_admission_that_is_repeated_keeps_the_earlier_run_that_it_named_first() {
    let desk = desk().await;
    let early = admitted(&desk, refreshing).await;
    let run = admitted(&desk, refreshing).await;
    assert_eq!(previous(&desk, &run).await, None);
    finish(&desk, &early).await;
    // The log is lost, so the reconciler commands plan again.
    desk.log.wipe();
    desk.pass(3_600);
    desk.orchestrator().reconcile().await;
    assert_eq!(desk.log.subjects(&run), ["admitted"]);
    assert_eq!(previous(&desk, &run).await, None);
}
