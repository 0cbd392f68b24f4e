//! What the host hands to a stage beside its input.

use std::fmt;
use std::sync::Arc;

use export_blobs::Workspace;
use export_contract::PartIndex;
use export_contract::event::{ProgressStep, ProgressTick};
use export_contract::run::{Phase, RunRef};
use tokio_util::sync::CancellationToken;

/// Takes progress ticks. Lossy and quick: never blocks the stage.
pub trait ProgressSink: Send + Sync {
    /// Takes one tick; also a sign of life for the host's watchdog.
    fn tick(&self, tick: ProgressTick);
}

/// The run was cancelled, or the host stops: the stage destroys what is half written and returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the run was cancelled")]
pub struct Cancelled;

/// Identity, staging, cancellation and progress of one delivery.
#[derive(Clone)]
pub struct StageContext {
    workspace: Workspace,
    phase: Phase,
    part: Option<PartIndex>,
    attempt: u32,
    cancel: CancellationToken,
    run_cancel: CancellationToken,
    progress: Arc<dyn ProgressSink>,
}

impl fmt::Debug for StageContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StageContext")
            .field("run", self.workspace.run())
            .field("phase", &self.phase)
            .field("part", &self.part)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

impl StageContext {
    /// The context of one delivery; `attempt` counts from 1.
    pub fn new(
        workspace: Workspace,
        phase: Phase,
        part: Option<PartIndex>,
        attempt: u32,
        cancel: CancellationToken,
        progress: Arc<dyn ProgressSink>,
    ) -> Self {
        let run_cancel = cancel.clone();
        Self { workspace, phase, part, attempt, cancel, run_cancel, progress }
    }

    /// Tells the run's own cancellation apart from the delivery's end; without it they are the same.
    #[must_use]
    pub fn with_run_cancellation(mut self, run_cancel: CancellationToken) -> Self {
        self.run_cancel = run_cancel;
        self
    }

    /// Whether the run itself was cancelled. A delivery that ends because its host stops must leave what is staged: another
    /// worker goes on with it.
    pub fn run_is_cancelled(&self) -> bool {
        self.run_cancel.is_cancelled()
    }

    /// The run's corner of staging.
    pub fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// Which run.
    pub fn run(&self) -> &RunRef {
        self.workspace.run()
    }

    /// The part, in adapt.
    pub fn part(&self) -> Option<PartIndex> {
        self.part
    }

    /// How often this command was delivered, this time included.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Fires when the run is cancelled or the host stops.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.cancel
    }

    /// Called between chunks.
    ///
    /// # Errors
    /// [`Cancelled`] once the run is cancelled or the host stops.
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.cancel.is_cancelled() { Err(Cancelled) } else { Ok(()) }
    }

    /// Tells watchers and the watchdog how far this delivery is.
    pub fn progress(&self, step: ProgressStep, records: u64, bytes: u64) {
        self.progress.tick(ProgressTick {
            run: self.run().clone(),
            phase: self.phase,
            part: self.part,
            step,
            records,
            bytes,
            waiting: None,
        });
    }
}
