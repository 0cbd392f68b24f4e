//! How distribute fails.

use export_blobs::ResultError;
use export_contract::ErrorCode;
use export_contract::profile::DistributionKind;
use export_pipeline::{Cancelled, Judged, Verdict};
use export_targets::TargetError;

/// Why a bundle was not handed over.
#[derive(Debug, thiserror::Error)]
pub enum DistributeError {
    /// The profile wants a way that the deployment does not have.
    #[error(
        "distribution `{}` is not set up here; allow it in `allow.distribution` of the distribute role and configure it there, or take \
         it out of the profile's `config.distribution`",
        .0.as_str()
    )]
    NotAllowed(DistributionKind),
    /// A target failed.
    #[error("cannot hand the bundle over by `{}`", kind.as_str())]
    Target {
        /// Which way.
        kind: DistributionKind,
        /// Why.
        #[source]
        cause: TargetError,
    },
    /// Where the bundle was going to be could not be written down.
    #[error("cannot write down where the bundle is handed over to")]
    Record(#[source] ResultError),
    /// The run was cancelled.
    #[error(transparent)]
    Cancelled(Cancelled),
}

impl Judged for DistributeError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::NotAllowed(_) => Verdict::FailRun(ErrorCode::DistributionRefused),
            Self::Target { cause, .. } => cause.verdict(),
            Self::Record(cause) => cause.verdict(),
            Self::Cancelled(_) => Verdict::Cancelled,
        }
    }
}
