//! The ends of runs reach receivers, whoever lies or is killed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use export_contract::event::EventType;
use export_contract::run::{Run, RunRef, RunStatus};
use export_contract::webhook::{Delivery, DeliveryState, WebhookEvent};
use export_contract::{TenantId, Timestamp, WebhookId};
use export_orchestrator::{Dispatched, Dispatcher};
use export_runs::store::RunStoreError;
use export_runs::suite::{ends, entries, fact};
use export_runs::webhook::{DeliveryPage, KEPT_DAYS};
use export_runs::{KeptWebhook, SqliteRuns, WebhookStore};
use export_webhooks::receiver::{Answer, Received, Receiver};
use export_webhooks::{AddressRules, HttpCourier, SecretKeeper, SystemLookup, WebhookSecret};
use serde_json::Value;

use super::desk::{Desk, acme, at};

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// The store of a process that is killed before one of its writes.
#[derive(Debug)]
struct Dying {
    store: SqliteRuns,
    left: AtomicU32,
}

impl Dying {
    fn write(&self) -> Result<(), RunStoreError> {
        let dead = |_| RunStoreError::Unavailable { act: "write after its death".to_owned(), cause: "killed".into() };
        self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).map(|_| ()).map_err(dead)
    }
}

#[async_trait]
impl WebhookStore for Dying {
    async fn webhooks(&self, tenant: &TenantId) -> Result<Vec<KeptWebhook>, RunStoreError> {
        self.store.webhooks(tenant).await
    }
    async fn webhook(&self, tenant: &TenantId, id: &WebhookId) -> Result<Option<KeptWebhook>, RunStoreError> {
        self.store.webhook(tenant, id).await
    }
    async fn create_webhook(&self, webhook: &KeptWebhook) -> Result<Option<KeptWebhook>, RunStoreError> {
        self.store.create_webhook(webhook).await
    }
    async fn update_webhook(&self, webhook: &KeptWebhook) -> Result<bool, RunStoreError> {
        self.write()?;
        self.store.update_webhook(webhook).await
    }
    async fn delete_webhook(&self, tenant: &TenantId, id: &WebhookId) -> Result<bool, RunStoreError> {
        self.store.delete_webhook(tenant, id).await
    }
    async fn unannounced_runs(&self, limit: u32) -> Result<Vec<Run>, RunStoreError> {
        self.store.unannounced_runs(limit).await
    }
    async fn run_announced(&self, run: &RunRef) -> Result<bool, RunStoreError> {
        self.write()?;
        self.store.run_announced(run).await
    }
    async fn create_delivery(&self, delivery: &Delivery) -> Result<bool, RunStoreError> {
        self.write()?;
        self.store.create_delivery(delivery).await
    }
    async fn delivery(&self, tenant: &TenantId, id: &str) -> Result<Option<Delivery>, RunStoreError> {
        self.store.delivery(tenant, id).await
    }
    async fn deliveries(
        &self,
        tenant: &TenantId,
        webhook: &WebhookId,
        before: Option<&str>,
        limit: u32,
    ) -> Result<DeliveryPage, RunStoreError> {
        self.store.deliveries(tenant, webhook, before, limit).await
    }
    async fn update_delivery(&self, delivery: &Delivery) -> Result<bool, RunStoreError> {
        self.write()?;
        self.store.update_delivery(delivery).await
    }
    async fn due_deliveries(&self, now: Timestamp, limit: u32) -> Result<Vec<Delivery>, RunStoreError> {
        self.store.due_deliveries(now, limit).await
    }
    async fn remove_delivery(&self, tenant: &TenantId, id: &str) -> Result<bool, RunStoreError> {
        self.store.remove_delivery(tenant, id).await
    }
}

impl Desk {
    fn webhooks(&self) -> SqliteRuns {
        SqliteRuns::open(&self.folder.path().join("runs.db")).unwrap()
    }

    fn dispatcher(&self) -> Dispatcher {
        self.dispatcher_that_writes(u32::MAX)
    }

