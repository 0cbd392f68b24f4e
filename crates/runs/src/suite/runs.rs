//! Runs as records: written once, listed, read, ended.

use std::collections::{BTreeMap, BTreeSet};

use export_contract::event::EventType;
use export_contract::message::{FindingsRef, PolicySnapshotRef};
use export_contract::run::{Phase, Run, RunBundle, RunOptions, RunProgress, RunStatus};
use export_contract::selectors::Pattern;
use export_contract::verification::Verification;
use export_contract::{Digest, ErrorCode, Generation, RunId, Sequence};
use futures::future::join_all;

use super::{Stores, admitted, at, ends, fact, pending_run, running, tenant, types, written};
use crate::store::{CancelOutcome, CreateOutcome, RunFilter, RunStore, RunStoreError, StepOutcome};

/// Every member comes back, and the timeline begins with ordinal 1.
pub async fn a_written_run_is_pending_and_reads_back_whole(stores: &impl Stores) {
    let store = stores.open().await;
    let mut run = pending_run(&tenant("acme"));
    run.selectors.include = ["CVE-2024-1*", "$odd.key"].map(|text| Pattern(text.to_owned())).into();
    run.options = RunOptions { watermark: Some(Sequence(7)), ..RunOptions::default() };
    assert_eq!(store.create_run(&run, None).await.unwrap(), CreateOutcome::Created(run.clone()));
    assert_eq!(store.run(&run.tenant, &run.id).await.unwrap(), Some(run.clone()));
    let events = store.events(&run.tenant, &run.id, 0, 10).await.unwrap();
    assert_eq!(events.len(), 1);
    let first = events.first().unwrap();
    assert_eq!((first.ordinal, first.event_type, first.at), (1, EventType::RunPending, run.requested_at));
    assert_eq!(first.actor.as_deref(), Some("alice"));
    assert_eq!(store.create_run(&run, None).await.unwrap(), CreateOutcome::Conflict, "the id is taken");
    let mut started = pending_run(&run.tenant);
    started.status = RunStatus::Running;
    assert!(matches!(store.create_run(&started, None).await, Err(RunStoreError::Refused { .. })));
    assert_eq!(store.run(&started.tenant, &started.id).await.unwrap(), None);
    assert_eq!(store.tenants_waiting().await.unwrap(), [run.tenant]);
    store.check().await.unwrap();
}

/// A client that repeats a request gets the run of the first; another body under the key is refused.
pub async fn the_same_idempotency_key_gives_the_same_run(stores: &impl Stores) {
    let store = stores.open().await;
    let acme = tenant("acme");
    let first = pending_run(&acme);
    let key = Some(("key-1", "fingerprint-a"));
    assert_eq!(store.create_run(&first, key).await.unwrap(), CreateOutcome::Created(first.clone()));
    let again = pending_run(&acme);
    assert_eq!(store.create_run(&again, key).await.unwrap(), CreateOutcome::Existing(first.clone()));
    let other_body = store.create_run(&again, Some(("key-1", "fingerprint-b"))).await.unwrap();
    assert_eq!(other_body, CreateOutcome::Conflict);
    assert_eq!(store.run(&acme, &again.id).await.unwrap(), None);
    // Keys are a tenant's own, and a run without a key is never anybody's double.
    let theirs = pending_run(&tenant("globex"));
    assert_eq!(store.create_run(&theirs, key).await.unwrap(), CreateOutcome::Created(theirs.clone()));
    assert!(matches!(store.create_run(&again, None).await.unwrap(), CreateOutcome::Created(_)));
    assert!(matches!(store.create_run(&pending_run(&acme), None).await.unwrap(), CreateOutcome::Created(_)));
}

/// A double click is one run.
pub async fn of_concurrent_creates_under_one_key_one_is_written(stores: &impl Stores) {
    let acme = tenant("acme");
    let outcomes = join_all((0..8).map(|_| async {
        let store = stores.open().await;
        store.create_run(&pending_run(&acme), Some(("key", "same"))).await.unwrap()
    }))
    .await;
    let mut ids = BTreeSet::new();
    let mut created = 0;
    for outcome in outcomes {
        match outcome {
            CreateOutcome::Created(run) => {
                created += 1;
                ids.insert(run.id);
            }
            CreateOutcome::Existing(run) => {
                ids.insert(run.id);
            }
            CreateOutcome::Conflict => panic!("the bodies were equal"),
        }
    }
    assert_eq!((created, ids.len()), (1, 1));
    let store = stores.open().await;
    let page = store.runs(&acme, &RunFilter { limit: 50, ..RunFilter::default() }).await.unwrap();
    assert_eq!(page.runs.len(), 1);
}

