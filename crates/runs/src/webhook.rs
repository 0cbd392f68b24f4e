//! Webhooks and deliveries as stored state, and the outbox that they are fed from.

use std::fmt;

use async_trait::async_trait;
use export_contract::run::{Run, RunRef};
use export_contract::webhook::{Delivery, Webhook};
use export_contract::{TenantId, Timestamp, WebhookId};
use serde::{Deserialize, Serialize};

use crate::entries::{Entries, Page};
use crate::store::RunStoreError;

/// Webhooks of one tenant. Counted before each is written, so requests that meet may exceed it by one each.
pub const MAX_WEBHOOKS: usize = 20;
/// Days that a delivery is kept after it was written.
pub const KEPT_DAYS: i64 = 30;

/// A webhook with what signs its messages.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptWebhook {
    /// What may be shown.
    pub webhook: Webhook,
    /// The secret as it is kept: encrypted, in the form that whoever sends and makes secrets agrees on.
    pub sealed_secret: String,
    /// The one before it, kept likewise; it signs as well until [`Webhook::former_secret_until`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_sealed_secret: Option<String>,
}

impl KeptWebhook {
    /// The sealed secrets that sign what is sent at `at`, the newest first.
    pub fn signing_at(&self, at: Timestamp) -> Vec<&str> {
        let overlaps = self.webhook.former_secret_until.is_some_and(|until| at < until);
        let former = self.former_sealed_secret.as_deref().filter(|_| overlaps);
        std::iter::once(self.sealed_secret.as_str()).chain(former).collect()
    }
}

impl fmt::Debug for KeptWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptWebhook").field("webhook", &self.webhook).finish_non_exhaustive()
    }
}

/// One page of deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryPage {
    /// The deliveries, newest first.
    pub deliveries: Vec<Delivery>,
    /// Whether there are more.
    pub more: bool,
}

/// The outbox: runs whose end nobody was told of. The end of a run stands in it by the very write that ends the run.
#[async_trait]
pub(crate) trait Outbox: Send + Sync {
    async fn unannounced(&self, limit: u32) -> Result<Vec<Run>, RunStoreError>;
    async fn announced(&self, run: &RunRef) -> Result<bool, RunStoreError>;
}

/// The webhooks of all tenants. Every promise here is kept by the conformance suite, which each driver runs.
///
/// Each call is atomic. Nothing of another tenant is ever found.
#[async_trait]
pub trait WebhookStore: Send + Sync + fmt::Debug {
    /// Webhooks of a tenant by id.
    async fn webhooks(&self, tenant: &TenantId) -> Result<Vec<KeptWebhook>, RunStoreError>;

    /// One webhook.
    async fn webhook(&self, tenant: &TenantId, id: &WebhookId) -> Result<Option<KeptWebhook>, RunStoreError>;

    /// Writes a new webhook and gives it with its revision; `None` where there is one of that id.
    async fn create_webhook(&self, webhook: &KeptWebhook) -> Result<Option<KeptWebhook>, RunStoreError>;

    /// Writes a webhook that is built on the stored one, whose revision is one less; `false` where another writer was
    /// first, or there is none.
    async fn update_webhook(&self, webhook: &KeptWebhook) -> Result<bool, RunStoreError>;

    /// Removes a webhook; `false` where there is none. Its deliveries stay until their time is over.
    async fn delete_webhook(&self, tenant: &TenantId, id: &WebhookId) -> Result<bool, RunStoreError>;

    /// Runs of all tenants that have ended and were not [announced](Self::run_announced), at most `limit`. Runs that had
    /// ended before there was an outbox are none of them.
    async fn unannounced_runs(&self, limit: u32) -> Result<Vec<Run>, RunStoreError>;

    /// Takes the end of a run out of the outbox; `false` where it is not in it (any more). Of several callers one is told that it did.
    async fn run_announced(&self, run: &RunRef) -> Result<bool, RunStoreError>;