    /// One that is killed after so many writes.
    fn dispatcher_that_writes(&self, writes: u32) -> Dispatcher {
        let _already_chosen = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let here = BTreeSet::from(["127.0.0.1".to_owned()]);
        let rules = AddressRules { allow_http_hosts: here.clone(), allow_private_hosts: here, offline: false };
        let keeper = Arc::new(SecretKeeper::new(KEY).unwrap());
        let courier = HttpCourier::new(rules, keeper, Arc::new(SystemLookup), Duration::from_millis(500)).unwrap();
        let store = Arc::new(Dying { store: self.webhooks(), left: AtomicU32::new(writes) });
        Dispatcher::new(store, Arc::new(courier), self.ports().clock, Duration::from_mins(1))
    }

    /// Makes a webhook of a receiver; gives it with its secret.
    async fn hook(&self, id: &str, receiver: &Receiver) -> (KeptWebhook, String) {
        let secret = WebhookSecret::random();
        let mut kept = entries::webhook(&acme(), id);
        kept.webhook.url = receiver.url();
        kept.sealed_secret = SecretKeeper::new(KEY).unwrap().seal(&secret, "acme", id).unwrap();
        let kept = self.webhooks().create_webhook(&kept).await.unwrap().unwrap();
        (kept, secret.shown())
    }

    /// Submits a run and ends it.
    async fn ended(&self, status: RunStatus) -> RunRef {
        let run = self.submit().await;
        if status == RunStatus::Aborted {
            self.ledger.cancel(&run.tenant, &run.run, "bob", at(1)).await.unwrap();
        } else {
            self.ledger.admit(&run.tenant, u32::MAX, at(1)).await.unwrap();
            let event = fact("g1.end", EventType::RunSucceeded, 1);
            assert!(self.ledger.record(&run, &event, &ends(status)).await.unwrap());
        }
        run
    }

    async fn deliveries(&self, webhook: &KeptWebhook) -> Vec<Delivery> {
        self.webhooks().deliveries(&acme(), &webhook.webhook.id, None, 200).await.unwrap().deliveries
    }
}

