//! Retention: which runs still have bytes, and the steps until they have none.

use export_contract::event::EventType;
use export_contract::message::Distribution;
use export_contract::profile::DistributionKind;
use export_contract::retention::Expiry;
use export_contract::run::{Replay, Run, RunStatus};
use export_contract::{Digest, RunId};
use futures::future::join_all;

use super::{Stores, at, ends, fact, running, tenant, types, written};
use crate::quota::Quotas;
use crate::retention::{RetentionStep, RetentionStore};
use crate::store::{CancelOutcome, ReplayOutcome, ReplayWanted, RunFilter, StepOutcome};

fn place(kind: DistributionKind, location: &str) -> Distribution {
    Distribution {
        kind,
        location: location.to_owned(),
        sha256: Digest::from_bytes([7; 32]),
        size_bytes: 9,
        expires_at: Some(at(100)),
        tags: Vec::new(),
        locked_until: None,
        pruned_at: None,
    }
}

/// A run that succeeded, and is at two places.
async fn succeeded(store: &dyn RetentionStore, whose: &str) -> Run {
    let run = running(store, &tenant(whose), 1).await;
    let distributions =
        vec![place(DistributionKind::Http, "/download"), place(DistributionKind::Object, "s3://bucket/key")];
    let outcome = StepOutcome { distributions, ..ends(RunStatus::Succeeded) };
    assert!(
        store
            .record(&run.reference(), &fact("g1.distribute.done", EventType::RunSucceeded, 2), &outcome)
            .await
            .unwrap()
    );
    store.run(&run.tenant, &run.id).await.unwrap().unwrap()
}

fn expire() -> RetentionStep {
    RetentionStep::Expire { reason: "over".to_owned() }
}

fn spare() -> RetentionStep {
    RetentionStep::Spare { reason: "needed".to_owned() }
}

fn remove(since: i64) -> RetentionStep {
    RetentionStep::Remove { since: at(since) }
}

fn removed(kind: DistributionKind, location: &str) -> RetentionStep {
    RetentionStep::Removed { kind, location: location.to_owned() }
}

async fn take(store: &dyn RetentionStore, run: &Run, step: &RetentionStep, seconds: i64) -> bool {
    store.retain(&run.tenant, &run.id, step, at(seconds)).await.unwrap()
}

async fn expiry(store: &dyn RetentionStore, run: &Run) -> Option<Expiry> {
    store.run(&run.tenant, &run.id).await.unwrap().unwrap().expiry
}

async fn with_bytes(store: &dyn RetentionStore, whose: &str, limit: u32) -> Vec<RunId> {
    let mut all: Vec<RunId> = Vec::new();
    loop {
        let page = store.runs_with_bytes(&tenant(whose), all.last(), limit).await.unwrap();
        if page.is_empty() {
            return all;
        }
        assert!(page.len() <= limit as usize);
        all.extend(page.into_iter().map(|run| run.id));
    }
}

/// Every run of every state is there, oldest first and with its distributions, until the ledger says that nothing is left of it.
pub async fn runs_have_bytes_until_they_are_pruned(stores: &impl Stores) {
    let store = stores.retention().await;
    assert_eq!(store.tenants_with_bytes().await.unwrap(), []);
    let first = succeeded(&*store, "acme").await;
    let failed = running(&*store, &first.tenant, 1).await;
    let end = fact("g1.plan.failed", EventType::RunFailed, 2);
    assert!(store.record(&failed.reference(), &end, &ends(RunStatus::Failed)).await.unwrap());
    let waiting = written(&*store, &first.tenant).await;
    let theirs = succeeded(&*store, "globex").await;
    let all = [first.id.clone(), failed.id.clone(), waiting.id.clone()];
    for limit in [1, 2, 3, 200] {
        assert_eq!(with_bytes(&*store, "acme", limit).await, all, "pages of {limit}");
    }
    assert_eq!(with_bytes(&*store, "globex", 10).await, std::slice::from_ref(&theirs.id));
    assert_eq!(store.tenants_with_bytes().await.unwrap(), [tenant("acme"), tenant("globex")]);
    let page = store.runs_with_bytes(&first.tenant, None, 1).await.unwrap();
    assert_eq!(page, [Run { inputs: Vec::new(), ..first.clone() }]);

    assert!(take(&*store, &first, &expire(), 10).await);
    assert!(take(&*store, &first, &remove(10), 20).await);
    assert_eq!(with_bytes(&*store, "acme", 10).await, all, "what is removed still has bytes");
    assert!(take(&*store, &first, &RetentionStep::Prune, 30).await);
    assert_eq!(with_bytes(&*store, "acme", 10).await, all[1..]);
    assert_eq!(stores.retention().await.runs_with_bytes(&first.tenant, None, 10).await.unwrap().len(), 2);
    // The record stays, and so does its place in lists.
    let page = store.runs(&first.tenant, &RunFilter { limit: 10, ..RunFilter::default() }).await.unwrap();
    let expected = Some(Expiry { since: at(10), removing_at: Some(at(20)), pruned_at: Some(at(30)) });
    assert_eq!(page.runs.iter().find(|run| run.id == first.id).unwrap().expiry, expected);
    for (run, since) in [(&failed, 11), (&theirs, 12)] {
        for step in [expire(), remove(since), RetentionStep::Prune] {
            assert!(take(&*store, run, &step, since).await);
        }
    }
    assert_eq!(with_bytes(&*store, "globex", 10).await, []);
    assert_eq!(store.tenants_with_bytes().await.unwrap(), [tenant("acme")]);
}

