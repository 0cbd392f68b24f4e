//! The port: what a run ledger promises.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use export_contract::event::{EventType, RunEvent};
use export_contract::message::{Distribution, InputRange, PolicySnapshotRef};
use export_contract::profile::{Profile, ProfileKind};
use export_contract::run::{Phase, Replay, Run, RunBundle, RunProgress, RunRef, RunStatus};
use export_contract::{ErrorCode, ProfileId, RunId, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::quota::{Exceeded, Quotas, SlotCaps, Submitted, Usage};

/// What failed, by outcome. The vendor's error is the source.
#[derive(Debug, thiserror::Error)]
pub enum RunStoreError {
    /// The ledger does not answer; worth another try.
    #[error("the run ledger is unavailable: cannot {act}")]
    Unavailable {
        /// What was tried.
        act: String,
        /// Why it failed.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The ledger refuses for good, or holds a document that this build cannot read.
    #[error("the run ledger refused: cannot {act}")]
    Refused {
        /// What was tried.
        act: String,
        /// Why it failed.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What became of a profile or run that was to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreateOutcome<T> {
    /// It was written.
    Created(T),
    /// The same id (profile) or idempotency key (run) was there with the same content: this is it.
    Existing(T),
    /// The same id or idempotency key was there with another content.
    Conflict,
}

/// What became of a profile that was to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteOutcome {
    /// It is deleted, by this call or an earlier one that this one met.
    Deleted,
    /// There is none.
    NotFound,
    /// It is one of the six that every tenant has.
    BuiltIn,
}

/// Which runs to list, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// In this state only.
    pub status: Option<RunStatus>,
    /// Of this profile only.
    pub profile: Option<ProfileId>,
    /// Only runs with an id below this one: the last id of the page before.
    pub before: Option<RunId>,
    /// At most so many, 1 to 200.
    pub limit: u32,
}

/// One page of runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunPage {
    /// The runs, newest first.
    pub runs: Vec<Run>,
    /// Whether there are more.
    pub more: bool,
}

/// An event to append. `key` names the fact (`g1.plan.done`, `g1.adapt.part.3.done`, `g1.run.aborted`): a fact that
/// was recorded before is not recorded again, which makes recording idempotent across redeliveries and a wiped broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Names the fact, unique within the run.
    pub key: String,
    /// What happened.
    pub event_type: EventType,
    /// The phase it belongs to.
    pub phase: Option<Phase>,
    /// For people.
    pub message: String,
    /// When.
    pub at: Timestamp,
    /// Counts.
    pub metrics: BTreeMap<String, u64>,
    /// Who did it.
    pub actor: Option<String>,
}

/// What recording a step changes in the run beside its timeline. `None` and zero leave a field as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StepOutcome {
    /// The phase that is now at work.
    pub phase: Option<Phase>,
    /// The run ends in this state.
    pub terminal: Option<RunStatus>,
    /// Why it failed.
    pub error: Option<(ErrorCode, String)>,
    /// Added to the run's progress, field by field (totals included: they start at 0).
    pub progress: RunProgress,
    /// What it made.
    pub bundle: Option<RunBundle>,
    /// The policy snapshot that plan pinned.
    pub policy_snapshot: Option<PolicySnapshotRef>,
    /// The run that a delta builds upon.
    pub base: Option<RunId>,
    /// Rows of `export_inputs`.
    pub inputs: Vec<InputRange>,
    /// Rows of `export_distributions`.
    pub distributions: Vec<Distribution>,
}

/// What became of an attempt to admit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// These runs, oldest first, got a slot just now and are `running`.
    Admitted(Vec<Run>),
    /// No pending run, or no free slot.
    Nothing,
}

/// What became of a cancel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CancelOutcome {
    /// The run is `aborted` by this call.
    Cancelled(Run),
    /// It was aborted before; asking again is no error.
    AlreadyCancelled(Run),
    /// It had ended otherwise.
    Ended(Run),
    /// No such run of this tenant.
    NotFound,
}

/// A replay that somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayWanted {
    /// The run in the generation that ended.
    pub run: RunRef,
    /// What the next generation takes over.
    pub replay: Replay,
    /// Who asks.
    pub by: String,
    /// When; the day that it counts for.
    pub at: Timestamp,
}

/// What became of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayOutcome {
    /// The run is `pending` in its next generation, and counts as one of the day.
    Replayed(Run),
    /// It is in no state to be replayed: it has not ended, has its bundle, was replayed before, or retention has begun to let go of it.
    Unfit(Run),
    /// A quota is used up; nothing was changed.
    Refused(Exceeded),
    /// No such run of this tenant.
    NotFound,
}

/// What became of a replay, and how much of the day's quota is used up now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// What became of it.
    pub outcome: ReplayOutcome,
    /// Runs submitted and replayed today, this one with them.
    pub runs_today: u32,
}

/// A run ledger. Every promise here is kept by the conformance suite, which each driver runs.
///
/// Each call is atomic. A run of another tenant is never found.
#[async_trait]
pub trait RunStore: Send + Sync + fmt::Debug {
    /// The newest revision of every profile of a tenant that is not deleted, by id.
    async fn profiles(&self, tenant: &TenantId) -> Result<Vec<Profile>, RunStoreError>;

    /// A profile: its newest revision, or the one asked for. Of a deleted one only revisions that are asked for by number: runs
    /// keep theirs.
    async fn profile(
        &self,
        tenant: &TenantId,
        id: &ProfileId,
        revision: Option<u32>,
    ) -> Result<Option<Profile>, RunStoreError>;

