//! What the stores of schedules and webhooks promise, as tests that each driver runs.

use std::sync::Arc;

use async_trait::async_trait;
use export_contract::schedule::{MissedRule, OverlapRule, Schedule};
use export_contract::selectors::{SelectorRequest, WindowRequest};
use export_contract::webhook::{Attempt, Delivery, DeliveryState, Webhook, WebhookEvent};
use export_contract::{RunId, TenantId, Timestamp, Version};

use super::{Stores, at};
use crate::audit::AuditStore;
use crate::idempotency::IdempotencyStore;
use crate::schedule::ScheduleStore;
use crate::webhook::{KeptWebhook, WebhookStore};

/// Opens the stores under test, the same state each time, as separate processes would.
#[async_trait]
pub trait EntryStores: Stores {
    /// Another handle on the schedules of the same ledger.
    async fn schedules(&self) -> Arc<dyn ScheduleStore>;
    /// Another handle on the webhooks of the same ledger.
    async fn webhooks(&self) -> Arc<dyn WebhookStore>;
    /// Another handle on the audit log of the same ledger.
    async fn audit(&self) -> Arc<dyn AuditStore>;
    /// Another handle on the keys of requests of the same ledger.
    async fn idempotency(&self) -> Arc<dyn IdempotencyStore>;
}

/// Makes one `#[tokio::test]` of each promise, as [`conformance_tests!`](crate::conformance_tests) does; `$stores` gives
/// [`EntryStores`].
#[macro_export]
macro_rules! entry_conformance_tests {
    ($stores:expr) => {
        $crate::conformance_tests!(@each $stores;
            schedules: a_schedule_reads_back_whole_and_its_id_is_taken_once,
            schedules: of_concurrent_changes_of_a_schedule_one_wins,
            schedules: a_change_that_builds_on_an_old_revision_is_refused_however_many_came_between,
            schedules: schedules_are_found_when_they_are_due_the_longest_due_first,
            schedules: a_deleted_schedule_is_gone_and_its_id_is_free_again,
            schedules: schedules_are_the_tenants_own,
            audit: an_entry_reads_back_whole_and_is_written_once_however_often_it_comes,
            audit: an_entry_that_begun_says_later_what_came_of_it_and_nothing_else_after,
            audit: of_concurrent_writers_of_an_entry_one_end_stays,
            audit: pages_of_the_log_are_newest_first_and_lose_nothing,
            audit: entries_are_found_by_time_and_action_and_forgotten_by_time,
            audit: the_log_is_the_tenants_own,
            webhooks: a_webhook_reads_back_whole_with_its_sealed_secret,
            webhooks: a_run_is_in_the_outbox_from_its_end_until_it_is_announced,
            webhooks: a_cancelled_run_is_in_the_outbox,
            webhooks: a_replayed_run_is_in_the_outbox_again_once_it_ends_again,
            webhooks: a_delivery_is_written_once_and_changed_by_one_writer_at_a_time,
            webhooks: deliveries_are_listed_newest_first_and_found_when_somebody_must_see_to_them,
            webhooks: webhooks_and_deliveries_are_the_tenants_own,
            idempotency: a_key_answers_the_same_once_it_is_settled,
            idempotency: of_concurrent_requests_with_one_key_one_is_at_work,
            idempotency: a_reservation_that_ran_out_is_taken_over_and_its_late_owner_changes_nothing,
            idempotency: a_refused_request_frees_its_key,
            idempotency: keys_are_the_tenants_own_and_are_forgotten_in_time,
        );
    };
}

/// A schedule that is due at `due`, seconds after the beginning.
pub fn schedule(tenant: &TenantId, id: &str, due: Option<i64>) -> Schedule {
    Schedule {
        v: Version,
        id: id.parse().unwrap(),
        tenant: tenant.clone(),
        profile_id: "json-raw".parse().unwrap(),
        cron: "*/5 * * * *".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        selectors: SelectorRequest {
            window: Some(WindowRequest { last: Some("7d".to_owned()), ..WindowRequest::default() }),
            kinds: vec!["vex".to_owned()],
            ..SelectorRequest::default()
        },
        options: export_contract::run::RunOptions::default(),
        enabled: true,
        missed: MissedRule::Once,
        grace_minutes: 60,
        overlap: OverlapRule::Skip,
        created_by: "alice".to_owned(),
        created_at: at(0),
        updated_by: "alice".to_owned(),
        updated_at: at(0),
        revision: 1,
        next_due: due.map(at),
        claimed: None,
        last: None,
        last_run: None,
    }
}

/// A webhook that is told of every end of a run.
pub fn webhook(tenant: &TenantId, id: &str) -> KeptWebhook {
    KeptWebhook {
        webhook: Webhook {
            v: Version,
            id: id.parse().unwrap(),
            tenant: tenant.clone(),
            url: "https://hooks.example/export".to_owned(),
            events: WebhookEvent::OF_RUNS.into(),
            profile_id: None,
            description: String::new(),
            enabled: true,
            disabled_because: None,
            former_secret_until: None,
            created_by: "alice".to_owned(),
            created_at: at(0),
            revision: 1,
        },
        sealed_secret: "sealed".to_owned(),
        former_sealed_secret: None,
    }
}

/// A delivery that is to be tried at once.
pub fn delivery(webhook: &KeptWebhook, number: u128, created_at: Timestamp) -> Delivery {
    let run = RunId::from_parts(1_800_000_000_000 + u64::try_from(number).unwrap(), number);
    Delivery {
        v: Version,
        id: format!("msg_{run}_g1_succeeded_{}", webhook.webhook.id),
        tenant: webhook.webhook.tenant.clone(),
        webhook: webhook.webhook.id.clone(),
        event: WebhookEvent::RunSucceeded,
        run: Some(run),
        state: DeliveryState::Pending,
        created_at,
        next_attempt_at: Some(created_at),
        tries: 0,
        replays: 0,
        attempts: vec![Attempt { at: created_at, duration_ms: 3, status: Some(500), error: None }],
        body: "{\"type\":\"run.succeeded\"}".to_owned(),
        revision: 1,
    }
}
