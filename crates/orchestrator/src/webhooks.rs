//! Webhooks: the end of each run is told to whoever asked for it, at least once.
//!
//! The end of a run stands in the outbox by the very write that ends it. The dispatcher writes a delivery for each webhook
//! that wants to know, under an id that webhook, run and event give, and then takes the run out of the outbox: who stops in
//! between does it again, to the same deliveries. A delivery is leased for the time of an attempt; a receiver that took a
//! message whose outcome was lost gets it again, under the same id.

mod backoff;
mod message;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use export_contract::run::Run;
use export_contract::webhook::{Attempt, Delivery, DeliveryState, WebhookEvent};
use export_contract::{LogEvent, TenantId, Timestamp};
use export_runs::{KeptWebhook, WebhookStore};
use export_webhooks::{Courier, Parcel, Sent};
use futures::StreamExt as _;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::error::{Chain, OrchestratorError};
use crate::ports::Clock;

/// Runs and deliveries that one pass looks at.
const PER_PASS: u32 = 200;
/// Messages under way at once.
const AT_ONCE: usize = 16;
/// Attempts that a delivery remembers.
const REMEMBERED: usize = 50;

/// What a pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dispatched {
    /// Runs taken out of the outbox.
    pub announced: u32,
    /// Messages that were taken.
    pub delivered: u32,
    /// Messages that are tried again.
    pub retried: u32,
    /// Messages that were given up.
    pub failed: u32,
    /// Deliveries that were removed, since their time was over.
    pub removed: u32,
    /// What could not be seen to this time.
    pub errors: u32,
    /// Seconds since the end of the run that is in the outbox the longest, when the pass began.
    pub outbox_age_seconds: u64,
}

/// Tells webhooks of the ends of runs. Any number of dispatchers may be at work on the same ledger.
#[derive(Clone)]
pub struct Dispatcher {
    store: Arc<dyn WebhookStore>,
    courier: Arc<dyn Courier>,
    clock: Clock,
    lease_seconds: i64,
    /// Told of the end of each run once, whichever dispatcher took it out of the outbox.
    on_end: Arc<dyn Fn(&Run) + Send + Sync>,
}

impl std::fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dispatcher").field("store", &self.store).field("courier", &self.courier).finish_non_exhaustive()
    }
}

/// What became of a delivery that somebody had to see to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Delivered,
    Retried,
    Failed,
    Removed,
    /// Another dispatcher has it.
    Others,
}

impl Dispatcher {
    /// A dispatcher. A delivery is its own for `lease`, which is to be longer than any attempt takes.
    pub fn new(store: Arc<dyn WebhookStore>, courier: Arc<dyn Courier>, clock: Clock, lease: Duration) -> Self {
        Self {
            store,
            courier,
            clock,
            lease_seconds: i64::try_from(lease.as_secs()).unwrap_or(i64::MAX),
            on_end: Arc::new(|_| ()),
        }
    }

    /// The same, and `on_end` is called with each run that has ended: once for each, by the dispatcher that took it out of the outbox. One that
    /// is killed at that moment takes the call with it, so it is good for metrics and for nothing else.
    #[must_use]
    pub fn observed_by(self, on_end: impl Fn(&Run) + Send + Sync + 'static) -> Self {
        Self { on_end: Arc::new(on_end), ..self }
    }

