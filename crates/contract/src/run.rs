//! A run: its states, its phases, and the record that the run ledger keeps and the API shows.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::approval::RunApproval;
use crate::event::Waiting;
use crate::message::{Distribution, InputRange, PolicySnapshotRef};
use crate::profile::ProfileKind;
use crate::retention::Expiry;
use crate::selectors::Selectors;
use crate::verification::Verification;
use crate::{Digest, ErrorCode, Generation, ProfileId, RunId, Sequence, TenantId, Timestamp, Version};

/// State of a run (design D10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// Written, waiting for a slot of its tenant.
    Pending,
    /// Admitted; some stage has it.
    Running,
    /// Its bundle is signed and handed over.
    Succeeded,
    /// A stage gave up; `error_code` says why.
    Failed,
    /// Cancelled.
    Aborted,
}

impl RunStatus {
    /// Every status.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Running, Self::Succeeded, Self::Failed, Self::Aborted];

    /// The lower-case name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
        }
    }

    /// Whether nothing more will happen, short of a replay.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Aborted)
    }

    /// Whether a run may step from this status to `next`. Terminal states are left only by a replay, which
    /// raises the generation and starts again at `pending`.
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Pending => matches!(next, Self::Running | Self::Failed | Self::Aborted),
            Self::Running => next.is_terminal(),
            Self::Succeeded | Self::Failed | Self::Aborted => false,
        }
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for RunStatus {
    type Err = UnknownStatus;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or_else(|| UnknownStatus(text.to_owned()))
    }
}

/// A text that names no [`RunStatus`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a run status: use pending, running, succeeded, failed or aborted")]
pub struct UnknownStatus(String);

/// A phase of a run: one per stage, in pipeline order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Pins everything that the run depends on.
    Plan,
    /// Cuts the evidence into parts.
    Resolve,
    /// Writes the parts and joins them.
    Adapt,
    /// Writes `export.json` and the bundle.
    Manifest,
    /// Signs.
    Sign,
    /// Hands over.
    Distribute,
}

impl Phase {
    /// Every phase, in pipeline order.
    pub const ALL: [Self; 6] = [Self::Plan, Self::Resolve, Self::Adapt, Self::Manifest, Self::Sign, Self::Distribute];

    /// The name in subjects, staging keys and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Resolve => "resolve",
            Self::Adapt => "adapt",
            Self::Manifest => "manifest",
            Self::Sign => "sign",
            Self::Distribute => "distribute",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Phase {
    type Err = UnknownPhase;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == text).ok_or_else(|| UnknownPhase(text.to_owned()))
    }
}

/// A text that names no [`Phase`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a phase of a run")]
pub struct UnknownPhase(String);

/// Choices of one run that are not selectors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RunOptions {
    /// The policy snapshot to use; absent means the newest, where the profile takes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_snapshot_id: Option<String>,
    /// The base of a delta: run id, manifest digest or OCI digest (design D25).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_export_id: Option<String>,
    /// Makes a delta that holds the new mirror whole and builds upon nothing, for consumers that lost their base.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reset_baseline: bool,
    /// Export the ledger as it was at this position instead of its newest; for rebuilds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watermark: Option<Sequence>,
}

/// One run and one generation of it: what subjects and staging keys are made of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct RunRef {
    /// Whose run.
    pub tenant: TenantId,
    /// Which run.
    pub run: RunId,
    /// Which replay of it.
    pub generation: Generation,
}

impl fmt::Display for RunRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.tenant, self.run, self.generation)
    }
}

/// What a generation of a run takes over from an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Replay {
    /// The first stage that is done again, with all that follow; absent where the run goes on with the results that there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Phase>,
    /// The generation whose results are taken over.
    pub of: Generation,
}

impl Replay {
    /// Whether the result of a stage is taken over, if there is one.
    pub fn keeps(&self, phase: Phase) -> bool {
        self.from.is_none_or(|from| phase < from)
    }
}

