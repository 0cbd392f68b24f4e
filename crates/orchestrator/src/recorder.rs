//! The recorder: folds the log into the run ledger, each fact once.

mod fact;

use export_contract::event::EventType;
use export_contract::message::{Outcome, StageEvent};
use export_contract::run::{Phase, Run, RunRef, RunStatus};
use export_contract::{ErrorCode, Timestamp};
use export_pipeline::{Judged as _, Verdict};
use export_runs::StepOutcome;

use self::fact::Fact;
use crate::error::OrchestratorError;
use crate::ports::Ports;
use crate::{replay, trail};

/// Rows of a timeline that are read at once.
const PAGE: u32 = 1_000;

/// What came of an event of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The event is none that the ledger keeps.
    Nothing,
    /// The fact was known, or the run had ended before it.
    Known,
    /// The run is a step further.
    Step,
    /// The run has ended, and its slot is free.
    Ended,
}

/// Folds events of the log into the run ledger. Any number of recorders may be at work.
#[derive(Clone, Debug)]
pub struct Recorder {
    ports: Ports,
}

impl Recorder {
    /// A recorder.
    pub fn new(ports: Ports) -> Self {
        Self { ports }
    }

    /// Folds one event of the log; `phase` is the stage that its subject names, `None` where it names none. Acknowledge
    /// the event after this, never before. An event that comes again changes nothing.
    ///
    /// A result record that cannot be read, now or ever, fails the run here, since no later stage might look at it.
    ///
    /// # Errors
    /// When the ledger or staging does not answer; the event is to be delivered again.
    pub async fn record(&self, event: &StageEvent, phase: Option<Phase>) -> Result<Recorded, OrchestratorError> {
        let run = &event.run;
        let fact = match (&event.outcome, phase) {
            (Outcome::Done { result, part, parts, summary }, Some(phase)) => {
                let workspace = self.ports.workspace(run);
                match fact::done(&workspace, phase, *part, *parts, result, *summary).await {
                    Ok(Some(fact)) => fact,
                    Ok(None) => return Ok(Recorded::Nothing),
                    Err(error) => match error.verdict() {
                        Verdict::FailRun(code) => {
                            tracing::error!(%run, %phase, %code, error = &error as &dyn std::error::Error, "a result record is lost; the run fails");
                            fact::failed(run.generation, Some(phase), code, &error.to_string())
                        }
                        Verdict::Redeliver { .. } | Verdict::Wait { .. } | Verdict::Cancelled => {
                            return Err(error.into());
                        }
                    },
                }
            }
            (Outcome::Failed { code, message }, phase) => {
                if phase == Some(Phase::Adapt) {
                    self.append(run, fact::adapter_error(run.generation, *code, message)).await?;
                }
                fact::failed(run.generation, phase, *code, message)
            }
            // The ledger knew of these first (design D1, D20).
            (
                Outcome::Requested
                | Outcome::Admitted { .. }
                | Outcome::Joined { .. }
                | Outcome::Cancelled { .. }
                | Outcome::Done { .. },
                _,
            ) => return Ok(Recorded::Nothing),
        };
        if let Some(key_id) = &fact.signed_with
            && !replay::was_taken_over(&self.ports, run, Phase::Sign).await?
        {
            trail::key_used(&self.ports, run, key_id).await?;
        }
        let ends = fact.outcome.terminal.is_some();
        let is_new = self.append(run, fact).await?;
        // Told again for a fact that was known: whoever recorded it may have stopped before telling.
        self.ports.queue.recorded(&run.tenant, &run.run).await;
        Ok(match (is_new, ends) {
            (true, true) => Recorded::Ended,
            (true, false) => Recorded::Step,
            (false, _) => Recorded::Known,
        })
    }

    /// Fails a run that no stage can bring further; `false` when it ended before.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub(crate) async fn fail(&self, run: &Run, code: ErrorCode, message: &str) -> Result<bool, OrchestratorError> {
        let reference = run.reference();
        let failed = self.append(&reference, fact::failed(run.generation, None, code, message)).await?;
        self.ports.queue.recorded(&run.tenant, &run.id).await;
        Ok(failed)
    }

    async fn append(&self, run: &RunRef, mut fact: Fact) -> Result<bool, OrchestratorError> {
        let now = self.ports.now();
        fact.event.at = now;
        if let Some(began) = self.began(run, &fact.outcome, fact.event.event_type).await? {
            let micros = now.as_micros().saturating_sub(began.as_micros());
            fact.event.metrics.insert("duration_ms".to_owned(), u64::try_from(micros / 1_000).unwrap_or(0));
        }
        Ok(self.ports.ledger.record(run, &fact.event, &fact.outcome).await?)
    }

    /// When that began what now ends: the run at its admission, a phase at the end of the phase before.
    async fn began(
        &self,
        run: &RunRef,
        outcome: &StepOutcome,
        event_type: EventType,
    ) -> Result<Option<Timestamp>, OrchestratorError> {
        if !(outcome.terminal.is_some() || matches!(event_type, EventType::StageCompleted | EventType::RunSigned)) {
            return Ok(None);
        }
        let mut began = None;
        let mut after = 0;
        loop {
            let events = self.ports.ledger.events(&run.tenant, &run.run, after, PAGE).await?;
            let Some(last) = events.last() else { return Ok(began) };
            after = last.ordinal;
            let whole_run = outcome.terminal.is_some();
            for event in &events {
                match event.event_type {
                    EventType::RunRunning => began = Some(event.at),
                    EventType::StageCompleted if !whole_run => began = Some(event.at),
                    _ => {}
                }
            }
        }
    }

    /// Whether a run was cancelled, and by whom: for a log that still has events of it.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub(crate) async fn cancelled_by(&self, run: &RunRef) -> Result<Option<String>, OrchestratorError> {
        let known = self.ports.ledger.run(&run.tenant, &run.run).await?;
        if known.is_none_or(|known| known.status != RunStatus::Aborted || known.generation != run.generation) {
            return Ok(None);
        }
        let (mut after, mut by) = (0, None);
        loop {
            let events = self.ports.ledger.events(&run.tenant, &run.run, after, PAGE).await?;
            let Some(last) = events.last() else { return Ok(by) };
            after = last.ordinal;
            // Retention may have added to the timeline since, and earlier generations have ends of their own.
            let aborted = events.into_iter().rfind(|event| event.event_type == EventType::RunAborted);
            by = aborted.map(|event| event.actor.unwrap_or_default()).or(by);
        }
    }
}
