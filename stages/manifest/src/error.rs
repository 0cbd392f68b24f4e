//! How manifest fails.

use export_blobs::BlobError;
use export_canon::CanonError;
use export_canon::tar::TarError;
use export_contract::ErrorCode;
use export_pipeline::{Cancelled, Judged, Verdict};

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
            Self::Cancelled(_) => Verdict::Cancelled,
        }
    }
}
