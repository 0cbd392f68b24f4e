//! What every run ledger promises, as tests that each driver runs.
//!
//! A driver's test gives [`Stores`] and calls [`conformance_tests!`](crate::conformance_tests), which makes one test of
//! each promise. A promise that fails panics, as tests do.
#![expect(clippy::missing_panics_doc, clippy::unwrap_used, clippy::expect_used, reason = "a suite fails by panicking")]

pub mod audit;
pub mod entries;
pub mod idempotency;
pub mod profiles;
pub mod quotas;
pub mod races;
pub mod replays;
pub mod retention;
pub mod runs;
pub mod schedules;
pub mod slots;
pub mod timeline;
pub mod webhooks;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use export_contract::event::EventType;
use export_contract::profile::{Profile, ProfileKind};
use export_contract::run::{Phase, Run, RunOptions, RunProgress, RunStatus};
use export_contract::selectors::Selectors;
use export_contract::{Generation, RunId, TenantId, Timestamp, Version};

use crate::retention::RetentionStore;
use crate::store::{Admission, CreateOutcome, NewEvent, RunStore, StepOutcome};

/// Opens the ledger under test, the same state each time, as separate processes would.
#[async_trait]
pub trait Stores: Send + Sync {
    /// Another handle on the same ledger.
    async fn open(&self) -> Arc<dyn RunStore>;

    /// The same as retention sees it.
    async fn retention(&self) -> Arc<dyn RetentionStore>;
}

/// Makes one `#[tokio::test]` of each promise; `$stores` is an async expression that gives a fresh, empty [`Stores`], or
/// `None` where the one who runs the tests chose to do without.
#[macro_export]
macro_rules! conformance_tests {
    ($stores:expr) => {
        $crate::conformance_tests!(@each $stores;
            profiles: every_tenant_has_six_built_in_profiles,
            profiles: a_changed_configuration_makes_a_revision_and_the_old_one_stays,
            profiles: a_changed_name_makes_no_revision,
            profiles: the_same_profile_twice_is_one_and_another_under_its_id_is_refused,
            profiles: of_concurrent_updates_one_wins,
            profiles: a_built_in_profile_can_be_changed,
            profiles: revisions_are_listed_newest_first_down_to_the_first,
            profiles: a_deleted_profile_is_gone_and_keeps_its_revisions_and_its_id,
            profiles: profiles_are_the_tenants_own,
            runs: a_written_run_is_pending_and_reads_back_whole,
            runs: the_same_idempotency_key_gives_the_same_run,
            runs: of_concurrent_creates_under_one_key_one_is_written,
            runs: pages_are_newest_first_and_lose_nothing,
            runs: runs_are_the_tenants_own,
            runs: what_was_written_outlives_the_handle,
            runs: steps_take_only_legal_states,
            runs: a_run_that_succeeds_says_what_it_made_and_how_long_it_took,
            runs: silent_runs_are_found_oldest_first,
            runs: the_last_success_of_a_kind_is_that_of_its_newest_run_that_succeeded,
            slots: runs_are_admitted_in_order_and_never_above_the_cap,
            slots: the_cap_holds_under_concurrent_admission,
            slots: a_tenant_does_not_wait_for_another,
            slots: a_cancelled_run_frees_its_slot,
            slots: a_kind_without_a_free_slot_is_passed_over_until_one_frees,
            quotas: runs_of_a_day_are_counted_and_those_beyond_the_quota_refused,
            quotas: a_repeated_key_counts_once_and_what_is_refused_not_at_all,
            quotas: concurrent_submits_never_exceed_a_quota,
            quotas: waiting_runs_are_as_many_as_the_quota_says,
            quotas: a_day_whose_bytes_are_used_up_takes_no_more_runs,
            quotas: of_concurrent_submits_under_one_key_one_is_written_and_counted,
            timeline: a_fact_is_recorded_once_however_often_it_comes,
            timeline: concurrent_recorders_leave_no_gap_and_no_double,
            timeline: events_are_resumed_by_ordinal,
            timeline: facts_of_another_generation_or_run_are_not_recorded,
            timeline: inputs_and_distributions_of_a_repeated_step_are_kept_once,
            races: cancel_and_completion_have_one_winner,
            races: of_concurrent_cancels_one_wins,
            races: a_run_is_cancelled_or_admitted_and_never_both_lost,
            replays: a_replayed_run_waits_again_in_its_next_generation_and_its_timeline_goes_on,
            replays: what_is_at_work_has_a_bundle_or_is_let_go_of_is_not_replayed,
            replays: of_concurrent_replays_one_raises_the_generation,
            replays: a_replay_counts_as_a_run_that_is_submitted,
            replays: a_replayed_run_is_cancelled_and_replayed_again,
            replays: a_run_is_replayed_or_let_go_of_and_never_both,
            retention: runs_have_bytes_until_they_are_pruned,
            retention: steps_of_retention_are_taken_in_their_order,
            retention: a_distribution_says_what_retention_did_to_it,
            retention: what_a_run_showed_that_did_not_succeed_has_a_row_until_it_is_let_go_of,
            retention: of_concurrent_pruners_one_takes_each_step,
            retention: a_run_is_spared_or_removed_and_never_both,
        );
    };
    (@each $stores:expr; $($module:ident: $name:ident,)+) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $name() {
            if let Some(stores) = $stores.await {
                $crate::suite::$module::$name(&stores).await;
            }
        }
    )+};
}

