//! Quotas: what a tenant may ask for on a day, and how much may wait.

use std::collections::{BTreeMap, BTreeSet};

use export_contract::event::EventType;
use export_contract::run::{Run, RunBundle, RunStatus};
use export_contract::{Digest, TenantId, Timestamp};
use futures::future::join_all;

use super::{Stores, admitted, at, ends, fact, pending_run, tenant};
use crate::quota::{Exceeded, QuotaName, Quotas, SubmitOutcome, Submitted, Usage};
use crate::store::{RunFilter, RunStore, StepOutcome};

/// The suite's time begins at noon of a day: so long after it the next one begins.
const MIDNIGHT: i64 = 12 * 3_600;

fn runs_a_day(runs: u32) -> Quotas {
    Quotas { runs_per_day: Some(runs), ..Quotas::default() }
}

fn run_at(tenant: &TenantId, seconds: i64) -> Run {
    Run { requested_at: at(seconds), ..pending_run(tenant) }
}

async fn submit(store: &dyn RunStore, run: &Run, quotas: &Quotas) -> Submitted {
    store.submit_run(run, None, quotas).await.unwrap()
}

fn is_created(submitted: &Submitted) -> bool {
    matches!(submitted.outcome, SubmitOutcome::Created(_))
}

async fn ids(store: &dyn RunStore, tenant: &TenantId) -> BTreeSet<String> {
    let page = store.runs(tenant, &RunFilter { limit: 200, ..RunFilter::default() }).await.unwrap();
    page.runs.iter().map(|run| run.id.to_string()).collect()
}

/// The next day begins anew; another tenant has its own.
pub async fn runs_of_a_day_are_counted_and_those_beyond_the_quota_refused(stores: &impl Stores) {
    let store = stores.open().await;
    let (acme, globex) = (tenant("acme"), tenant("globex"));
    let mut expected = BTreeSet::new();
    for number in 1..=3 {
        let run = run_at(&acme, i64::from(number));
        expected.insert(run.id.to_string());
        let submitted = submit(&*store, &run, &runs_a_day(3)).await;
        assert_eq!(submitted, Submitted { outcome: SubmitOutcome::Created(run), runs_today: number });
    }
    let refused = submit(&*store, &run_at(&acme, MIDNIGHT - 1), &runs_a_day(3)).await;
    let exceeded = Exceeded { quota: QuotaName::RunsPerDay, limit: 3, used: 3, resets_at: Some(at(MIDNIGHT)) };
    assert_eq!(refused, Submitted { outcome: SubmitOutcome::Refused(exceeded), runs_today: 3 });
    assert_eq!(ids(&*store, &acme).await, expected);
    assert!(is_created(&submit(&*store, &run_at(&globex, 9), &runs_a_day(1)).await));
    // A quota that was raised has room at once, and one that was lowered takes nothing back.
    assert!(is_created(&submit(&*store, &run_at(&acme, 10), &runs_a_day(4)).await));
    assert!(!is_created(&submit(&*store, &run_at(&acme, 11), &runs_a_day(2)).await));
    let next = submit(&*store, &run_at(&acme, MIDNIGHT), &runs_a_day(3)).await;
    assert!(is_created(&next) && next.runs_today == 1, "{next:?}");
    let usage = |seconds| store.usage(&acme, at(seconds));
    assert_eq!(usage(MIDNIGHT + 1).await.unwrap(), Usage { pending_runs: 5, runs_today: 1, ..Usage::default() });
    assert_eq!(usage(3 * MIDNIGHT).await.unwrap().runs_today, 0);
}

/// Whoever repeats a request gets its run, also where nothing is left of the quota.
pub async fn a_repeated_key_counts_once_and_what_is_refused_not_at_all(stores: &impl Stores) {
    let store = stores.open().await;
    let acme = tenant("acme");
    let quotas = runs_a_day(1);
    let key = Some(("key", "body"));
    let first = pending_run(&acme);
    assert!(is_created(&store.submit_run(&first, key, &quotas).await.unwrap()));
    for _ in 0..3 {
        let again = store.submit_run(&pending_run(&acme), key, &quotas).await.unwrap();
        assert_eq!(again, Submitted { outcome: SubmitOutcome::Existing(first.clone()), runs_today: 1 });
        let refused = store.submit_run(&pending_run(&acme), Some(("other", "body")), &quotas).await.unwrap();
        assert!(matches!(refused.outcome, SubmitOutcome::Refused(_)), "{refused:?}");
    }
    let other_body = store.submit_run(&pending_run(&acme), Some(("key", "another")), &quotas).await.unwrap();
    assert_eq!(other_body.outcome, SubmitOutcome::Conflict);
    // The key of a refused run is free still.
    let later = store.submit_run(&pending_run(&acme), Some(("other", "body")), &runs_a_day(2)).await.unwrap();
    assert!(is_created(&later) && later.runs_today == 2, "{later:?}");
    let taken = store.submit_run(&first, None, &runs_a_day(9)).await.unwrap();
    assert_eq!(taken, Submitted { outcome: SubmitOutcome::Conflict, runs_today: 2 });
    assert_eq!(ids(&*store, &acme).await.len(), 2);
}