async fn all_pages(store: &dyn RunStore, tenant: &str, filter: &RunFilter) -> Vec<Run> {
    let mut filter = filter.clone();
    let mut all: Vec<Run> = Vec::new();
    loop {
        let page = store.runs(&super::tenant(tenant), &filter).await.unwrap();
        assert!(page.runs.len() <= filter.limit as usize);
        all.extend(page.runs);
        if !page.more {
            return all;
        }
        filter.before = all.last().map(|run| run.id.clone());
    }
}

/// A page goes on below the last id of the page before.
pub async fn pages_are_newest_first_and_lose_nothing(stores: &impl Stores) {
    let store = stores.open().await;
    let acme = tenant("acme");
    let mut expected = Vec::new();
    for number in 0..7 {
        let mut run = pending_run(&acme);
        if number % 3 == 0 {
            run.profile_id = "nightly".parse().unwrap();
        }
        store.create_run(&run, None).await.unwrap();
        expected.insert(0, run);
    }
    for limit in [1, 2, 3, 7, 200] {
        let all = all_pages(&*store, "acme", &RunFilter { limit, ..RunFilter::default() }).await;
        assert_eq!(all, expected, "pages of {limit}");
    }
    let profile = Some("nightly".parse().unwrap());
    let of_profile = all_pages(&*store, "acme", &RunFilter { profile, limit: 2, ..RunFilter::default() }).await;
    assert_eq!(of_profile.len(), 3);
    let admitted = admitted(store.admit(&acme, 2, at(1)).await.unwrap());
    let status = Some(RunStatus::Running);
    let mut running = all_pages(&*store, "acme", &RunFilter { status, limit: 1, ..RunFilter::default() }).await;
    running.reverse();
    assert_eq!(running, admitted);
    let page = store.runs(&acme, &RunFilter { limit: 0, ..RunFilter::default() }).await.unwrap();
    assert_eq!((page.runs.len(), page.more), (1, true), "a page holds at least one run");
}

/// Nothing of another tenant is found, listed, cancelled or recorded to.
pub async fn runs_are_the_tenants_own(stores: &impl Stores) {
    let store = stores.open().await;
    let run = running(&*store, &tenant("acme"), 1).await;
    let other = tenant("globex");
    assert_eq!(store.run(&other, &run.id).await.unwrap(), None);
    assert_eq!(store.runs(&other, &RunFilter { limit: 10, ..RunFilter::default() }).await.unwrap().runs, []);
    assert_eq!(store.events(&other, &run.id, 0, 10).await.unwrap(), []);
    assert_eq!(store.cancel(&other, &run.id, "mallory", at(2)).await.unwrap(), CancelOutcome::NotFound);
    let mut foreign = run.reference();
    foreign.tenant = other;
    let event = fact("g1.sign.done", EventType::RunSigned, 2);
    assert!(!store.record(&foreign, &event, &ends(RunStatus::Failed)).await.unwrap());
    assert_eq!(store.run(&run.tenant, &run.id).await.unwrap(), Some(run));
}

/// A restart changes nothing.
pub async fn what_was_written_outlives_the_handle(stores: &impl Stores) {
    let store = stores.open().await;
    let run = running(&*store, &tenant("acme"), 1).await;
    let waiting = written(&*store, &run.tenant).await;
    let event = fact("g1.plan.done", EventType::StageCompleted, 2);
    assert!(store.record(&run.reference(), &event, &StepOutcome::default()).await.unwrap());
    let before = store.run(&run.tenant, &run.id).await.unwrap();
    let timeline = store.events(&run.tenant, &run.id, 0, 10).await.unwrap();
    drop(store);
    let store = stores.open().await;
    assert_eq!(store.run(&run.tenant, &run.id).await.unwrap(), before);
    assert_eq!(store.events(&run.tenant, &run.id, 0, 10).await.unwrap(), timeline);
    assert_eq!(timeline.len(), 3);
    assert_eq!(store.run(&run.tenant, &waiting.id).await.unwrap(), Some(waiting));
    assert!(!store.record(&run.reference(), &event, &StepOutcome::default()).await.unwrap());
    assert_eq!(store.active().await.unwrap(), BTreeMap::from([(run.tenant, 1)]));
}

