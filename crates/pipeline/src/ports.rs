//! The ports between the gateway, the orchestrator and the broker.

use std::pin::Pin;

use async_trait::async_trait;
use export_contract::dead_letter::KeptLetter;
use export_contract::event::{ProgressTick, Waiting};
use export_contract::message::{ResultRef, Summary};
use export_contract::run::{Phase, RunRef};
use export_contract::{PartIndex, RunId, TenantId};

/// The broker did not take or give what was asked.
#[derive(Debug, thiserror::Error)]
#[error("the broker does not answer: cannot {act}")]
pub struct QueueError {
    /// What was tried.
    pub act: String,
    /// Why it failed.
    #[source]
    pub cause: Box<dyn std::error::Error + Send + Sync>,
}

/// How the gateway and the orchestrator put steps on the log. Every call may be repeated: a step that is there
/// already is no error.
#[async_trait]
pub trait RunQueue: Send + Sync {
    /// Hints that a pending run was written.
    async fn requested(&self, run: &RunRef) -> Result<(), QueueError>;

    /// Commands plan: the run has a slot, and `admission` is its record.
    async fn admitted(&self, run: &RunRef, admission: &ResultRef) -> Result<(), QueueError>;

    /// Puts the `done` event of a stage, or of one part of it, on the log again, exactly as the worker that finished it
    /// would: for resolve with the fan-out of its `parts` commands. Used to rebuild a log that was lost from the result
    /// records in staging (design D1); `parts` is set for resolve and for parts of adapt.
    async fn done(
        &self,
        run: &RunRef,
        phase: Phase,
        part: Option<PartIndex>,
        parts: Option<u32>,
        result: &ResultRef,
        summary: Summary,
    ) -> Result<(), QueueError>;

    /// Commands a step again, or one part of adapt, whose command is on the log and was delivered, but is with no worker and
    /// will be with none, though the step is neither done nor failed. Gives whether it was so.
    async fn retry(&self, run: &RunRef, phase: Phase, part: Option<PartIndex>) -> Result<bool, QueueError>;

    /// Tells every worker that the run is cancelled, and writes it to the log. The run ledger said so first.
    async fn cancelled(&self, run: &RunRef, by: &str) -> Result<(), QueueError>;

    /// Tells watchers that the run's timeline grew. Lossy.
    async fn recorded(&self, tenant: &TenantId, run: &RunId);

    /// Whether the broker answers.
    async fn check(&self) -> Result<(), QueueError>;
}

/// What a watcher of a run hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedSignal {
    /// The timeline in the run ledger grew: read it from the last ordinal.
    Recorded,
    /// A progress tick, to be shown and forgotten.
    Progress(ProgressTick),
}

/// Signals of one run as they come; ends when the broker connection is closed for good.
pub type FeedStream = Pin<Box<dyn futures::Stream<Item = FeedSignal> + Send>>;

/// How the gateway follows a run. Signals are hints: what is true stands in the run ledger.
#[async_trait]
pub trait RunFeed: Send + Sync {
    /// Follows a run from now on.
    async fn follow(&self, tenant: &TenantId, run: &RunId) -> Result<FeedStream, QueueError>;

    /// What the run waits for at the moment.
    async fn waiting(&self, tenant: &TenantId, run: &RunId) -> Result<Option<Waiting>, QueueError>;
}

/// The commands that nobody could do, as their tenants see them.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Letters of a tenant, of one run if one is named, behind the letter `after`: oldest first, at most `limit`.
    async fn letters(
        &self,
        tenant: &TenantId,
        run: Option<&RunId>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<KeptLetter>, QueueError>;

    /// One letter of a tenant.
    async fn letter(&self, tenant: &TenantId, id: u64) -> Result<Option<KeptLetter>, QueueError>;
}
