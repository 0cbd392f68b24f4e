//! What schedules, webhooks and deliveries have in common as stored state, so that each driver keeps all three in one way.
//!
//! An entry is a document with a revision. Whoever changes one names the revision that the change builds on, and of several
//! writers one wins: that is all the atomicity that there is, and on every store the same.

use async_trait::async_trait;
use export_contract::schedule::Schedule;
use export_contract::webhook::{Delivery, DeliveryState};
use export_contract::{TenantId, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::RunStoreError;
use crate::webhook::{KEPT_DAYS, KeptWebhook};

/// A kind of document.
pub(crate) trait Entry: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Table or collection.
    const TABLE: &'static str;
    /// What one is called in errors.
    const NAME: &'static str;
    /// Whether the id of a removed one may be given away again.
    const COMES_AGAIN: bool = true;

    fn tenant(&self) -> &TenantId;
    /// Unique within the tenant.
    fn id(&self) -> &str;
    /// What it belongs to; empty where it stands alone.
    fn parent(&self) -> &str;
    fn revision(&self) -> u32;
    fn with_revision(self, revision: u32) -> Self;
    /// When somebody must look at it.
    fn due(&self) -> Option<Timestamp>;
}

/// A store of entries.
#[async_trait]
pub(crate) trait Entries: Send + Sync {
    /// Entries of a tenant by id: all of them rising, or, with `page`, those of a parent falling from below an id.
    async fn entries<E: Entry>(&self, tenant: &TenantId, page: Option<Page>) -> Result<Vec<E>, RunStoreError>;

    async fn entry<E: Entry>(&self, tenant: &TenantId, id: &str) -> Result<Option<E>, RunStoreError>;

    /// Writes an entry whose id is free; gives it with its revision, `None` where the id is taken.
    async fn add<E: Entry>(&self, entry: E) -> Result<Option<E>, RunStoreError>;

    /// Writes an entry that is built on the newest one, whose revision is one less; `false` where another writer was first.
    async fn replace<E: Entry>(&self, entry: E) -> Result<bool, RunStoreError>;

    /// Removes an entry; `false` where there is none.
    async fn remove<E: Entry>(&self, tenant: &TenantId, id: &str) -> Result<bool, RunStoreError>;

    /// Entries of all tenants that are due at `now`, the longest due first.
    async fn due<E: Entry>(&self, now: Timestamp, limit: u32) -> Result<Vec<E>, RunStoreError>;
}

/// Part of a list.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) parent: String,
    pub(crate) before: Option<String>,
    pub(crate) limit: u32,
}

impl Entry for Schedule {
    const TABLE: &'static str = "export_schedules";
    const NAME: &'static str = "schedule";

    fn tenant(&self) -> &TenantId {
        &self.tenant
    }
    fn id(&self) -> &str {
        self.id.as_str()
    }
    fn parent(&self) -> &'static str {
        ""
    }
    fn revision(&self) -> u32 {
        self.revision
    }
    fn with_revision(self, revision: u32) -> Self {
        Self { revision, ..self }
    }
    fn due(&self) -> Option<Timestamp> {
        self.next_due.filter(|_| self.enabled)
    }
}

impl Entry for KeptWebhook {
    const TABLE: &'static str = "export_webhooks";
    const NAME: &'static str = "webhook";

    fn tenant(&self) -> &TenantId {
        &self.webhook.tenant
    }
    fn id(&self) -> &str {
        self.webhook.id.as_str()
    }
    fn parent(&self) -> &'static str {
        ""
    }
    fn revision(&self) -> u32 {
        self.webhook.revision
    }
    fn with_revision(mut self, revision: u32) -> Self {
        self.webhook.revision = revision;
        self
    }
    fn due(&self) -> Option<Timestamp> {
        None
    }
}

impl Entry for Delivery {
    const TABLE: &'static str = "export_deliveries";
    const NAME: &'static str = "delivery";
    const COMES_AGAIN: bool = false;

    fn tenant(&self) -> &TenantId {
        &self.tenant
    }
    fn id(&self) -> &str {
        &self.id
    }
    fn parent(&self) -> &str {
        self.webhook.as_str()
    }
    fn revision(&self) -> u32 {
        self.revision
    }
    fn with_revision(self, revision: u32) -> Self {
        Self { revision, ..self }
    }
    /// Of one that is over: when it is to be removed.
    fn due(&self) -> Option<Timestamp> {
        if self.state == DeliveryState::Pending {
            self.next_attempt_at
        } else {
            Some(self.created_at.plus_seconds(KEPT_DAYS * 86_400))
        }
    }
}
