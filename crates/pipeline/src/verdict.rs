//! What a failure means for the run: the code that knows the cause decides, the host obeys.

use std::time::Duration;

use export_blobs::{BlobError, ResultError};
use export_contract::ErrorCode;
use export_contract::event::WaitReason;

/// What the host does with a delivery whose handling failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Try again: after the given time, or after the host's own growing delay. After the last try the run fails.
    Redeliver {
        /// How long to wait.
        after: Option<Duration>,
    },
    /// A store is away, which is not the command's fault: where the store's own check says so, too, the host tries again once it is back,
    /// and counts no try. Otherwise as [`Self::Redeliver`].
    Wait {
        /// Which.
        on: WaitReason,
    },
    /// No try can help: the run fails with this code.
    FailRun(ErrorCode),
    /// The run was cancelled while the stage worked: nothing is published, the delivery is done with.
    Cancelled,
}

/// An error that knows its consequence. Write the `match` without a `_` arm, so that a new cause must be judged.
pub trait Judged: std::error::Error + Send + Sync + 'static {
    /// What the failure means.
    fn verdict(&self) -> Verdict;
}

impl Judged for BlobError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Unavailable { .. } => Verdict::Wait { on: WaitReason::Staging },
            Self::Refused { .. } => Verdict::Redeliver { after: None },
            Self::NotFound(_) | Self::TooLarge { .. } => Verdict::FailRun(ErrorCode::ArtefactCorrupt),
        }
    }
}

impl Judged for ResultError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Store { cause, .. } => cause.verdict(),
            Self::Corrupt { .. } => Verdict::FailRun(ErrorCode::ArtefactCorrupt),
            Self::Unreadable { .. } => Verdict::FailRun(ErrorCode::Poisoned),
        }
    }
}
