//! How the export of a policy snapshot fails.

use export_canon::CanonError;
use export_contract::ErrorCode;
use export_contract::message::FindingsRef;
use export_evidence::policy::PolicyError;
use export_pipeline::Verdict;

/// Why a policy snapshot was not exported.
#[derive(Debug, thiserror::Error)]
pub enum PolicyExportError {
    /// The policy source cannot be read.
    #[error("cannot read policy snapshot `{id}`")]
    Read {
        /// Which.
        id: String,
        /// Why.
        #[source]
        cause: PolicyError,
    },
    /// The snapshot that the plan pinned is no longer there, or another one stands under its id.
    #[error(
        "policy snapshot `{id}` is no longer the one that the run was planned with; start the run again to take what is there now"
    )]
    SnapshotChanged {
        /// Which.
        id: String,
    },
    /// The snapshot's findings are not those that the plan pinned.
    #[error(
        "the findings of policy snapshot `{id}` changed after the run was planned: {} with {} were pinned, {} with {} were found; \
         start the run again to take what is there now", .pinned.count, .pinned.digest, .found.count, .found.digest
    )]
    FindingsChanged {
        /// Of which snapshot.
        id: String,
        /// What the plan says.
        pinned: FindingsRef,
        /// What the source gave.
        found: FindingsRef,
    },
    /// The threads that compress cannot be started: this machine lacks something now.
    #[error("cannot start compressing findings")]
    Workers(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Findings cannot be compressed.
    #[error("cannot compress findings")]
    Compress(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A staged segment is not what was written.
    #[error("a segment of the findings is not what was staged")]
    Segment,
    /// The snapshot's document cannot be written.
    #[error("cannot write the snapshot's document")]
    Document(#[source] CanonError),
}

impl PolicyExportError {
    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Self::Read { cause, .. } if cause.is_transient() => Verdict::Redeliver { after: None },
            Self::Read { .. } => Verdict::FailRun(ErrorCode::SourceUnreadable),
            // The plan is written and names what is gone: no later try can find it.
            Self::SnapshotChanged { .. } | Self::FindingsChanged { .. } => Verdict::FailRun(ErrorCode::SnapshotChanged),
            Self::Workers(_) => Verdict::Redeliver { after: None },
            Self::Compress(_) | Self::Document(_) => Verdict::FailRun(ErrorCode::AdapterFailed),
            Self::Segment => Verdict::FailRun(ErrorCode::ArtefactCorrupt),
        }
    }
}
