//! All of it together, at its own pace.

use std::sync::Arc;
use std::time::Duration;

use export_contract::message::{Outcome, StageEvent};
use export_contract::run::Phase;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::admission::{Admitter, Caps};
use crate::error::{Chain, OrchestratorError};
use crate::ports::Ports;
use crate::reconciler::{Patience, Reconciled, Reconciler};
use crate::recorder::{Recorded, Recorder};

/// How often the orchestrator looks without being told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// For pending runs whose hint was lost.
    pub admit: Duration,
    /// For silent runs.
    pub reconcile: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { admit: Duration::from_secs(2), reconcile: Duration::from_mins(1) }
    }
}

/// Admission, recorder and reconciler. Any number of orchestrators may be at work on the same ledger.
#[derive(Clone, Debug)]
pub struct Orchestrator {
    ports: Ports,
    admitter: Admitter,
    recorder: Recorder,
    reconciler: Arc<Reconciler>,
}

impl Orchestrator {
    /// An orchestrator.
    pub fn new(ports: Ports, caps: Caps, patience: Patience) -> Self {
        let admitter = Admitter::new(ports.clone(), caps);
        let recorder = Recorder::new(ports.clone());
        let reconciler = Arc::new(Reconciler::new(ports.clone(), admitter.clone(), patience));
        Self { ports, admitter, recorder, reconciler }
    }

    /// Takes one event of the log; `phase` is the stage that its subject names. Acknowledge the event after this.
    ///
    /// # Errors
    /// When a port does not answer; the event is to be delivered again.
    pub async fn on_event(&self, event: &StageEvent, phase: Option<Phase>) -> Result<Recorded, OrchestratorError> {
        // A new run waits, or a cancelled one freed its slot.
        if matches!(event.outcome, Outcome::Requested | Outcome::Cancelled { .. }) {
            self.admitter.admit(&event.run.tenant).await?;
            return Ok(Recorded::Nothing);
        }
        let recorded = self.recorder.record(event, phase).await?;
        match recorded {
            Recorded::Ended => {
                // The event is recorded; what fails here is made good by the next look.
                if let Err(error) = self.admitter.admit(&event.run.tenant).await {
                    tracing::warn!(error = &error as &dyn std::error::Error, "cannot give a freed slot away");
                }
            }
            // Workers are still at a run that was cancelled: whoever cancelled it may have stopped before telling them.
            Recorded::Known => {
                if let Some(by) = self.recorder.cancelled_by(&event.run).await? {
                    self.ports.queue.cancelled(&event.run, &by).await?;
                }
            }
            Recorded::Nothing | Recorded::Step => {}
        }
        Ok(recorded)
    }

    /// Gives free slots to pending runs of every tenant; gives the number of runs admitted.
    ///
    /// # Errors
    /// The first thing that failed.
    pub async fn admit(&self) -> Result<u32, OrchestratorError> {
        self.admitter.admit_waiting().await
    }

    /// One pass of the reconciler.
    pub async fn reconcile(&self) -> Reconciled {
        self.reconciler.pass().await
    }

    /// Looks after pending and silent runs until `stop` fires; `report` gets what each pass of the reconciler did.
    /// Errors are logged: the next look is soon.
    pub async fn run(&self, pace: Pace, stop: CancellationToken, report: impl Fn(Reconciled) + Send) {
        let mut admit = tokio::time::interval(pace.admit);
        let mut reconcile = tokio::time::interval(pace.reconcile);
        admit.set_missed_tick_behavior(MissedTickBehavior::Delay);
        reconcile.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = reconcile.tick() => report(self.reconcile().await),
                _ = admit.tick() => {
                    if let Err(error) = self.admit().await {
                        tracing::warn!(error = %Chain(&error), "the orchestrator cannot admit runs");
                    }
                }
            }
        }
    }
}
