//! How handing over fails.

use std::time::Duration;

use export_contract::ErrorCode;
use export_contract::event::WaitReason;
use export_pipeline::{Cancelled, Judged, Verdict};

/// What failed, by outcome. The vendor's error is the source.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The target does not answer, or asks to come later; worth another try.
    #[error("the target is unavailable: cannot {act}")]
    Unavailable {
        /// What was tried.
        act: String,
        /// How long the target asks to be left alone (`Retry-After`).
        after: Option<Duration>,
        /// Why it failed.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The target refuses for good: credentials, permissions, a name that it does not know.
    #[error("the target refused: cannot {act}")]
    Refused {
        /// What was tried.
        act: String,
        /// Why it failed.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The target holds other bytes than it was given, or says so.
    #[error("the target does not hold what it was given: `{what}` should be {expected}, and is {found}")]
    Differs {
        /// Name of the file or object.
        what: String,
        /// Digest or length that was sent.
        expected: String,
        /// What the target says.
        found: String,
    },
    /// Staging cannot be read, or lost what is to be handed over.
    #[error("cannot read what is to be handed over")]
    Staging(#[source] export_blobs::BlobError),
    /// Staging holds other bytes than the run wrote.
    #[error("staged `{what}` is not what the run wrote")]
    Damaged {
        /// Name of the file.
        what: String,
    },
    /// The run was cancelled.
    #[error(transparent)]
    Cancelled(Cancelled),
}

impl Judged for TargetError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Unavailable { after, .. } => Verdict::Redeliver { after: *after },
            Self::Staging(cause) if cause.is_transient() => Verdict::Wait { on: WaitReason::Staging },
            Self::Refused { .. } | Self::Differs { .. } => Verdict::FailRun(ErrorCode::DistributionFailed),
            Self::Staging(_) | Self::Damaged { .. } => Verdict::FailRun(ErrorCode::ArtefactCorrupt),
            Self::Cancelled(_) => Verdict::Cancelled,
        }
    }
}