    /// Empties the outbox and sees to every delivery that is due. What cannot be seen to does not keep the pass from the
    /// rest.
    pub async fn pass(&self) -> Dispatched {
        let mut report = Dispatched::default();
        if let Err(error) = self.announce(&mut report).await {
            report.errors += 1;
            tracing::warn!(error = %Chain(&error), "the outbox of webhooks cannot be emptied");
        }
        let due = match self.store.due_deliveries((self.clock)(), PER_PASS).await {
            Ok(due) => due,
            Err(error) => {
                report.errors += 1;
                tracing::warn!(error = %Chain(&error), "the deliveries to webhooks cannot be read");
                return report;
            }
        };
        let mut seen = futures::stream::iter(due).map(|delivery| self.see_to(delivery)).buffer_unordered(AT_ONCE);
        while let Some(seen) = seen.next().await {
            match seen {
                Ok(Seen::Delivered) => report.delivered += 1,
                Ok(Seen::Retried) => report.retried += 1,
                Ok(Seen::Failed) => report.failed += 1,
                Ok(Seen::Removed) => report.removed += 1,
                Ok(Seen::Others) => {}
                Err(error) => {
                    report.errors += 1;
                    tracing::warn!(error = %Chain(&error), "a delivery to a webhook waits for the next look");
                }
            }
        }
        report
    }

