//! What schedules, webhooks, deliveries and the like have in common as stored state, so that each driver keeps all of them in one way.
//!
//! An entry is a document with a revision. Whoever changes one names the revision that the change builds on, and of several
//! writers one wins: that is all the atomicity that there is, and on every store the same.

use std::collections::BTreeSet;

use async_trait::async_trait;
use export_contract::profile::ProfileKind;
use export_contract::schedule::Schedule;
use export_contract::webhook::{Delivery, DeliveryState};
use export_contract::{ProfileId, TenantId, Timestamp, Version};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::idempotency::KnownKey;
use crate::store::{DeleteOutcome, RunStore, RunStoreError};
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

impl Entry for KnownKey {
    const TABLE: &'static str = "export_idempotency";
    const NAME: &'static str = "idempotency key";
    const COMES_AGAIN: bool = false;

    fn tenant(&self) -> &TenantId {
        &self.tenant
    }
    fn id(&self) -> &str {
        &self.id
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
    /// When it is to be removed.
    fn due(&self) -> Option<Timestamp> {
        Some(self.expires_at)
    }
}

/// The mark of a profile that was deleted. It stays: runs name the profile, and its id is not given away again.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeletedProfile {
    pub(crate) v: Version<1>,
    pub(crate) tenant: TenantId,
    pub(crate) profile: ProfileId,
    pub(crate) by: String,
    pub(crate) at: Timestamp,
    pub(crate) revision: u32,
}

impl Entry for DeletedProfile {
    const TABLE: &'static str = "export_deleted_profiles";
    const NAME: &'static str = "mark of a deleted profile";

    fn tenant(&self) -> &TenantId {
        &self.tenant
    }
    fn id(&self) -> &str {
        self.profile.as_str()
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
        None
    }
}

/// Ids of the profiles of a tenant that were deleted.
pub(crate) async fn deleted_profiles(
    entries: &impl Entries,
    tenant: &TenantId,
) -> Result<BTreeSet<ProfileId>, RunStoreError> {
    let marks = entries.entries::<DeletedProfile>(tenant, None).await?;
    Ok(marks.into_iter().map(|mark| mark.profile).collect())
}

/// Whether a profile was deleted.
pub(crate) async fn is_deleted(
    entries: &impl Entries,
    tenant: &TenantId,
    profile: &ProfileId,
) -> Result<bool, RunStoreError> {
    Ok(entries.entry::<DeletedProfile>(tenant, profile.as_str()).await?.is_some())
}

/// Marks a profile that is there as deleted.
pub(crate) async fn mark_deleted<S: Entries + RunStore>(
    store: &S,
    tenant: &TenantId,
    profile: &ProfileId,
    by: &str,
    at: Timestamp,
) -> Result<DeleteOutcome, RunStoreError> {
    if ProfileKind::ALL.into_iter().any(|kind| kind.built_in_id() == *profile) {
        return Ok(DeleteOutcome::BuiltIn);
    }
    if store.profile(tenant, profile, None).await?.is_none() {
        return Ok(DeleteOutcome::NotFound);
    }
    let mark = DeletedProfile {
        v: Version,
        tenant: tenant.clone(),
        profile: profile.clone(),
        by: by.to_owned(),
        at,
        revision: 1,
    };
    // Whoever else marks it at the same time does the same.
    store.add(mark).await?;
    Ok(DeleteOutcome::Deleted)
}
