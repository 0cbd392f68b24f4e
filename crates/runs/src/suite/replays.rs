//! Replays: a run that ended without a bundle goes on in its next generation.

use export_contract::event::EventType;
use export_contract::run::{Phase, Replay, Run, RunRef, RunStatus};
use export_contract::{ErrorCode, Generation};
use futures::future::join_all;

use super::{Stores, admitted, at, ends, fact, running, tenant, types};
use crate::quota::{QuotaName, Quotas};
use crate::retention::RetentionStep;
use crate::store::{CancelOutcome, ReplayOutcome, ReplayWanted, Replayed, RunStore, StepOutcome};

fn wanted(run: RunRef, seconds: i64) -> ReplayWanted {
    let replay = Replay { from: Some(Phase::Sign), of: run.generation };
    ReplayWanted { run, replay, by: "bob".to_owned(), at: at(seconds) }
}

async fn replay(store: &dyn RunStore, run: &RunRef, seconds: i64) -> Replayed {
    store.replay_run(&wanted(run.clone(), seconds), &Quotas::default()).await.unwrap()
}

fn is_unfit(replayed: &Replayed) -> bool {
    matches!(replayed.outcome, ReplayOutcome::Unfit(_))
}

/// A run that failed in sign, three facts into its timeline.
async fn failed(store: &dyn RunStore, whose: &str) -> Run {
    let run = running(store, &tenant(whose), 1).await;
    let outcome = StepOutcome {
        phase: Some(Phase::Sign),
        error: Some((ErrorCode::SigningFailed, "no key".to_owned())),
        ..ends(RunStatus::Failed)
    };
    assert!(store.record(&run.reference(), &fact("g1.sign.failed", EventType::RunFailed, 2), &outcome).await.unwrap());
    store.run(&run.tenant, &run.id).await.unwrap().unwrap()
}

/// And what an earlier generation says from then on is not heard: neither a step nor its end.
pub async fn a_replayed_run_waits_again_in_its_next_generation_and_its_timeline_goes_on(stores: &impl Stores) {
    let store = stores.open().await;
    let ended = failed(&*store, "acme").await;
    let (first, key) = (ended.reference(), |key: &str| fact(key, EventType::StageCompleted, 4));
    let Replayed { outcome: ReplayOutcome::Replayed(run), runs_today } = replay(&*store, &first, 3).await else {
        panic!("it was not replayed")
    };
    assert_eq!(runs_today, 1);
    assert_eq!((run.status, run.generation, run.phase), (RunStatus::Pending, Generation(2), None));
    assert_eq!(run.replay, Some(Replay { from: Some(Phase::Sign), of: Generation::FIRST }));
    assert_eq!((run.error_code, run.completed_at, run.started_at, run.duration_ms), (None, None, None, None));
    assert_eq!((run.requested_at, &run.requested_by), (ended.requested_at, &ended.requested_by));
    let store = stores.open().await;
    assert_eq!(store.run(&run.tenant, &run.id).await.unwrap(), Some(run.clone()));
    assert_eq!(store.tenants_waiting().await.unwrap(), std::slice::from_ref(&run.tenant));
    assert!(!store.record(&first, &key("g1.sign.done"), &StepOutcome::default()).await.unwrap());
    assert!(!store.record(&first, &key("g1.distribute.done"), &ends(RunStatus::Succeeded)).await.unwrap());

    let again = admitted(store.admit(&run.tenant, 4, at(5)).await.unwrap());
    let ids: Vec<_> = again.iter().map(|run| (&run.id, run.generation, run.started_at)).collect();
    assert_eq!(ids, [(&run.id, Generation(2), Some(at(5)))]);
    assert!(!store.record(&first, &key("g1.sign.done"), &StepOutcome::default()).await.unwrap());
    // The same step in the new generation is a fact of its own.
    assert!(store.record(&run.reference(), &key("g2.sign.done"), &StepOutcome::default()).await.unwrap());
    assert!(store.record(&run.reference(), &key("g2.end"), &ends(RunStatus::Succeeded)).await.unwrap());
    let expected = [
        EventType::RunPending,
        EventType::RunRunning,
        EventType::RunFailed,
        EventType::RunReplayed,
        EventType::RunRunning,
        EventType::StageCompleted,
        EventType::StageCompleted,
    ];
    let expected: Vec<_> = (1..).zip(expected).collect();
    assert_eq!(types(&*store, &run).await, expected);
    let event = store.events(&run.tenant, &run.id, 3, 1).await.unwrap().pop().unwrap();
    assert_eq!((event.actor.as_deref(), event.metrics.get("generation")), (Some("bob"), Some(&2)));
}

/// Neither is one of another tenant.
pub async fn what_is_at_work_has_a_bundle_or_is_let_go_of_is_not_replayed(stores: &impl Stores) {
    let store = stores.retention().await;
    let acme = tenant("acme");
    let run = running(&*store, &acme, 1).await;
    assert!(is_unfit(&replay(&*store, &run.reference(), 2).await), "it is at work");
    let end = fact("g1.distribute.done", EventType::RunSucceeded, 2);
    assert!(store.record(&run.reference(), &end, &ends(RunStatus::Succeeded)).await.unwrap());
    assert!(is_unfit(&replay(&*store, &run.reference(), 3).await), "it has its bundle");

    let run = failed(&*store, "acme").await.reference();
    let foreign = RunRef { tenant: tenant("globex"), ..run.clone() };
    assert_eq!(replay(&*store, &foreign, 3).await.outcome, ReplayOutcome::NotFound);
    let later = RunRef { generation: Generation(2), ..run.clone() };
    assert!(is_unfit(&replay(&*store, &later, 3).await), "there is no such generation");
    let expire = RetentionStep::Expire { reason: "over".to_owned() };
    assert!(store.retain(&acme, &run.run, &expire, at(10)).await.unwrap());
    assert!(is_unfit(&replay(&*store, &run, 11).await), "retention lets go of it");
    let spare = RetentionStep::Spare { reason: "needed".to_owned() };
    assert!(store.retain(&acme, &run.run, &spare, at(12)).await.unwrap());
    assert!(matches!(replay(&*store, &run, 13).await.outcome, ReplayOutcome::Replayed(_)));
    assert!(is_unfit(&replay(&*store, &run, 14).await), "it was replayed before");
    assert!(!store.retain(&acme, &run.run, &expire, at(15)).await.unwrap(), "it is at work");
    assert_eq!(store.usage(&acme, at(16)).await.unwrap().runs_today, 1, "what was refused does not count");
}

