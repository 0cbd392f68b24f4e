//! What a watcher of a run is told.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::run::{Phase, RunRef};
use crate::{PartIndex, RunId, Timestamp};

/// An entry of a run's timeline (`export_events`): a durable fact with a number.
///
/// `ordinal` counts from 1 without gaps within a run and is the `id` of server-sent events (design D22).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunEvent {
    /// Number within the run, from 1, gapless.
    pub ordinal: u64,
    /// Which run.
    pub run_id: RunId,
    /// What happened; see [`EventType`].
    pub event_type: EventType,
    /// The phase it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// For people.
    pub message: String,
    /// When it was recorded.
    pub at: Timestamp,
    /// Counts: `records`, `bytes`, `part`, `parts`, `duration_ms`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, u64>,
    /// Who did it, where a person or client did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
}

/// The names of events, as they stand in `event:` of SSE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum EventType {
    /// The run was written.
    #[serde(rename = "run.pending")]
    RunPending,
    /// The run was admitted.
    #[serde(rename = "run.running")]
    RunRunning,
    /// A stage is done.
    #[serde(rename = "stage.completed")]
    StageCompleted,
    /// A part is written.
    #[serde(rename = "adapter.complete")]
    AdapterComplete,
    /// An adapter gave up.
    #[serde(rename = "adapter.error")]
    AdapterError,
    /// The bundle is signed.
    #[serde(rename = "run.signed")]
    RunSigned,
    /// The end: the bundle is there.
    #[serde(rename = "run.succeeded")]
    RunSucceeded,
    /// The end: a stage gave up.
    #[serde(rename = "run.failed")]
    RunFailed,
    /// The end: cancelled.
    #[serde(rename = "run.aborted")]
    RunAborted,
    /// The run goes on in a new generation, after it had ended.
    #[serde(rename = "run.replayed")]
    RunReplayed,
    /// Retention: what the run made is no longer offered.
    #[serde(rename = "run.expiring")]
    RunExpiring,
    /// Retention: it is offered again, since something needs it.
    #[serde(rename = "run.spared")]
    RunSpared,
    /// Retention: its bytes are being removed; there is no way back.
    #[serde(rename = "run.removing")]
    RunRemoving,
    /// Retention: a run that did not succeed had handed over to this place.
    #[serde(rename = "distribution.found")]
    DistributionFound,
    /// Retention: one place has let go of it.
    #[serde(rename = "distribution.pruned")]
    DistributionPruned,
    /// Retention: one place keeps it locked for now.
    #[serde(rename = "distribution.locked")]
    DistributionLocked,
    /// Retention: nothing of it is left but this record.
    #[serde(rename = "run.pruned")]
    RunPruned,
}

impl EventType {
    /// Every type.
    pub const ALL: [Self; 17] = [
        Self::RunPending,
        Self::RunRunning,
        Self::StageCompleted,
        Self::AdapterComplete,
        Self::AdapterError,
        Self::RunSigned,
        Self::RunSucceeded,
        Self::RunFailed,
        Self::RunAborted,
        Self::RunReplayed,
        Self::RunExpiring,
        Self::RunSpared,
        Self::RunRemoving,
        Self::DistributionFound,
        Self::DistributionPruned,
        Self::DistributionLocked,
        Self::RunPruned,
    ];

    /// The name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RunPending => "run.pending",
            Self::RunRunning => "run.running",
            Self::StageCompleted => "stage.completed",
            Self::AdapterComplete => "adapter.complete",
            Self::AdapterError => "adapter.error",
            Self::RunSigned => "run.signed",
            Self::RunSucceeded => "run.succeeded",
            Self::RunFailed => "run.failed",
            Self::RunAborted => "run.aborted",
            Self::RunReplayed => "run.replayed",
            Self::RunExpiring => "run.expiring",
            Self::RunSpared => "run.spared",
            Self::RunRemoving => "run.removing",
            Self::DistributionFound => "distribution.found",
            Self::DistributionPruned => "distribution.pruned",
            Self::DistributionLocked => "distribution.locked",
            Self::RunPruned => "run.pruned",
        }
    }

    /// Whether the run ends with this one: a stream of its events does, too, unless a replay followed.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::RunSucceeded | Self::RunFailed | Self::RunAborted)
    }

    /// Whether retention did it, after the end of the run: for the record, and not on any stream.
    pub fn is_of_retention(self) -> bool {
        match self {
            Self::RunExpiring
            | Self::RunSpared
            | Self::RunRemoving
            | Self::DistributionFound
            | Self::DistributionPruned
            | Self::DistributionLocked
            | Self::RunPruned => true,
            Self::RunPending
            | Self::RunRunning
            | Self::StageCompleted
            | Self::AdapterComplete
            | Self::AdapterError
            | Self::RunSigned
            | Self::RunSucceeded
            | Self::RunFailed
            | Self::RunAborted
            | Self::RunReplayed => false,
        }
    }
}

/// A sign of life while a part is written. Lossy: it has no number and is not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProgressTick {
    /// Which run.
    pub run: RunRef,
    /// Which phase.
    pub phase: Phase,
    /// Which part, in adapt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<PartIndex>,
    /// What.
    pub step: ProgressStep,
    /// Records so far in this part.
    pub records: u64,
    /// Canonical bytes so far in this part.
    pub bytes: u64,
    /// What it waits for, in [`ProgressStep::StageWaiting`]; absent there once it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
}

/// Why a run that is at work does not get on (design D27): a reason, never a state. It goes away by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Waiting {
    /// What is waited for.
    pub reason: WaitReason,
    /// Since when.
    pub since: Timestamp,
}

/// What a run may wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WaitReason {
    /// Staging is away.
    Staging,
    /// The evidence ledger is away.
    Evidence,
}

impl WaitReason {
    /// The lower-case name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Staging => "staging",
            Self::Evidence => "evidence",
        }
    }
}

/// The names of progress ticks, as they stand in `event:` of SSE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ProgressStep {
    /// An adapter began a part.
    #[serde(rename = "adapter.start")]
    AdapterStart,
    /// An adapter wrote a chunk.
    #[serde(rename = "adapter.chunk")]
    AdapterChunk,
    /// A stage other than adapt is at work.
    #[serde(rename = "stage.progress")]
    StageProgress,
    /// A stage waits for a store that is away, or goes on.
    #[serde(rename = "stage.waiting")]
    StageWaiting,
}

impl ProgressStep {
    /// Every step.
    pub const ALL: [Self; 4] = [Self::AdapterStart, Self::AdapterChunk, Self::StageProgress, Self::StageWaiting];

    /// The name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AdapterStart => "adapter.start",
            Self::AdapterChunk => "adapter.chunk",
            Self::StageProgress => "stage.progress",
            Self::StageWaiting => "stage.waiting",
        }
    }
}