fn types(received: &[Received]) -> Vec<String> {
    let body = |received: &Received| serde_json::from_str::<Value>(&received.body).unwrap();
    received.iter().map(|received| body(received)["type"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn each_end_of_a_run_is_told_once_to_whoever_asked_for_it() {
    let desk = Desk::new().await;
    let (all, failures, others) = (Receiver::start([]).await, Receiver::start([]).await, Receiver::start([]).await);
    // What ended before there was a webhook is none of its business.
    desk.ended(RunStatus::Succeeded).await;
    desk.pass(1);
    assert_eq!(desk.dispatcher().pass().await.announced, 1);
    let (everything, secret) = desk.hook("everything", &all).await;
    let (mut only, _) = desk.hook("only-failures", &failures).await;
    only.webhook.events = [WebhookEvent::RunFailed].into();
    only.webhook.revision += 1;
    assert!(desk.webhooks().update_webhook(&only).await.unwrap());
    let (mut another, _) = desk.hook("another-profile", &others).await;
    another.webhook.profile_id = Some("trivy-db".parse().unwrap());
    another.webhook.revision += 1;
    assert!(desk.webhooks().update_webhook(&another).await.unwrap());
    let mut runs = Vec::new();
    for status in [RunStatus::Succeeded, RunStatus::Failed, RunStatus::Aborted] {
        runs.push(desk.ended(status).await);
    }
    let report = desk.dispatcher().pass().await;
    assert_eq!((report.announced, report.delivered, report.errors), (3, 4, 0));
    assert_eq!(desk.dispatcher().pass().await, Dispatched::default());
    let mut told = types(&all.received());
    told.sort();
    assert_eq!(told, ["run.aborted", "run.failed", "run.succeeded"]);
    assert_eq!(types(&failures.received()), ["run.failed"]);
    assert_eq!(others.received().len(), 0);
    for received in all.received() {
        assert!(received.is_signed_by(&secret));
        assert!(!received.id().contains('.'), "{}", received.id());
        let body: Value = serde_json::from_str(&received.body).unwrap();
        let data = &body["data"];
        assert_eq!((data["tenant"].as_str(), data["profileId"].as_str()), (Some("acme"), Some("json-raw")));
        assert!(runs.iter().any(|run| data["runId"].as_str() == Some(run.run.as_str())), "{body}");
        assert_eq!(body["type"].as_str().unwrap(), format!("run.{}", data["status"].as_str().unwrap()));
        assert!(data["links"]["self"].as_str().unwrap().starts_with("/api/export/runs/"));
        assert!(received.body.len() < 2_000);
    }
    let log = desk.deliveries(&everything).await;
    assert!(log.iter().all(|delivery| delivery.state == DeliveryState::Delivered && delivery.attempts.len() == 1));
}

#[tokio::test]
async fn what_a_lying_receiver_does_is_told_and_tried_again() {
    let desk = Desk::new().await;
    let receiver = Receiver::start([
        Answer::status(500),
        Answer::Status(429, vec!["Retry-After: 3600".to_owned()]),
        Answer::Cut,
        Answer::Silence,
    ])
    .await;
    let (hook, secret) = desk.hook("hook", &receiver).await;
    desk.ended(RunStatus::Succeeded).await;
    let dispatcher = desk.dispatcher();
    assert_eq!(dispatcher.pass().await, Dispatched { announced: 1, retried: 1, ..Dispatched::default() });
    assert_eq!(dispatcher.pass().await, Dispatched::default(), "its time has not come");
    // Not before the 429 said; then ever later.
    for (seconds, retried) in [(6, 1), (3_599, 0), (1, 1), (2_000, 1)] {
        desk.pass(seconds);
        assert_eq!(dispatcher.pass().await.retried, retried, "{seconds}");
    }
    desk.pass(8_000);
    assert_eq!(dispatcher.pass().await, Dispatched { delivered: 1, ..Dispatched::default() });
    let received = receiver.received();
    let ids: BTreeSet<&str> = received.iter().map(Received::id).collect();
    let times: BTreeSet<&str> = received.iter().map(|received| received.header("webhook-timestamp")).collect();
    assert_eq!((received.len(), ids.len(), times.len()), (5, 1, 5), "one id, and each attempt its own time");
    assert!(received.iter().all(|received| received.is_signed_by(&secret)));
    let [delivery] = desk.deliveries(&hook).await.try_into().unwrap();
    assert_eq!((delivery.state, delivery.tries), (DeliveryState::Delivered, 5));
    let statuses: Vec<Option<u16>> = delivery.attempts.iter().map(|attempt| attempt.status).collect();
    assert_eq!(statuses, [Some(500), Some(429), None, None, Some(204)]);
}

#[tokio::test]
async fn a_message_that_nobody_takes_for_three_days_is_given_up_and_can_be_replayed() {
    let desk = Desk::new().await;
    let receiver = Receiver::start(vec![Answer::status(503); 10]).await;
    let (hook, _) = desk.hook("hook", &receiver).await;
    desk.ended(RunStatus::Failed).await;
    let dispatcher = desk.dispatcher();
    let mut hours = 0;
    while desk.deliveries(&hook).await.first().is_none_or(|delivery| delivery.state == DeliveryState::Pending) {
        dispatcher.pass().await;
        desk.pass(3_600);
        hours += 1;
    }
    assert!((72..=96).contains(&hours), "{hours}");
    assert_eq!(receiver.received().len(), 10);
    let [failed] = desk.deliveries(&hook).await.try_into().unwrap();
    assert_eq!((failed.state, failed.next_attempt_at), (DeliveryState::Failed, None));
    let again = Delivery {
        state: DeliveryState::Pending,
        next_attempt_at: Some((desk.ports().clock)()),
        tries: 0,
        replays: 1,
        revision: failed.revision + 1,
        ..failed
    };
    assert!(desk.webhooks().update_delivery(&again).await.unwrap());
    assert_eq!(dispatcher.pass().await.delivered, 1);
    assert_eq!(receiver.received().last().unwrap().id(), again.id);
    // And its log is gone when its time is over.
    desk.pass(KEPT_DAYS * 86_400);
    assert_eq!(dispatcher.pass().await, Dispatched { removed: 1, ..Dispatched::default() });
    assert_eq!(desk.deliveries(&hook).await, []);
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_sent_nothing_more() {
    let desk = Desk::new().await;
    let receiver = Receiver::start([Answer::status(410)]).await;
    let (hook, _) = desk.hook("hook", &receiver).await;
    desk.ended(RunStatus::Failed).await;
    assert_eq!(desk.dispatcher().pass().await.failed, 1);
    let kept = desk.webhooks().webhook(&acme(), &hook.webhook.id).await.unwrap().unwrap();
    assert!(!kept.webhook.enabled);
    assert_eq!(kept.webhook.disabled_because.as_deref(), Some("the receiver answered 410 Gone"));
    desk.ended(RunStatus::Failed).await;
    desk.pass(100);
    let report = desk.dispatcher().pass().await;
    assert_eq!((report.announced, report.delivered + report.retried + report.failed), (1, 0));
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test]
async fn messages_to_a_webhook_that_was_deleted_end() {
    let desk = Desk::new().await;
    let receiver = Receiver::start([Answer::status(500)]).await;
    let (hook, _) = desk.hook("hook", &receiver).await;
    desk.ended(RunStatus::Failed).await;
    desk.dispatcher().pass().await;
    assert!(desk.webhooks().delete_webhook(&acme(), &hook.webhook.id).await.unwrap());
    desk.pass(60);
    assert_eq!(desk.dispatcher().pass().await, Dispatched { failed: 1, ..Dispatched::default() });
    let [ended] = desk.deliveries(&hook).await.try_into().unwrap();
    assert_eq!(ended.attempts.last().unwrap().error.as_deref(), Some("the webhook was deleted"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn dispatchers_that_look_at_once_send_a_message_once() {
    let desk = Desk::new().await;
    let receiver = Receiver::start([]).await;
    desk.hook("hook", &receiver).await;
    for _ in 0..5 {
        desk.ended(RunStatus::Succeeded).await;
    }
    let looks: Vec<_> = (0..4)
        .map(|_| {
            let dispatcher = desk.dispatcher();
            tokio::spawn(async move { dispatcher.pass().await })
        })
        .collect();
    for look in looks {
        assert_eq!(look.await.unwrap().errors, 0);
    }
    desk.dispatcher().pass().await;
    let ids: BTreeSet<String> = receiver.received().iter().map(|received| received.id().to_owned()).collect();
    assert_eq!((receiver.received().len(), ids.len()), (5, 5));
}

#[tokio::test]
async fn a_kill_at_any_step_of_the_outbox_loses_no_message() {
    // Two deliveries, the run, two leases, two outcomes: seven writes, and a kill before each of them and after all.
    for writes in 0..=7 {
        let desk = Desk::new().await;
        let (one, two) = (Receiver::start([]).await, Receiver::start([]).await);
        desk.hook("one", &one).await;
        desk.hook("two", &two).await;
        desk.ended(RunStatus::Succeeded).await;
        let killed = desk.dispatcher_that_writes(writes).pass().await;
        assert_eq!(killed.errors == 0, writes == 7, "{writes}: {killed:?}");
        // The lease of what was under way is over.
        desk.pass(120);
        let next = desk.dispatcher().pass().await;
        assert_eq!(next.errors, 0, "{writes}");
        assert_eq!(desk.dispatcher().pass().await, Dispatched::default(), "{writes}");
        for receiver in [&one, &two] {
            let received = receiver.received();
            let ids: BTreeSet<&str> = received.iter().map(Received::id).collect();
            assert_eq!(ids.len(), 1, "{writes}: every message came, under one id");
            assert!(received.len() <= 2, "{writes}: at most the one whose outcome was lost came again");
        }
    }
}
