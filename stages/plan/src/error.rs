//! How plan fails.

use export_blobs::{BlobError, ResultError};
use export_canon::CanonError;
use export_contract::event::WaitReason;
use export_contract::profile::{DistributionKind, ProfileError, ProfileKind};
use export_contract::{ErrorCode, ProfileId, RunId, Sequence, TenantId};
use export_evidence::LedgerError;
use export_evidence::policy::PolicyError;
use export_pipeline::{Cancelled, Judged, Verdict};

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
    #[error("distribution `{}` is not allowed here; allow it in `allow.distribution` and configure it, or take it out of the profile", .0.as_str())]
    Distribution(DistributionKind),
    /// The profile names a registry that the deployment does not list.
    #[error(
        "registry `{host}` is not allowed here; list it in `[[oci.registries]]`, or set the profile's ociRegistry to one of: {}",
        known.join(", ")
    )]
    Registry {
        /// Which.
        host: String,
        /// Those that are listed.
        known: Vec<String>,
    },
    /// The deployment is offline, and the run would speak to a host that is not local.
    #[error(
        "this deployment is offline, and {by} leads to `{host}`, which may not be spoken to; use another distribution, or a local          host (`local_hosts` names those that do not look like it)"
    )]
    Offline {
        /// The host.
        host: String,
        /// What leads to it.
        by: String,
    },
    /// Selectors and profile have no record kind in common.
    #[error("the selectors ask for kinds that the profile does not include")]
    NoKinds,
    /// The profile wants a policy snapshot, and its adapter takes none.
    #[error("the profile's policySnapshotMode is `required`, and `{0}` takes no policy snapshot")]
    NoSnapshot(ProfileKind),
    /// Evidence of several tenants for something else than a full mirror.
    #[error("evidence of other tenants is exported as `mirror:full` only, the profile is `{0}`")]
    Across(ProfileKind),
    /// A delta without a base.
    #[error("a delta needs a base: name one in options.baseExportId, or set options.resetBaseline")]
    NoBase,
    /// The base's artefacts are no longer what the run ledger says they are.
    #[error("the base, run {run}, is no longer in staging; name a later one, or set options.resetBaseline")]
    BaseGone {
        /// The run that made it.
        run: RunId,
    },
    /// The base's records cannot be read.
    #[error("cannot read what the base is made of")]
    Base(#[source] ResultError),
    /// The base's record is not one that this build reads.
    #[error("cannot read what the base is made of")]
    BaseRecord(#[source] serde_json::Error),
    /// The base is no mirror.
    #[error("the base is `{0}`, a delta builds upon `mirror:full` or `mirror:delta`")]
    BaseKind(ProfileKind),
    /// The base holds other things than the profile says.
    #[error("the profile's {member} is not that of profile `{base}`, for which the base was made")]
    BaseProfile {
        /// Member of the configuration.
        member: &'static str,
        /// The base's profile.
        base: ProfileId,
    },
    /// The base holds other records than the selectors choose.
    #[error("the selectors are not those of the base; leave them out, a delta takes those of its base")]
    BaseSelectors,
    /// The base is newer than the delta would be.
    #[error("the base is at ledger position {}, behind position {} that the run asks for", .base.0, .asked.0)]
    BaseNewer {
        /// The base's watermark.
        base: Sequence,
        /// The run's.
        asked: Sequence,
    },
    /// The run names a policy snapshot, and nothing of it would be in the bundle.
    #[error("the run names a policySnapshotId, and {by}; leave it out, or use a profile that takes a snapshot")]
    SnapshotNotTaken {
        /// Why not.
        by: String,
    },
    /// The run names a policy snapshot that is not there.
    #[error(
        "tenant `{tenant}` has no policy snapshot `{id}`; name one that is there, or leave policySnapshotId out to take the newest"
    )]
    SnapshotMissing {
        /// Whose.
        tenant: TenantId,
        /// Which.
        id: String,
    },
    /// The profile wants a policy snapshot, and there is none at all.
    #[error(
        "tenant `{0}` has no policy snapshot, and the profile's policySnapshotMode is `required`; import one with `exportd evidence \
         import`, name a policy engine in `[policy]`, or set policySnapshotMode to `optional`"
    )]
    SnapshotsMissing(TenantId),
    /// The policy source cannot be read.
    #[error("cannot pin the policy snapshot")]
    Policy(#[source] PolicyError),
    /// The run was cancelled.
    #[error(transparent)]
    Cancelled(Cancelled),
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
            Self::Distribution(_) | Self::Registry { .. } => Verdict::FailRun(ErrorCode::DistributionRefused),
            Self::Offline { .. } => Verdict::FailRun(ErrorCode::Offline),
            Self::NoKinds | Self::Across(_) | Self::Watermark { .. } => Verdict::FailRun(ErrorCode::InvalidSelector),
            Self::NoSnapshot(_) | Self::SnapshotMissing { .. } | Self::SnapshotsMissing(_) => {
                Verdict::FailRun(ErrorCode::SnapshotMissing)
            }
            Self::SnapshotNotTaken { .. } => Verdict::FailRun(ErrorCode::InvalidRequest),
            Self::Policy(cause) if cause.is_transient() => Verdict::Redeliver { after: None },
            Self::Policy(_) => Verdict::FailRun(ErrorCode::SourceUnreadable),
            Self::Cancelled(_) => Verdict::Cancelled,
            Self::NoBase | Self::BaseGone { .. } | Self::BaseRecord(_) => Verdict::FailRun(ErrorCode::BaseMissing),
            Self::Base(ResultError::Store { cause, .. }) if cause.is_transient() => {
                Verdict::Wait { on: WaitReason::Staging }
            }
            Self::Base(_) => Verdict::FailRun(ErrorCode::BaseMissing),
            Self::BaseKind(_) | Self::BaseProfile { .. } | Self::BaseSelectors | Self::BaseNewer { .. } => {
                Verdict::FailRun(ErrorCode::BaseMismatch)
            }
            Self::Ledger(cause) if cause.is_transient() => Verdict::Wait { on: WaitReason::Evidence },
            Self::Ledger(_) => Verdict::FailRun(ErrorCode::SourceUnreadable),
            Self::Previous(cause) => cause.verdict(),
            Self::Digest(_) => Verdict::FailRun(ErrorCode::Internal),
        }
    }
}