/// How far a run is; sums over its finished parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RunProgress {
    /// Parts that the run was cut into; 0 until resolve is done.
    pub parts_total: u32,
    /// Parts that are written.
    pub parts_done: u32,
    /// Records that were selected; 0 until resolve is done.
    pub records_total: u64,
    /// Records that are written.
    pub records_done: u64,
    /// Canonical bytes that are written.
    pub bytes_done: u64,
}

/// What a finished run made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunBundle {
    /// Digest of the bundle tar.
    pub digest: Digest,
    /// Bytes of the bundle tar.
    pub bytes: u64,
    /// Digest of `export.json`.
    pub manifest_digest: Digest,
    /// Equal for equal contents, whatever the encryption (design section 6).
    pub rerun_hash: Digest,
    /// Records in the bundle.
    pub records: u64,
    /// Newest observation in the bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
    /// Key that signed it.
    pub key_id: String,
    /// The files beside the bundle by name, such as `export.json.sig`: digest of each.
    pub sidecars: BTreeMap<String, Digest>,
    /// Digest of `export.json` of the mirror that a consumer has with this bundle; only mirrors have one. A delta names its base by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_digest: Option<Digest>,
    /// How to verify it; absent in runs from before there was the member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
    /// The earlier run whose bundle this run found unchanged: that one made the tar, and keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refreshes: Option<RunId>,
}

/// A run as the ledger keeps it and the API shows it. Everything above `status` is immutable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Schema version of this document.
    pub v: Version<1>,
    /// Id.
    pub id: RunId,
    /// Whose run.
    pub tenant: TenantId,
    /// The profile it was submitted for.
    pub profile_id: ProfileId,
    /// The revision it keeps, whatever happens to the profile.
    pub profile_revision: u32,
    /// Which bundle it makes.
    pub profile_kind: ProfileKind,
    /// What it exports, absolute.
    pub selectors: Selectors,
    /// Choices that are not selectors.
    pub options: RunOptions,
    /// What lets it read the evidence of other tenants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Box<RunApproval>>,
    /// Who asked.
    pub requested_by: String,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// Follows the request through logs and traces.
    pub correlation_id: String,
    /// State.
    pub status: RunStatus,
    /// 1, one more for every replay.
    pub generation: Generation,
    /// What this generation took over from an earlier one; absent in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Replay>,
    /// The phase that is at work, or the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// When it was admitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it reached its terminal state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// From admission to the terminal state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<ErrorCode>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// The policy snapshot that plan pinned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_snapshot_id: Option<PolicySnapshotRef>,
    /// Why it does not get on; filled where one run is shown, and gone once it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// How far it is.
    pub progress: RunProgress,
    /// The run that made the mirror that this one, a delta, builds upon; known once it is planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<RunId>,
    /// What it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<RunBundle>,
    /// How far retention is with it; absent while what it made is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry: Option<Expiry>,
    /// What it read; filled from `export_inputs` where one run is shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<InputRange>,
    /// Where it is; filled from `export_distributions` where one run is shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub distributions: Vec<Distribution>,
}

impl Run {
    /// The run in its present generation.
    pub fn reference(&self) -> RunRef {
        RunRef { tenant: self.tenant.clone(), run: self.id.clone(), generation: self.generation }
    }
}

#[cfg(test)]
mod tests {
    use super::RunStatus;

    #[test]
    fn a_terminal_run_never_changes_its_state() {
        for from in RunStatus::ALL {
            for to in RunStatus::ALL {
                if from.is_terminal() {
                    assert!(!from.may_become(to), "{from} -> {to}");
                }
            }
        }
        assert!(RunStatus::Pending.may_become(RunStatus::Running));
        assert!(!RunStatus::Pending.may_become(RunStatus::Succeeded));
        assert!(!RunStatus::Running.may_become(RunStatus::Pending));
    }
}
