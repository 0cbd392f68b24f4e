//! Calls that meet: one of them wins, and the ledger tells one story.

use export_contract::event::EventType;
use export_contract::run::RunStatus;
use futures::future::join_all;

use super::{Stores, admitted, at, ends, fact, running, tenant, types, written};
use crate::store::CancelOutcome;

/// A hundred runs, each cancelled and completed at the same time.
pub async fn cancel_and_completion_have_one_winner(stores: &impl Stores) {
    let acme = tenant("acme");
    let (first, second) = (stores.open().await, stores.open().await);
    for _ in 0..100 {
        let run = running(&*first, &acme, 1).await;
        let cancel = tokio::spawn({
            let (store, run) = (first.clone(), run.clone());
            async move { store.cancel(&run.tenant, &run.id, "bob", at(2)).await.unwrap() }
        });
        let complete = tokio::spawn({
            let (store, run) = (second.clone(), run.reference());
            let event = fact("g1.distribute.done", EventType::RunSucceeded, 2);
            async move { store.record(&run, &event, &ends(RunStatus::Succeeded)).await.unwrap() }
        });
        let (cancelled, completed) = (cancel.await.unwrap(), complete.await.unwrap());
        let ended = first.run(&acme, &run.id).await.unwrap().unwrap();
        let last = types(&*first, &run).await.pop().unwrap();
        if completed {
            assert!(matches!(cancelled, CancelOutcome::Ended(_)), "{cancelled:?}");
            assert_eq!((ended.status, last), (RunStatus::Succeeded, (3, EventType::RunSucceeded)));
        } else {
            assert!(matches!(cancelled, CancelOutcome::Cancelled(_)), "{cancelled:?}");
            assert_eq!((ended.status, last), (RunStatus::Aborted, (3, EventType::RunAborted)));
        }
    }
}

/// One cancel is told that it did it, the others that it was done; the timeline names the one.
pub async fn of_concurrent_cancels_one_wins(stores: &impl Stores) {
    let store = stores.open().await;
    let run = running(&*store, &tenant("acme"), 1).await;
    let outcomes = join_all((0..8).map(|number| {
        let run = run.clone();
        async move {
            let store = stores.open().await;
            store.cancel(&run.tenant, &run.id, &format!("user-{number}"), at(2 + number)).await.unwrap()
        }
    }))
    .await;
    let won = |outcome: &&CancelOutcome| matches!(outcome, CancelOutcome::Cancelled(_));
    let again = |outcome: &&CancelOutcome| matches!(outcome, CancelOutcome::AlreadyCancelled(_));
    assert_eq!((outcomes.iter().filter(won).count(), outcomes.iter().filter(again).count()), (1, 7));
    let winner = outcomes.iter().position(|outcome| won(&outcome)).unwrap();
    let events = store.events(&run.tenant, &run.id, 2, 10).await.unwrap();
    assert_eq!(events.len(), 1);
    let last = events.last().unwrap();
    assert_eq!((last.event_type, last.actor.clone()), (EventType::RunAborted, Some(format!("user-{winner}"))));
    let ended = store.run(&run.tenant, &run.id).await.unwrap().unwrap();
    assert_eq!((ended.status, ended.completed_at), (RunStatus::Aborted, Some(last.at)));
}

/// A cancel that meets the admission ends the run either way, and the timeline says in which order.
pub async fn a_run_is_cancelled_or_admitted_and_never_both_lost(stores: &impl Stores) {
    let acme = tenant("acme");
    let (first, second) = (stores.open().await, stores.open().await);
    for _ in 0..20 {
        let run = written(&*first, &acme).await;
        let admit = tokio::spawn({
            let (store, acme) = (first.clone(), acme.clone());
            async move { admitted(store.admit(&acme, 4, at(2)).await.unwrap()).len() }
        });
        let cancel = tokio::spawn({
            let (store, run) = (second.clone(), run.clone());
            async move { store.cancel(&run.tenant, &run.id, "bob", at(3)).await.unwrap() }
        });
        let (got, cancelled) = (admit.await.unwrap(), cancel.await.unwrap());
        assert!(matches!(cancelled, CancelOutcome::Cancelled(_)), "{cancelled:?}");
        let story: Vec<EventType> = types(&*first, &run).await.into_iter().map(|(_, event)| event).collect();
        if got == 1 {
            assert_eq!(story, [EventType::RunPending, EventType::RunRunning, EventType::RunAborted]);
        } else {
            assert_eq!(story, [EventType::RunPending, EventType::RunAborted]);
        }
        assert_eq!(first.active().await.unwrap().len(), 0);
    }
}
