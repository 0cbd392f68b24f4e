//! How distribute fails.

use export_contract::ErrorCode;
use export_contract::profile::DistributionKind;
use export_pipeline::{Cancelled, Judged, Verdict};

use crate::target::TargetError;

/// Why a bundle was not handed over.
#[derive(Debug, thiserror::Error)]
pub enum DistributeError {
    /// The profile wants a way that is not registered here.
    #[error(
        "distribution `{}` has no driver in this deployment; allow it in `allow.distribution` or take it out of the profile",
        .0.as_str()
    )]
    NoTarget(DistributionKind),
    /// A target failed.
    #[error("cannot hand the bundle over by `{}`", kind.as_str())]
    Target {
        /// Which way.
        kind: DistributionKind,
        /// Why.
        #[source]
        cause: TargetError,
    },
    /// The run was cancelled.
    #[error(transparent)]
    Cancelled(Cancelled),
}

impl Judged for DistributeError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::NoTarget(_) => Verdict::FailRun(ErrorCode::DistributionRefused),
            Self::Target { cause: TargetError::Unavailable(_), .. } => Verdict::Redeliver { after: None },
            Self::Target { cause: TargetError::Refused(_), .. } => Verdict::FailRun(ErrorCode::DistributionFailed),
            Self::Cancelled(_) => Verdict::Cancelled,
        }
    }
}