/// One is told that it did it, and it counts once.
pub async fn of_concurrent_replays_one_raises_the_generation(stores: &impl Stores) {
    let store = stores.open().await;
    for round in 0..5 {
        let run = failed(&*store, "acme").await.reference();
        let outcomes = join_all((0..8).map(|_| async {
            let store = stores.open().await;
            replay(&*store, &run, 3).await
        }))
        .await;
        let won = outcomes.iter().filter(|replayed| matches!(replayed.outcome, ReplayOutcome::Replayed(_))).count();
        let lost = outcomes.iter().filter(|replayed| is_unfit(replayed)).count();
        assert_eq!((won, lost), (1, 7), "round {round}: {outcomes:?}");
        let now = store.run(&run.tenant, &run.run).await.unwrap().unwrap();
        assert_eq!((now.generation, types(&*store, &now).await.len()), (Generation(2), 4));
        assert_eq!(store.usage(&run.tenant, at(4)).await.unwrap().runs_today, round + 1);
    }
}

/// By the day, by those that wait, and by slots.
pub async fn a_replay_counts_as_a_run_that_is_submitted(stores: &impl Stores) {
    let store = stores.open().await;
    let (first, second) = (failed(&*store, "acme").await, failed(&*store, "acme").await);
    for (quota, quotas) in [
        (QuotaName::RunsPerDay, Quotas { runs_per_day: Some(1), ..Quotas::default() }),
        (QuotaName::PendingRuns, Quotas { pending_runs: Some(1), ..Quotas::default() }),
    ] {
        let ask = |run: &Run| wanted(run.reference(), 3);
        let done = store.replay_run(&ask(&first), &quotas).await.unwrap();
        if quota == QuotaName::RunsPerDay {
            assert!(matches!(done.outcome, ReplayOutcome::Replayed(_)), "{done:?}");
        }
        let refused = store.replay_run(&ask(&second), &quotas).await.unwrap();
        let ReplayOutcome::Refused(exceeded) = refused.outcome else { panic!("{refused:?}") };
        assert_eq!((exceeded.quota, exceeded.limit, refused.runs_today), (quota, 1, 1));
    }
    let untouched = store.run(&second.tenant, &second.id).await.unwrap().unwrap();
    assert_eq!((untouched.status, untouched.generation), (RunStatus::Failed, Generation::FIRST));
    running(&*store, &first.tenant, 4).await;
    assert!(matches!(replay(&*store, &second.reference(), 5).await.outcome, ReplayOutcome::Replayed(_)));
    assert_eq!(admitted(store.admit(&first.tenant, 2, at(6)).await.unwrap()), [], "both slots are taken");
}

/// A cancel ends the new generation like any other, and it may be replayed again.
pub async fn a_replayed_run_is_cancelled_and_replayed_again(stores: &impl Stores) {
    let store = stores.open().await;
    let run = failed(&*store, "acme").await;
    for generation in 2..5 {
        let before = RunRef { generation: Generation(generation - 1), ..run.reference() };
        assert!(matches!(replay(&*store, &before, 3).await.outcome, ReplayOutcome::Replayed(_)));
        let cancelled = store.cancel(&run.tenant, &run.id, "bob", at(4)).await.unwrap();
        let CancelOutcome::Cancelled(cancelled) = cancelled else { panic!("{cancelled:?}") };
        assert_eq!((cancelled.status, cancelled.generation), (RunStatus::Aborted, Generation(generation)));
    }
    assert_eq!(types(&*store, &run).await.len(), 3 + 3 * 2);
}

/// A replay and retention that meet: the run is at work or let go of, and never both.
pub async fn a_run_is_replayed_or_let_go_of_and_never_both(stores: &impl Stores) {
    let (first, second) = (stores.retention().await, stores.retention().await);
    for round in 0..20 {
        let run = failed(&*first, "acme").await.reference();
        let replays = tokio::spawn({
            let (store, run) = (first.clone(), run.clone());
            async move { replay(&*store, &run, 3).await }
        });
        let expires = tokio::spawn({
            let (store, run) = (second.clone(), run.clone());
            let expire = RetentionStep::Expire { reason: "over".to_owned() };
            async move { store.retain(&run.tenant, &run.run, &expire, at(3)).await.unwrap() }
        });
        let (replayed, expired) = (replays.await.unwrap(), expires.await.unwrap());
        let replayed = matches!(replayed.outcome, ReplayOutcome::Replayed(_));
        assert!(replayed != expired, "round {round}: replayed {replayed}, expired {expired}");
        let now = first.run(&run.tenant, &run.run).await.unwrap().unwrap();
        assert_eq!((now.status == RunStatus::Pending, now.expiry.is_some()), (replayed, expired));
    }
}