/// `pending` becomes `running` by admission only; a terminal state is for ever.
pub async fn steps_take_only_legal_states(stores: &impl Stores) {
    let store = stores.open().await;
    let acme = tenant("acme");
    let pending = written(&*store, &acme).await;
    let done = fact("g1.distribute.done", EventType::RunSucceeded, 2);
    assert!(!store.record(&pending.reference(), &done, &ends(RunStatus::Succeeded)).await.unwrap());
    assert_eq!(store.run(&acme, &pending.id).await.unwrap(), Some(pending.clone()));
    assert_eq!(types(&*store, &pending).await, [(1, EventType::RunPending)]);

    let run = admitted(store.admit(&acme, 1, at(3)).await.unwrap()).remove(0);
    assert_eq!((run.id.clone(), run.status, run.started_at), (pending.id.clone(), RunStatus::Running, Some(at(3))));
    assert!(store.record(&run.reference(), &done, &ends(RunStatus::Succeeded)).await.unwrap());
    let failed = fact("g1.sign.failed", EventType::RunFailed, 9);
    for status in [RunStatus::Failed, RunStatus::Aborted, RunStatus::Succeeded, RunStatus::Pending] {
        assert!(!store.record(&run.reference(), &failed, &ends(status)).await.unwrap(), "{status}");
    }
    assert!(!store.record(&run.reference(), &failed, &StepOutcome::default()).await.unwrap());
    let ended = store.run(&acme, &run.id).await.unwrap().unwrap();
    assert_eq!(ended.status, RunStatus::Succeeded);
    assert_eq!(
        store.cancel(&acme, &run.id, "bob", at(9)).await.unwrap(),
        CancelOutcome::Ended(Run { inputs: Vec::new(), distributions: Vec::new(), ..ended })
    );
    let expected = [(1, EventType::RunPending), (2, EventType::RunRunning), (3, EventType::RunSucceeded)];
    assert_eq!(types(&*store, &run).await, expected);
}

/// Status, times, phase, progress, bundle and error are in the record.
pub async fn a_run_that_succeeds_says_what_it_made_and_how_long_it_took(stores: &impl Stores) {
    let store = stores.open().await;
    let run = running(&*store, &tenant("acme"), 10).await;
    assert_eq!(run.phase, Some(Phase::Plan));
    let digest = Digest::from_bytes([7; 32]);
    let snapshot = PolicySnapshotRef {
        policy_version: "7".to_owned(),
        inputs_hash: "sha256:inputs".to_owned(),
        decision_trace: Some("sha256:trace".to_owned()),
        findings: Some(FindingsRef { count: 9, digest: digest.clone() }),
        ..PolicySnapshotRef::new("snapshot-1".to_owned(), digest.clone())
    };
    let planned = StepOutcome {
        phase: Some(Phase::Resolve),
        policy_snapshot: Some(snapshot.clone()),
        progress: RunProgress { parts_total: 2, records_total: 30, ..RunProgress::default() },
        ..StepOutcome::default()
    };
    let plan = fact("g1.plan.done", EventType::StageCompleted, 11);
    assert!(store.record(&run.reference(), &plan, &planned).await.unwrap());
    let part = StepOutcome {
        phase: Some(Phase::Adapt),
        progress: RunProgress { parts_done: 1, records_done: 15, bytes_done: 900, ..RunProgress::default() },
        ..StepOutcome::default()
    };
    for key in ["g1.adapt.part.1.done", "g1.adapt.part.0.done"] {
        let event = fact(key, EventType::AdapterComplete, 12);
        assert!(store.record(&run.reference(), &event, &part).await.unwrap());
    }
    // A fact that comes late does not take the run back to a phase it has left.
    let late = StepOutcome { phase: Some(Phase::Resolve), ..StepOutcome::default() };
    let event = fact("g1.resolve.done", EventType::StageCompleted, 12);
    assert!(store.record(&run.reference(), &event, &late).await.unwrap());
    let bundle = RunBundle {
        digest: digest.clone(),
        bytes: 5,
        manifest_digest: digest.clone(),
        rerun_hash: digest.clone(),
        records: 30,
        as_of: Some(at(0)),
        state_digest: Some(digest.clone()),
        key_id: "key-1".to_owned(),
        sidecars: BTreeMap::from([("export.json.sig".to_owned(), digest.clone())]),
        verification: Some(Verification::of("key-1", &BTreeMap::new())),
        refreshes: Some(RunId::from_parts(1, 7)),
    };
    let end = StepOutcome { bundle: Some(bundle.clone()), ..ends(RunStatus::Succeeded) };
    let event = fact("g1.distribute.done", EventType::RunSucceeded, 14);
    assert!(store.record(&run.reference(), &event, &end).await.unwrap());
    let ended = store.run(&run.tenant, &run.id).await.unwrap().unwrap();
    assert_eq!(ended.started_at, Some(at(10)));
    assert_eq!(ended.completed_at, Some(at(14)));
    assert_eq!(ended.duration_ms, Some(4_000));
    assert_eq!(ended.phase, Some(Phase::Adapt));
    assert_eq!(ended.policy_snapshot_id, Some(snapshot));
    assert_eq!(ended.bundle, Some(bundle));
    let progress =
        RunProgress { parts_total: 2, parts_done: 2, records_total: 30, records_done: 30, bytes_done: 1_800 };
    assert_eq!(ended.progress, progress);

    let run = running(&*store, &tenant("acme"), 20).await;
    let error = Some((ErrorCode::Empty, "nothing selected".to_owned()));
    let end = StepOutcome { error, ..ends(RunStatus::Failed) };
    let event = fact("g1.resolve.failed", EventType::RunFailed, 21);
    assert!(store.record(&run.reference(), &event, &end).await.unwrap());
    let ended = store.run(&run.tenant, &run.id).await.unwrap().unwrap();
    assert_eq!((ended.status, ended.error_code), (RunStatus::Failed, Some(ErrorCode::Empty)));
    assert_eq!(ended.error_message.as_deref(), Some("nothing selected"));
    assert_eq!(ended.generation, Generation::FIRST);
}