/// There is one way, and from the removal on no way back.
pub async fn steps_of_retention_are_taken_in_their_order(stores: &impl Stores) {
    let store = stores.retention().await;
    let at_work = running(&*store, &tenant("acme"), 1).await;
    let run = succeeded(&*store, "acme").await;
    let foreign = Run { tenant: tenant("globex"), ..run.clone() };
    let http = removed(DistributionKind::Http, "/download");
    let all = [expire(), spare(), remove(10), http.clone(), RetentionStep::Prune];
    for step in &all {
        assert!(!take(&*store, &at_work, step, 10).await, "a run at work: {step:?}");
        assert!(!take(&*store, &foreign, step, 10).await, "another tenant: {step:?}");
    }
    let refused = async |steps: &[RetentionStep], seconds| {
        for step in steps {
            assert!(!take(&*store, &run, step, seconds).await, "{step:?}");
        }
    };
    refused(&all[1..], 10).await;
    assert!(take(&*store, &run, &expire(), 10).await);
    assert_eq!(expiry(&*store, &run).await, Some(Expiry::began(at(10))));
    refused(&[expire(), http.clone(), RetentionStep::Prune], 11).await;
    assert!(take(&*store, &run, &spare(), 12).await);
    assert_eq!(expiry(&*store, &run).await, None);
    assert!(take(&*store, &run, &expire(), 13).await, "it may expire again");
    refused(&[remove(10)], 14).await;
    assert!(take(&*store, &run, &remove(13), 15).await, "of what was decided on the newest expiry");
    refused(&[expire(), spare(), remove(13)], 16).await;
    assert!(take(&*store, &run, &http, 17).await);
    assert!(take(&*store, &run, &RetentionStep::Prune, 18).await);
    refused(&[expire(), spare(), remove(13), http, RetentionStep::Prune], 19).await;
    let told: Vec<EventType> = types(&*store, &run).await.into_iter().skip(3).map(|(_, event)| event).collect();
    let expected = [
        EventType::RunExpiring,
        EventType::RunSpared,
        EventType::RunExpiring,
        EventType::RunRemoving,
        EventType::DistributionPruned,
        EventType::RunPruned,
    ];
    assert_eq!(told, expected);
    assert_eq!(store.run(&run.tenant, &run.id).await.unwrap().unwrap().status, RunStatus::Succeeded);
}

/// What a target did stands at its distribution, and each is told once.
pub async fn a_distribution_says_what_retention_did_to_it(stores: &impl Stores) {
    let store = stores.retention().await;
    let run = succeeded(&*store, "acme").await;
    assert!(take(&*store, &run, &expire(), 10).await);
    assert!(take(&*store, &run, &remove(10), 11).await);
    let locked = |until: Option<i64>| RetentionStep::Locked {
        kind: DistributionKind::Object,
        location: "s3://bucket/key".to_owned(),
        until: until.map(at),
    };
    let there = async || {
        let whole = stores.retention().await.run(&run.tenant, &run.id).await.unwrap().unwrap();
        let listed = store.runs_with_bytes(&run.tenant, None, 10).await.unwrap();
        assert_eq!(listed.first().unwrap().distributions, whole.distributions);
        let rows = whole.distributions.iter();
        rows.map(|row| (row.locked_until, row.pruned_at)).collect::<Vec<_>>()
    };
    assert!(take(&*store, &run, &locked(Some(50)), 12).await);
    assert!(!take(&*store, &run, &locked(Some(50)), 13).await, "it was told");
    assert!(take(&*store, &run, &removed(DistributionKind::Http, "/download"), 14).await);
    assert!(!take(&*store, &run, &removed(DistributionKind::Http, "/download"), 15).await);
    assert_eq!(there().await, [(None, Some(at(14))), (Some(at(50)), None)]);
    assert!(take(&*store, &run, &locked(Some(90)), 51).await, "the lock was extended");
    assert!(take(&*store, &run, &removed(DistributionKind::Object, "s3://bucket/key"), 91).await);
    assert_eq!(there().await, [(None, Some(at(14))), (Some(at(90)), Some(at(91)))]);
}