    /// Writes revision 1 of a profile. The same content under the same id is [`CreateOutcome::Existing`]
    /// (`created_by` and `created_at` are not compared). The id of a deleted profile is never given away again.
    async fn create_profile(&self, profile: &Profile) -> Result<CreateOutcome<Profile>, RunStoreError>;

    /// Writes a profile whose newest revision is `expected`: with `profile.revision == expected` its name, description and
    /// labels change in place, with `expected + 1` a new revision is added. `false` when another writer was first.
    async fn update_profile(&self, profile: &Profile, expected: u32) -> Result<bool, RunStoreError>;

    /// Revisions of a profile that is not deleted, newest first, with numbers below `before`, at most `limit`; none where
    /// there is no such profile.
    async fn profile_revisions(
        &self,
        tenant: &TenantId,
        id: &ProfileId,
        before: Option<u32>,
        limit: u32,
    ) -> Result<Vec<Profile>, RunStoreError>;

    /// Deletes a profile: nothing new can be made of it, and what was made keeps its revisions.
    async fn delete_profile(
        &self,
        tenant: &TenantId,
        id: &ProfileId,
        by: &str,
        now: Timestamp,
    ) -> Result<DeleteOutcome, RunStoreError>;

    /// Writes a pending run with its first event (`run.pending`). With an idempotency key, the same key gives the same run:
    /// `fingerprint` is a digest of the request body and decides between `Existing` and `Conflict`.
    async fn create_run(
        &self,
        run: &Run,
        idempotency: Option<(&str, &str)>,
    ) -> Result<CreateOutcome<Run>, RunStoreError>;

    /// A run with its inputs and distributions.
    async fn run(&self, tenant: &TenantId, id: &RunId) -> Result<Option<Run>, RunStoreError>;

    /// Runs of a tenant, newest first, without inputs and distributions.
    async fn runs(&self, tenant: &TenantId, filter: &RunFilter) -> Result<RunPage, RunStoreError>;

    /// Events of a run with an ordinal above `after`, ascending, at most `limit`.
    async fn events(
        &self,
        tenant: &TenantId,
        id: &RunId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<RunEvent>, RunStoreError>;

    /// As [`Self::create_run`], within the quotas of the run's tenant: a run that is written counts, and of concurrent
    /// submits none that would exceed a quota is written. What a repeated key finds was counted before, and what is refused
    /// does not count.
    async fn submit_run(
        &self,
        run: &Run,
        idempotency: Option<(&str, &str)>,
        quotas: &Quotas,
    ) -> Result<Submitted, RunStoreError>;

    /// What a tenant has of its quotas.
    async fn usage(&self, tenant: &TenantId, now: Timestamp) -> Result<Usage, RunStoreError>;

    /// As [`Self::admit_within`] with one cap for runs of all kinds.
    async fn admit(&self, tenant: &TenantId, cap: u32, now: Timestamp) -> Result<Admission, RunStoreError> {
        self.admit_within(tenant, &SlotCaps { active: cap, ..SlotCaps::default() }, now).await
    }

    /// Gives free slots of a tenant to its oldest pending runs: no more of them are `running` afterwards than the caps
    /// allow. A run whose kind has no free slot is passed over until one frees.
    /// Writes their `run.running` events. Never admits one run twice, however many orchestrators ask.
    async fn admit_within(
        &self,
        tenant: &TenantId,
        caps: &SlotCaps,
        now: Timestamp,
    ) -> Result<Admission, RunStoreError>;

    /// Appends `event` and applies `outcome`, once: `false` when a fact of that key was recorded before, the run's
    /// generation is another one, the run is terminal already, or there is no such run.
    async fn record(&self, run: &RunRef, event: &NewEvent, outcome: &StepOutcome) -> Result<bool, RunStoreError>;

    /// Aborts a run that has not ended, with a `run.aborted` event that names the actor.
    async fn cancel(
        &self,
        tenant: &TenantId,
        id: &RunId,
        by: &str,
        now: Timestamp,
    ) -> Result<CancelOutcome, RunStoreError>;

    /// Raises the generation of a run that failed or was aborted: it is `pending` again, with a `run.replayed` event in the same sequence of
    /// ordinals, and its end will be told of anew. Once for each generation, however many ask, and within the quotas of the
    /// tenant, for which it counts as a run that is submitted. Facts of the generation before are refused from then on.
    async fn replay_run(&self, wanted: &ReplayWanted, quotas: &Quotas) -> Result<Replayed, RunStoreError>;

    /// Tenants with pending runs.
    async fn tenants_waiting(&self) -> Result<Vec<TenantId>, RunStoreError>;

    /// Runs in `status` (pending or running) whose newest event is older than `silent_since`, oldest first, at most `limit`;
    /// for the reconciler.
    async fn silent_runs(
        &self,
        status: RunStatus,
        silent_since: Timestamp,
        limit: u32,
    ) -> Result<Vec<Run>, RunStoreError>;

    /// Number of `running` runs per tenant.
    async fn active(&self) -> Result<BTreeMap<TenantId, u32>, RunStoreError>;

    /// When the newest run that succeeded ended, by kind of profile, over all tenants.
    async fn last_successes(&self) -> Result<BTreeMap<ProfileKind, Timestamp>, RunStoreError>;

    /// Creates what is missing (tables, indexes) and answers whether the ledger can be read and written.
    async fn check(&self) -> Result<(), RunStoreError>;
}
