//! The port that runs read policy through, and its errors.

use std::fmt;
use std::pin::Pin;

use async_trait::async_trait;
use export_contract::{TenantId, Timestamp};
use futures::{Stream, stream};

use super::{PolicyFinding, PolicySnapshot};
use crate::LedgerError;

/// A batch ends with the finding that brings it to one of these.
pub(super) const BATCH_BYTES: usize = 1 << 20;
pub(super) const BATCH_FINDINGS: usize = 1_024;
/// Batches that may wait for the reader.
pub(super) const BATCHES_AHEAD: usize = 2;

/// What failed, by outcome. The vendor's error is the source.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The source does not answer; worth another try.
    #[error("the policy source does not answer: cannot {act}")]
    Unavailable {
        /// What was tried.
        act: String,
        /// Why it failed.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The source refuses for good, or gives what it must not give.
    #[error("the policy source is of no use: cannot {act}")]
    Refused {
        /// What was tried.
        act: String,
        /// Why it failed.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl PolicyError {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    pub(crate) fn refused(act: impl Into<String>, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Refused { act: act.into(), cause: cause.into() }
    }
}

impl From<LedgerError> for PolicyError {
    fn from(error: LedgerError) -> Self {
        let transient = error.is_transient();
        let (act, cause): (String, Box<dyn std::error::Error + Send + Sync>) = match error {
            LedgerError::Unavailable { act, cause } | LedgerError::Refused { act, cause } => (act, cause),
            other @ (LedgerError::ImportInProgress { .. } | LedgerError::LeaseLost { .. }) => {
                ("read policy".to_owned(), other.into())
            }
        };
        if transient { Self::Unavailable { act, cause } } else { Self::Refused { act, cause } }
    }
}

/// A snapshot in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotName {
    /// Its id.
    pub snapshot_id: String,
    /// When the engine made it.
    pub generated_at: Timestamp,
}

/// Findings in batches of a megabyte, or of one finding that is larger; no batch is empty.
pub type FindingStream = Pin<Box<dyn Stream<Item = Result<Vec<PolicyFinding>, PolicyError>> + Send>>;

/// Where runs read policy snapshots and their findings. Kept by the suite, which every driver runs.
///
/// Nothing of one tenant is given for another. A snapshot may be replaced at any time: who must have the same twice compares
/// digests.
#[async_trait]
pub trait PolicySource: Send + Sync + fmt::Debug {
    /// The tenant's snapshots, oldest first: by `generated_at`, then id.
    async fn snapshots(&self, tenant: &TenantId) -> Result<Vec<SnapshotName>, PolicyError>;

    /// The snapshot of that id.
    async fn snapshot(&self, tenant: &TenantId, snapshot_id: &str) -> Result<Option<PolicySnapshot>, PolicyError>;

    /// The last of [`snapshots`](Self::snapshots).
    async fn newest(&self, tenant: &TenantId) -> Result<Option<PolicySnapshot>, PolicyError>;

    /// All findings of a snapshot, keys rising. Of a snapshot that is not there there are none.
    async fn findings(&self, tenant: &TenantId, snapshot_id: &str) -> Result<FindingStream, PolicyError>;
}

/// A source without snapshots: for a run that was planned when there were none.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPolicy;

#[async_trait]
impl PolicySource for NoPolicy {
    async fn snapshots(&self, _tenant: &TenantId) -> Result<Vec<SnapshotName>, PolicyError> {
        Ok(Vec::new())
    }
    async fn snapshot(&self, _tenant: &TenantId, _id: &str) -> Result<Option<PolicySnapshot>, PolicyError> {
        Ok(None)
    }
    async fn newest(&self, _tenant: &TenantId) -> Result<Option<PolicySnapshot>, PolicyError> {
        Ok(None)
    }
    async fn findings(&self, _tenant: &TenantId, _id: &str) -> Result<FindingStream, PolicyError> {
        Ok(Box::pin(stream::empty()))
    }
}
