//! How distribute fails.

use export_contract::ErrorCode;
use export_contract::profile::DistributionKind;
use export_pipeline::{Cancelled, Judged, Verdict};

use crate::target::TargetError;

/// Why a bundle was not handed over.
#[derive(Debug, thiserror::Error)]
pub enum DistributeError {
    /// This build cannot hand over in the way that the profile wants.
    #[error("this build has no driver for distribution `{}`; take it out of the profile's `config.distribution`", .0.as_str())]
    NoDriver(DistributionKind),
    /// The profile wants a way that the configuration does not allow.
    #[error(
        "distribution `{}` is not allowed here; add it to `allow.distribution` of the distribute role, or take it out of the \
         profile's `config.distribution`",
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
    /// The run was cancelled.
    #[error(transparent)]
    Cancelled(Cancelled),
}

impl Judged for DistributeError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::NoDriver(_) | Self::NotAllowed(_) => Verdict::FailRun(ErrorCode::DistributionRefused),
            Self::Target { cause: TargetError::Unavailable(_), .. } => Verdict::Redeliver { after: None },
            Self::Target { cause: TargetError::Refused(_), .. } => Verdict::FailRun(ErrorCode::DistributionFailed),
            Self::Cancelled(_) => Verdict::Cancelled,
        }
    }
}