    /// Dispatches until `stop` fires; `report` gets what each pass did.
    pub async fn run(&self, pace: Duration, stop: CancellationToken, report: impl Fn(Dispatched) + Send) {
        let mut look = tokio::time::interval(pace);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = look.tick() => {
                    // An attempt that is cut off here is made again when its lease is over.
                    tokio::select! {
                        () = stop.cancelled() => return,
                        pass = self.pass() => report(pass),
                    }
                }
            }
        }
    }

    /// Writes the deliveries of the runs in the outbox, and takes those out of it.
    async fn announce(&self, report: &mut Dispatched) -> Result<(), OrchestratorError> {
        let runs = self.store.unannounced_runs(PER_PASS).await?;
        let now = (self.clock)();
        if let Some(ended) = runs.first().and_then(|run| run.completed_at) {
            report.outbox_age_seconds = u64::try_from((now.as_micros() - ended.as_micros()) / 1_000_000).unwrap_or(0);
        }
        let mut of_tenants: BTreeMap<TenantId, Vec<KeptWebhook>> = BTreeMap::new();
        for run in &runs {
            if !of_tenants.contains_key(&run.tenant) {
                of_tenants.insert(run.tenant.clone(), self.store.webhooks(&run.tenant).await?);
            }
            for webhook in of_tenants.get(&run.tenant).into_iter().flatten() {
                if let Some(delivery) = delivery(webhook, run, now) {
                    self.store.create_delivery(&delivery).await?;
                }
            }
            if self.store.run_announced(&run.reference()).await? {
                (self.on_end)(run);
                report.announced += 1;
            }
        }
        Ok(())
    }

    async fn see_to(&self, delivery: Delivery) -> Result<Seen, OrchestratorError> {
        if delivery.state != DeliveryState::Pending {
            self.store.remove_delivery(&delivery.tenant, &delivery.id).await?;
            return Ok(Seen::Removed);
        }
        let now = (self.clock)();
        let webhook = self.store.webhook(&delivery.tenant, &delivery.webhook).await?;
        let webhook = match webhook {
            Some(webhook) if webhook.webhook.enabled => webhook,
            Some(_) => return self.give_up(delivery, now, "the webhook is disabled").await,
            None => return self.give_up(delivery, now, "the webhook was deleted").await,
        };
        let leased = Delivery {
            next_attempt_at: Some(now.plus_seconds(self.lease_seconds)),
            revision: delivery.revision.saturating_add(1),
            ..delivery
        };
        if !self.store.update_delivery(&leased).await? {
            return Ok(Seen::Others);
        }
        let sent = self
            .courier
            .send(Parcel {
                tenant: &leased.tenant,
                webhook: &leased.webhook,
                url: &webhook.webhook.url,
                sealed_secrets: &webhook.signing_at(now),
                id: &leased.id,
                at: now,
                body: &leased.body,
            })
            .await;
        let seen = self.settle(leased, now, &sent).await?;
        if sent.is_gone() {
            self.disable(webhook).await?;
        }
        Ok(seen)
    }

    /// Writes what became of an attempt.
    async fn settle(&self, leased: Delivery, at: Timestamp, sent: &Sent) -> Result<Seen, OrchestratorError> {
        let Sent { status, error, duration_ms, .. } = sent.clone();
        let attempt = Attempt { at, duration_ms, status, error };
        let now = (self.clock)();
        let mut known = leased;
        loop {
            let mut next = known.clone();
            next.attempts.push(attempt.clone());
            let forgotten = next.attempts.len().saturating_sub(REMEMBERED);
            next.attempts.drain(..forgotten);
            next.revision = known.revision.saturating_add(1);
            // Another attempt may have been taken while this one was under way.
            if known.state == DeliveryState::Pending {
                next.tries = known.tries.saturating_add(1);
                (next.state, next.next_attempt_at) = if sent.is_taken() {
                    (DeliveryState::Delivered, None)
                } else {
                    match backoff::after(next.tries, sent.retry_after, &next.id).filter(|_| !sent.is_gone()) {
                        Some(wait) => (DeliveryState::Pending, Some(now.plus_seconds(wait))),
                        None => (DeliveryState::Failed, None),
                    }
                };
            }
            if self.store.update_delivery(&next).await? {
                let (tenant, webhook, id) = (&next.tenant, &next.webhook, &next.id);
                let (state, error) = (next.state.as_str(), attempt.error.as_deref());
                tracing::info!(event = %LogEvent::WebhookSent, %tenant, %webhook, id, state, status, error, tries = next.tries, "message sent to a webhook");
                return Ok(match next.state {
                    DeliveryState::Delivered => Seen::Delivered,
                    DeliveryState::Pending => Seen::Retried,
                    DeliveryState::Failed => Seen::Failed,
                });
            }
            // Somebody asked for it again, or the lease was over.
            match self.store.delivery(&known.tenant, &known.id).await? {
                Some(newest) => known = newest,
                None => return Ok(Seen::Others),
            }
        }
    }

    /// Ends a delivery that nobody waits for any more.
    async fn give_up(&self, delivery: Delivery, at: Timestamp, reason: &str) -> Result<Seen, OrchestratorError> {
        let mut next = delivery;
        next.state = DeliveryState::Failed;
        next.next_attempt_at = None;
        next.revision = next.revision.saturating_add(1);
        next.attempts.push(Attempt { at, duration_ms: 0, status: None, error: Some(reason.to_owned()) });
        Ok(if self.store.update_delivery(&next).await? { Seen::Failed } else { Seen::Others })
    }

    /// Sends nothing to a receiver any more that wants nothing.
    async fn disable(&self, webhook: KeptWebhook) -> Result<(), OrchestratorError> {
        let mut known = webhook;
        loop {
            let mut next = known.clone();
            next.webhook.enabled = false;
            next.webhook.disabled_because = Some("the receiver answered 410 Gone".to_owned());
            next.webhook.revision = next.webhook.revision.saturating_add(1);
            if self.store.update_webhook(&next).await? {
                tracing::warn!(event = %LogEvent::WebhookDisabled, tenant = %next.webhook.tenant, webhook = %next.webhook.id, "webhook disabled: 410 Gone");
                return Ok(());
            }
            match self.store.webhook(&known.webhook.tenant, &known.webhook.id).await? {
                Some(newest) if newest.webhook.enabled => known = newest,
                _ => return Ok(()),
            }
        }
    }
}

/// The message of a run's end to a webhook, where it wants to know.
fn delivery(webhook: &KeptWebhook, run: &Run, now: Timestamp) -> Option<Delivery> {
    let event = WebhookEvent::of(run.status)?;
    let hook = &webhook.webhook;
    let wanted = hook.enabled
        && hook.events.contains(&event)
        && hook.profile_id.as_ref().is_none_or(|profile| *profile == run.profile_id)
        && run.completed_at.is_none_or(|ended| hook.created_at <= ended);
    wanted.then(|| message::of_run(hook, run, event, now))
}
