//! How manifest fails.

use export_blobs::BlobError;
use export_canon::CanonError;
use export_canon::tar::TarError;
use export_contract::ErrorCode;
use export_pipeline::{Cancelled, Judged, Verdict};
use export_sealing::{SealError, SealingError, WrapError};
use tokio::task::JoinError;

/// Why a run's manifest or bundle was not written.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// `export.json` has no canonical form.
    #[error("cannot write export.json")]
    Canonical(#[source] CanonError),
    /// Staging failed.
    #[error("cannot stage `{path}`")]
    Stage {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        cause: BlobError,
    },
    /// A file has no place in a tar.
    #[error("cannot add `{path}` to the bundle")]
    Archive {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        cause: TarError,
    },
    /// A staged file is not what adapt said it is.
    #[error("`{path}` does not have the digest and length that adapt promised")]
    Corrupt {
        /// Which file.
        path: String,
    },
    /// The run's key cannot be made or given to those who should have it. Told in its own words: the run shows only the first.
    #[error(transparent)]
    Sealing(SealingError),
    /// A file was not encrypted.
    #[error("cannot encrypt `{path}`")]
    Seal {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        cause: SealError,
    },
    /// The thread that encrypts ended.
    #[error("the thread that encrypts `{path}` ended")]
    Thread {
        /// Which file.
        path: String,
        /// How.
        #[source]
        cause: JoinError,
    },
    /// The run was cancelled.
    #[error(transparent)]
    Cancelled(Cancelled),
}

impl Judged for ManifestError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Canonical(_) | Self::Archive { .. } => Verdict::FailRun(ErrorCode::Internal),
            Self::Stage { cause, .. } => cause.verdict(),
            Self::Corrupt { .. } => Verdict::FailRun(ErrorCode::ArtefactCorrupt),
            Self::Sealing(cause) => sealing(cause),
            Self::Seal { .. } | Self::Thread { .. } => Verdict::FailRun(ErrorCode::Internal),
            Self::Cancelled(_) => Verdict::Cancelled,
        }
    }
}

/// A keeper that is away is waited for; all else is for whoever owns the profile or the deployment.
fn sealing(cause: &SealingError) -> Verdict {
    match cause {
        SealingError::Recipient { cause: WrapError::Unavailable(_), .. } => Verdict::Redeliver { after: None },
        SealingError::Nobody
        | SealingError::TooMany(_)
        | SealingError::Text(_)
        | SealingError::Recipient {
            cause:
                WrapError::Refused(_)
                | WrapError::NotConfigured(..)
                | WrapError::NoPrivateHalf
                | WrapError::NoKeeper
                | WrapError::NotAKey,
            ..
        } => Verdict::FailRun(ErrorCode::EncryptionFailed),
        SealingError::Key(_) => Verdict::FailRun(ErrorCode::Internal),
    }
}
