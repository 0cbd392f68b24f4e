//! How sign fails.

use export_blobs::BlobError;
use export_canon::CanonError;
use export_contract::ErrorCode;
use export_pipeline::{Cancelled, Judged, Verdict};
use export_signing::SignError;

/// Why a run was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignStageError {
    /// `export.json` cannot be read back.
    #[error("cannot read export.json back")]
    Manifest(#[source] BlobError),
    /// A staged file is not the one that was promised; signing it would vouch for the damage.
    #[error("the staged {what} does not have the digest that was promised")]
    Corrupt {
        /// Which file.
        what: String,
    },
    /// The staged `export.json` is not one.
    #[error("the staged export.json cannot be read")]
    Parse(#[source] serde_json::Error),
    /// The profile asks for provenance that this deployment cannot honestly give.
    #[error(
        "the profile asks for `full` provenance, and this deployment does not name its builder; set `signing.builder_id`"
    )]
    NoBuilder,
    /// The signer gave nothing that verifies.
    #[error("cannot sign {what}")]
    Sign {
        /// Which file.
        what: &'static str,
        /// Why.
        #[source]
        cause: SignError,
    },
    /// A file has no canonical form.
    #[error("cannot write {what}")]
    Write {
        /// Which file.
        what: &'static str,
        /// Why.
        #[source]
        cause: CanonError,
    },
    /// A bundle cannot be serialised.
    #[error("cannot write {what}")]
    Serialise {
        /// Which file.
        what: &'static str,
        /// Why.
        #[source]
        cause: serde_json::Error,
    },
    /// A file of the bundle that is to be confirmed was there when the run was planned.
    #[error(
        "the earlier run's {what} is gone since this run was planned; run the profile again, which then makes a bundle"
    )]
    Gone {
        /// Which file.
        what: String,
    },
    /// A file of the bundle that is to be confirmed cannot be read.
    #[error("cannot read the earlier run's {what}")]
    Earlier {
        /// Which file.
        what: String,
        /// Why.
        #[source]
        cause: BlobError,
    },
    /// Staging failed.
    #[error("cannot stage {what}")]
    Stage {
        /// Which file.
        what: String,
        /// Why.
        #[source]
        cause: BlobError,
    },
    /// The run was cancelled.
    #[error(transparent)]
    Cancelled(Cancelled),
}

impl Judged for SignStageError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Manifest(cause) | Self::Earlier { cause, .. } | Self::Stage { cause, .. } => cause.verdict(),
            Self::Corrupt { .. } | Self::Gone { .. } | Self::Parse(_) => Verdict::FailRun(ErrorCode::ArtefactCorrupt),
            Self::NoBuilder => Verdict::FailRun(ErrorCode::ProfileUnsupported),
            Self::Sign { cause: SignError::Unavailable(_), .. } => Verdict::Redeliver { after: None },
            Self::Sign { cause: SignError::Refused(_) | SignError::Invalid(_), .. } => {
                Verdict::FailRun(ErrorCode::SigningFailed)
            }
            Self::Write { .. } | Self::Serialise { .. } => Verdict::FailRun(ErrorCode::Internal),
            Self::Cancelled(_) => Verdict::Cancelled,
        }
    }
}