/// A place at which a run was seen that did not succeed is one of its distributions, from when it is found, and is let go of without
/// waiting for the end of the run's time. A replay begins without it, and may come to the same place.
pub async fn what_a_run_showed_that_did_not_succeed_has_a_row_until_it_is_let_go_of(stores: &impl Stores) {
    let store = stores.retention().await;
    let found = |kind, location: &str| RetentionStep::Found { distribution: place(kind, location) };
    let (folder, oci) =
        (found(DistributionKind::Directory, "/share/run"), found(DistributionKind::Oci, "host/x@sha256:1"));
    let let_go = removed(DistributionKind::Oci, "host/x@sha256:1");
    let until = Some(at(50));
    let locked = RetentionStep::Locked { kind: DistributionKind::Directory, location: "/share/run".to_owned(), until };
    let well = succeeded(&*store, "acme").await;
    let run = running(&*store, &well.tenant, 1).await;
    for (run, why) in [(&well, "it succeeded"), (&run, "it is at work")] {
        for step in [&folder, &let_go, &locked] {
            assert!(!take(&*store, run, step, 3).await, "{why}: {step:?}");
        }
    }
    let there = async || {
        let whole = stores.retention().await.run(&run.tenant, &run.id).await.unwrap().unwrap();
        let listed = store.runs_with_bytes(&run.tenant, None, 10).await.unwrap();
        let listed = listed.into_iter().find(|listed| listed.id == run.id).unwrap();
        assert_eq!(listed.distributions, whole.distributions);
        let rows = whole.distributions.into_iter();
        rows.map(|row| (row.kind, row.locked_until, row.pruned_at)).collect::<Vec<_>>()
    };
    let end = fact("g1.distribute.failed", EventType::RunFailed, 2);
    assert!(store.record(&run.reference(), &end, &ends(RunStatus::Failed)).await.unwrap());
    for step in [&folder, &oci] {
        assert!(take(&*store, &run, step, 4).await, "{step:?}");
        assert!(!take(&*store, &run, step, 5).await, "it was found before: {step:?}");
    }
    assert!(take(&*store, &run, &let_go, 6).await);
    assert!(!take(&*store, &run, &let_go, 7).await);
    assert!(take(&*store, &run, &locked, 8).await);
    assert_eq!(there().await, [(DistributionKind::Oci, None, Some(at(6))), (DistributionKind::Directory, until, None)]);
    // The next generation may show the same artefact at the same place, whatever became of the first.
    let replay = ReplayWanted {
        run: run.reference(),
        replay: Replay { from: None, of: run.generation },
        by: "bob".to_owned(),
        at: at(9),
    };
    let ReplayOutcome::Replayed(again) = store.replay_run(&replay, &Quotas::default()).await.unwrap().outcome else {
        panic!("it was not replayed")
    };
    assert_eq!(there().await, []);
    assert!(!take(&*store, &run, &oci, 10).await, "it is at work again");
    assert!(matches!(
        store.cancel(&again.tenant, &again.id, "bob", at(11)).await.unwrap(),
        CancelOutcome::Cancelled(_)
    ));
    assert!(take(&*store, &run, &oci, 12).await);
    assert_eq!(there().await, [(DistributionKind::Oci, None, None)]);
    assert!(take(&*store, &run, &let_go, 13).await);
    assert_eq!(there().await, [(DistributionKind::Oci, None, Some(at(13)))]);
    // It is let go of until the ledger says that nothing is left of the run.
    assert!(take(&*store, &run, &expire(), 14).await);
    assert!(take(&*store, &run, &folder, 15).await);
    assert!(take(&*store, &run, &remove(14), 16).await);
    assert!(take(&*store, &run, &removed(DistributionKind::Directory, "/share/run"), 17).await);
    assert!(take(&*store, &run, &RetentionStep::Prune, 18).await);
    assert!(!take(&*store, &run, &found(DistributionKind::Object, "s3://bucket/key"), 19).await);
}

/// Eight pruners at the same run: each step is one's, and is told once.
pub async fn of_concurrent_pruners_one_takes_each_step(stores: &impl Stores) {
    let store = stores.retention().await;
    let run = succeeded(&*store, "acme").await;
    let http = removed(DistributionKind::Http, "/download");
    for (number, step) in [expire(), remove(10), http, RetentionStep::Prune].iter().enumerate() {
        let seconds = 10 + i64::try_from(number).unwrap();
        let taken = join_all((0..8).map(|_| async {
            let store = stores.retention().await;
            take(&*store, &run, step, seconds).await
        }))
        .await;
        assert_eq!(taken.into_iter().filter(|taken| *taken).count(), 1, "{step:?}");
    }
    assert_eq!(types(&*store, &run).await.len(), 7);
}

/// Of a spare and a removal that meet, one wins, and the run is what the winner says.
pub async fn a_run_is_spared_or_removed_and_never_both(stores: &impl Stores) {
    let (first, second) = (stores.retention().await, stores.retention().await);
    for round in 0..20 {
        let run = succeeded(&*first, "acme").await;
        assert!(take(&*first, &run, &expire(), 10).await);
        let spares = tokio::spawn({
            let (store, run) = (first.clone(), run.clone());
            async move { take(&*store, &run, &spare(), 20).await }
        });
        let removes = tokio::spawn({
            let (store, run) = (second.clone(), run.clone());
            async move { take(&*store, &run, &remove(10), 21).await }
        });
        let (spared, removed) = (spares.await.unwrap(), removes.await.unwrap());
        assert!(spared != removed, "round {round}: spared {spared}, removed {removed}");
        assert_eq!(expiry(&*first, &run).await.is_none(), spared);
    }
}