/// For metrics: over all tenants, by kind, of the newest run that succeeded.
pub async fn the_last_success_of_a_kind_is_that_of_its_newest_run_that_succeeded(stores: &impl Stores) {
    let store = stores.open().await;
    assert_eq!(store.last_successes().await.unwrap(), BTreeMap::new());
    let mut kind = None;
    for (number, tenant_name) in [(1, "acme"), (2, "globex"), (3, "acme")] {
        let run = running(&*store, &tenant(tenant_name), 10).await;
        kind = Some(run.profile_kind);
        let terminal = if number == 3 { RunStatus::Failed } else { RunStatus::Succeeded };
        let (event_type, key) = if number == 3 {
            (EventType::RunFailed, "g1.sign.failed")
        } else {
            (EventType::RunSucceeded, "g1.distribute.done")
        };
        let end = StepOutcome { terminal: Some(terminal), ..StepOutcome::default() };
        assert!(store.record(&run.reference(), &fact(key, event_type, 20 + number), &end).await.unwrap());
    }
    assert_eq!(store.last_successes().await.unwrap(), BTreeMap::from([(kind.unwrap(), at(22))]));
}

/// For the reconciler: by the age of the newest event, over all tenants.
pub async fn silent_runs_are_found_oldest_first(stores: &impl Stores) {
    let store = stores.open().await;
    let (acme, globex) = (tenant("acme"), tenant("globex"));
    let noisy = running(&*store, &acme, 10).await;
    let quiet = running(&*store, &globex, 20).await;
    let waiting = written(&*store, &acme).await;
    let event = fact("g1.plan.done", EventType::StageCompleted, 30);
    assert!(store.record(&noisy.reference(), &event, &StepOutcome::default()).await.unwrap());
    let ids = async |status, since, limit| {
        let runs = store.silent_runs(status, at(since), limit).await.unwrap();
        runs.into_iter().map(|run| run.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(RunStatus::Running, 40, 10).await, [quiet.id.clone(), noisy.id.clone()]);
    assert_eq!(ids(RunStatus::Running, 40, 1).await, [&quiet.id].map(Clone::clone));
    assert_eq!(ids(RunStatus::Running, 30, 10).await, [&quiet.id].map(Clone::clone));
    assert_eq!(ids(RunStatus::Running, 20, 10).await, []);
    assert_eq!(ids(RunStatus::Pending, 40, 10).await, [&waiting.id].map(Clone::clone));
    store.cancel(&globex, &quiet.id, "bob", at(31)).await.unwrap();
    assert_eq!(ids(RunStatus::Running, 40, 10).await, [&noisy.id].map(Clone::clone));
}