/// The tenant `name`.
pub fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

/// `seconds` after the suite's fixed beginning of time.
pub fn at(seconds: i64) -> Timestamp {
    "2026-05-01T12:00:00Z".parse::<Timestamp>().unwrap().plus_seconds(seconds)
}

/// A pending run whose id is younger than those made before.
pub fn pending_run(tenant: &TenantId) -> Run {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::SeqCst);
    let profile = Profile::built_in(tenant.clone(), ProfileKind::JsonRaw, at(0));
    Run {
        v: Version,
        id: RunId::from_parts(1_800_000_000_000 + count, u128::from(count)),
        tenant: tenant.clone(),
        profile_id: profile.id,
        profile_revision: profile.revision,
        profile_kind: profile.kind,
        selectors: Selectors { ecosystems: ["npm".to_owned()].into(), ..Selectors::default() },
        options: RunOptions::default(),
        approval: None,
        requested_by: "alice".to_owned(),
        requested_at: at(0),
        correlation_id: format!("correlation-{count}"),
        traceparent: format!("00-{count:032x}-{count:016x}-01").parse().ok(),
        status: RunStatus::Pending,
        generation: Generation::FIRST,
        replay: None,
        phase: None,
        started_at: None,
        completed_at: None,
        duration_ms: None,
        error_code: None,
        error_message: None,
        policy_snapshot_id: None,
        waiting: None,
        progress: RunProgress::default(),
        base: None,
        bundle: None,
        expiry: None,
        inputs: Vec::new(),
        distributions: Vec::new(),
    }
}

/// Writes a pending run.
pub async fn written(store: &dyn RunStore, tenant: &TenantId) -> Run {
    let run = pending_run(tenant);
    assert_eq!(store.create_run(&run, None).await.unwrap(), CreateOutcome::Created(run.clone()));
    run
}

/// Writes a run and gives it a slot, `seconds` after the beginning.
pub async fn running(store: &dyn RunStore, tenant: &TenantId, seconds: i64) -> Run {
    let run = written(store, tenant).await;
    let admitted = admitted(store.admit(tenant, u32::MAX, at(seconds)).await.unwrap());
    admitted.into_iter().find(|admitted| admitted.id == run.id).expect("the run was admitted")
}

/// The runs that an admission gave slots to.
pub fn admitted(admission: Admission) -> Vec<Run> {
    match admission {
        Admission::Admitted(runs) => runs,
        Admission::Nothing => Vec::new(),
    }
}

/// A fact of a stage.
pub fn fact(key: &str, event_type: EventType, seconds: i64) -> NewEvent {
    NewEvent {
        key: key.to_owned(),
        event_type,
        phase: Some(Phase::Adapt),
        message: format!("fact {key}"),
        at: at(seconds),
        metrics: BTreeMap::from([("records".to_owned(), 7)]),
        actor: None,
    }
}

/// What ends a run.
pub fn ends(status: RunStatus) -> StepOutcome {
    StepOutcome { terminal: Some(status), ..StepOutcome::default() }
}

/// The timeline as pairs of ordinal and type.
pub async fn types(store: &dyn RunStore, run: &Run) -> Vec<(u64, EventType)> {
    let events = store.events(&run.tenant, &run.id, 0, 1_000).await.unwrap();
    events.into_iter().map(|event| (event.ordinal, event.event_type)).collect()
}