    /// Writes a delivery; `false` where there is one of that id.
    async fn create_delivery(&self, delivery: &Delivery) -> Result<bool, RunStoreError>;

    /// One delivery.
    async fn delivery(&self, tenant: &TenantId, id: &str) -> Result<Option<Delivery>, RunStoreError>;

    /// Deliveries to a webhook, newest first, with ids below `before`.
    async fn deliveries(
        &self,
        tenant: &TenantId,
        webhook: &WebhookId,
        before: Option<&str>,
        limit: u32,
    ) -> Result<DeliveryPage, RunStoreError>;

    /// Writes a delivery that is built on the stored one, whose revision is one less; `false` where another writer was first.
    async fn update_delivery(&self, delivery: &Delivery) -> Result<bool, RunStoreError>;

    /// Deliveries of all tenants that somebody must see to at `now`, the longest due first: those to be tried, and those
    /// that were written [`KEPT_DAYS`] ago and are over.
    async fn due_deliveries(&self, now: Timestamp, limit: u32) -> Result<Vec<Delivery>, RunStoreError>;

    /// Removes a delivery for good.
    async fn remove_delivery(&self, tenant: &TenantId, id: &str) -> Result<bool, RunStoreError>;
}

#[async_trait]
impl<S: Entries + Outbox + fmt::Debug> WebhookStore for S {
    async fn webhooks(&self, tenant: &TenantId) -> Result<Vec<KeptWebhook>, RunStoreError> {
        self.entries(tenant, None).await
    }

    async fn webhook(&self, tenant: &TenantId, id: &WebhookId) -> Result<Option<KeptWebhook>, RunStoreError> {
        self.entry(tenant, id.as_str()).await
    }

    async fn create_webhook(&self, webhook: &KeptWebhook) -> Result<Option<KeptWebhook>, RunStoreError> {
        self.add(webhook.clone()).await
    }

    async fn update_webhook(&self, webhook: &KeptWebhook) -> Result<bool, RunStoreError> {
        self.replace(webhook.clone()).await
    }

    async fn delete_webhook(&self, tenant: &TenantId, id: &WebhookId) -> Result<bool, RunStoreError> {
        self.remove::<KeptWebhook>(tenant, id.as_str()).await
    }

    async fn unannounced_runs(&self, limit: u32) -> Result<Vec<Run>, RunStoreError> {
        self.unannounced(limit).await
    }

    async fn run_announced(&self, run: &RunRef) -> Result<bool, RunStoreError> {
        self.announced(run).await
    }

    async fn create_delivery(&self, delivery: &Delivery) -> Result<bool, RunStoreError> {
        Ok(self.add(delivery.clone()).await?.is_some())
    }

    async fn delivery(&self, tenant: &TenantId, id: &str) -> Result<Option<Delivery>, RunStoreError> {
        self.entry(tenant, id).await
    }

    async fn deliveries(
        &self,
        tenant: &TenantId,
        webhook: &WebhookId,
        before: Option<&str>,
        limit: u32,
    ) -> Result<DeliveryPage, RunStoreError> {
        let limit = limit.clamp(1, 200);
        let page = Page { parent: webhook.to_string(), before: before.map(str::to_owned), limit: limit + 1 };
        let mut deliveries: Vec<Delivery> = self.entries(tenant, Some(page)).await?;
        let more = deliveries.len() > limit as usize;
        deliveries.truncate(limit as usize);
        Ok(DeliveryPage { deliveries, more })
    }

    async fn update_delivery(&self, delivery: &Delivery) -> Result<bool, RunStoreError> {
        self.replace(delivery.clone()).await
    }

    async fn due_deliveries(&self, now: Timestamp, limit: u32) -> Result<Vec<Delivery>, RunStoreError> {
        self.due(now, limit).await
    }

    async fn remove_delivery(&self, tenant: &TenantId, id: &str) -> Result<bool, RunStoreError> {
        self.remove::<Delivery>(tenant, id).await
    }
}
