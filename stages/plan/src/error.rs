//! How plan fails.

use export_blobs::BlobError;
use export_canon::CanonError;
use export_contract::profile::{DistributionKind, ProfileError, ProfileKind};
use export_contract::{ErrorCode, Sequence};
use export_evidence::LedgerError;
use export_pipeline::{Judged, Verdict};

/// Why a run was not planned.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The profile's configuration is out of bounds.
    #[error("the profile is not valid: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Profile(Vec<ProfileError>),
    /// No adapter of this deployment makes the profile.
    #[error("no adapter of this deployment makes `{0}`")]
    NoAdapter(ProfileKind),
    /// The profile asks for a schema of its database that is not made.
    #[error("the profile's schemaVersion is {asked}, and `{kind}` is made in schema {}", made.map_or("none at all".to_owned(), |made| made.to_string()))]
    Schema {
        /// What is asked for.
        asked: u32,
        /// Of which profile.
        kind: ProfileKind,
        /// What is made.
        made: Option<u32>,
    },
    /// A distribution of the profile is not allowed here.
    #[error("distribution `{}` is not allowed here; allow it in `allow.distribution` or take it out of the profile", .0.as_str())]
    Distribution(DistributionKind),
    /// Selectors and profile have no record kind in common.
    #[error("the selectors ask for kinds that the profile does not include")]
    NoKinds,
    /// The profile wants a policy snapshot, and its adapter takes none.
    #[error("the profile's policySnapshotMode is `required`, and `{0}` takes no policy snapshot")]
    NoSnapshot(ProfileKind),
    /// The run asks for a position that the ledger has not reached.
    #[error("the run asks for ledger position {}, the ledger is at {}", .asked.0, .committed.0)]
    Watermark {
        /// What the run asks for.
        asked: Sequence,
        /// Where the ledger is.
        committed: Sequence,
    },
    /// The ledger cannot be looked at.
    #[error("cannot pin the ledger's position")]
    Ledger(#[source] LedgerError),
    /// Staging does not say whether an earlier bundle is still there.
    #[error("cannot look at the earlier run's bundle")]
    Previous(#[source] BlobError),
    /// The profile's configuration cannot be digested.
    #[error("cannot digest the profile's configuration")]
    Digest(#[source] CanonError),
}

impl Judged for PlanError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Profile(_) => Verdict::FailRun(ErrorCode::InvalidProfile),
            Self::NoAdapter(_) => Verdict::FailRun(ErrorCode::ProfileUnsupported),
            Self::Schema { .. } => Verdict::FailRun(ErrorCode::SchemaUnsupported),
            Self::Distribution(_) => Verdict::FailRun(ErrorCode::DistributionRefused),
            Self::NoKinds | Self::Watermark { .. } => Verdict::FailRun(ErrorCode::InvalidSelector),
            Self::NoSnapshot(_) => Verdict::FailRun(ErrorCode::SnapshotMissing),
            Self::Ledger(cause) if cause.is_transient() => Verdict::Redeliver { after: None },
            Self::Ledger(_) => Verdict::FailRun(ErrorCode::SourceUnreadable),
            Self::Previous(cause) => cause.verdict(),
            Self::Digest(_) => Verdict::FailRun(ErrorCode::Internal),
        }
    }
}
