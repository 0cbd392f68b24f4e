//! The audit log as stored state.

use std::fmt;

use async_trait::async_trait;
use export_contract::audit::{AuditAction, AuditEntry};
use export_contract::{TenantId, Timestamp};

use crate::store::RunStoreError;

/// Entries of one page.
pub const MAX_AUDIT_PAGE: u32 = 500;

/// Which entries to list, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Of this time or later.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// Of this action only.
    pub action: Option<AuditAction>,
    /// Only entries behind this one: the place of the last one of the page before.
    pub before: Option<String>,
    /// At most so many, 1 to [`MAX_AUDIT_PAGE`].
    pub limit: u32,
}

/// One page of entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPage {
    /// The entries, newest first.
    pub entries: Vec<AuditEntry>,
    /// Whether there are more.
    pub more: bool,
}

/// The audit log of all tenants. Every promise here is kept by the conformance suite, which each driver runs.
///
/// Nobody changes an entry that says what came of it, and entries only go by [`Self::forget`].
#[async_trait]
pub trait AuditStore: Send + Sync + fmt::Debug {
    /// Writes an entry. Where there is one of that id, it stays as it is; unless it has only begun: then this one says
    /// what came of it, at the time of that one. So an entry may be written again however often.
    async fn note(&self, entry: &AuditEntry) -> Result<(), RunStoreError>;

    /// Entries of a tenant, newest first.
    async fn entries_of(&self, tenant: &TenantId, filter: &AuditFilter) -> Result<AuditPage, RunStoreError>;

    /// Removes entries of all tenants from before `until`.
    async fn forget(&self, until: Timestamp) -> Result<(), RunStoreError>;
}