/// Several gateways at once: exactly as many runs as there may be, by each of the quotas.
pub async fn concurrent_submits_never_exceed_a_quota(stores: &impl Stores) {
    for (name, quotas) in [("acme", runs_a_day(7)), ("globex", Quotas { pending_runs: Some(7), ..Quotas::default() })] {
        let owner = tenant(name);
        let gateways = join_all((0..4).map(|_| async {
            let store = stores.open().await;
            let mut created = BTreeSet::new();
            for _ in 0..4 {
                let run = pending_run(&owner);
                if is_created(&submit(&*store, &run, &quotas).await) {
                    created.insert(run.id.to_string());
                }
            }
            created
        }))
        .await;
        let told: BTreeSet<String> = gateways.into_iter().flatten().collect();
        assert_eq!(told.len(), 7, "{name}");
        let store = stores.open().await;
        assert_eq!(ids(&*store, &owner).await, told, "{name}");
        assert_eq!(store.usage(&owner, at(1)).await.unwrap().runs_today, 7, "{name}");
    }
}

/// A run that got a slot, or was cancelled, makes room.
pub async fn waiting_runs_are_as_many_as_the_quota_says(stores: &impl Stores) {
    let store = stores.open().await;
    let acme = tenant("acme");
    let quotas = Quotas { pending_runs: Some(2), ..Quotas::default() };
    let (first, second) = (pending_run(&acme), pending_run(&acme));
    assert!(is_created(&submit(&*store, &first, &quotas).await));
    assert!(is_created(&submit(&*store, &second, &quotas).await));
    let refused = submit(&*store, &pending_run(&acme), &quotas).await.outcome;
    let exceeded = Exceeded { quota: QuotaName::PendingRuns, limit: 2, used: 2, resets_at: None };
    assert_eq!(refused, SubmitOutcome::Refused(exceeded));
    assert_eq!(admitted(store.admit(&acme, 1, at(1)).await.unwrap()).len(), 1);
    assert!(is_created(&submit(&*store, &pending_run(&acme), &quotas).await));
    assert!(!is_created(&submit(&*store, &pending_run(&acme), &quotas).await));
    store.cancel(&acme, &second.id, "bob", at(2)).await.unwrap();
    assert!(is_created(&submit(&*store, &pending_run(&acme), &quotas).await));
    let usage = store.usage(&acme, at(3)).await.unwrap();
    assert_eq!(usage, Usage { active_runs: 1, pending_runs: 2, runs_today: 4, bytes_today: 0 });
}

async fn ended(store: &dyn RunStore, tenant: &TenantId, end: i64, bytes: u64, refreshes: bool) {
    let run = run_at(tenant, 0);
    assert!(is_created(&submit(store, &run, &Quotas::default()).await));
    admitted(store.admit(tenant, u32::MAX, at(1)).await.unwrap());
    let digest = Digest::from_bytes([3; 32]);
    let bundle = RunBundle {
        digest: digest.clone(),
        bytes,
        manifest_digest: digest.clone(),
        rerun_hash: digest,
        records: 1,
        as_of: None,
        state_digest: None,
        key_id: "key-1".to_owned(),
        sidecars: BTreeMap::new(),
        verification: None,
        refreshes: refreshes.then(|| run.id.clone()),
    };
    let outcome = StepOutcome { bundle: Some(bundle), ..ends(RunStatus::Succeeded) };
    let event = fact("g1.distribute.done", EventType::RunSucceeded, end);
    assert!(store.record(&run.reference(), &event, &outcome).await.unwrap());
}

/// What was made before today, and what was confirmed only, is not counted.
pub async fn a_day_whose_bytes_are_used_up_takes_no_more_runs(stores: &impl Stores) {
    let store = stores.open().await;
    let acme = tenant("acme");
    let quotas = Quotas { bytes_per_day: Some(1_000), ..Quotas::default() };
    let next: Timestamp = at(MIDNIGHT);
    ended(&*store, &acme, MIDNIGHT - 1, 5_000, false).await;
    ended(&*store, &acme, MIDNIGHT, 999, false).await;
    ended(&*store, &acme, MIDNIGHT + 1, 7_000, true).await;
    ended(&*store, &tenant("globex"), MIDNIGHT + 1, 7_000, false).await;
    let today = MIDNIGHT + 10;
    assert_eq!(store.usage(&acme, next).await.unwrap().bytes_today, 999);
    assert!(is_created(&submit(&*store, &run_at(&acme, today), &quotas).await));
    ended(&*store, &acme, MIDNIGHT + 2, 2_000, false).await;
    let refused = submit(&*store, &run_at(&acme, today), &quotas).await.outcome;
    let resets_at = Some(next.plus_seconds(86_400));
    let exceeded = Exceeded { quota: QuotaName::BytesPerDay, limit: 1_000, used: 2_999, resets_at };
    assert_eq!(refused, SubmitOutcome::Refused(exceeded));
    assert!(is_created(&submit(&*store, &run_at(&acme, today + 86_400), &quotas).await));
}

/// A request that is sent twice at once is one run, and counts as one.
pub async fn of_concurrent_submits_under_one_key_one_is_written_and_counted(stores: &impl Stores) {
    let acme = tenant("acme");
    let quotas = runs_a_day(1);
    let outcomes = join_all((0..6).map(|_| async {
        let store = stores.open().await;
        store.submit_run(&pending_run(&acme), Some(("key", "same")), &quotas).await.unwrap().outcome
    }))
    .await;
    let created = outcomes.iter().filter(|outcome| matches!(outcome, SubmitOutcome::Created(_))).count();
    let existing = outcomes.iter().filter(|outcome| matches!(outcome, SubmitOutcome::Existing(_))).count();
    assert_eq!((created, existing), (1, 5), "{outcomes:?}");
    let store = stores.open().await;
    assert_eq!(ids(&*store, &acme).await.len(), 1);
    assert_eq!(store.usage(&acme, at(1)).await.unwrap().runs_today, 1);
}
