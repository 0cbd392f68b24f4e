//! The reconciler: finds runs of which nothing is heard, and brings ledger and log back to what staging proves.

mod found;

use std::collections::BTreeMap;
use std::time::Duration;

use export_contract::message::{Outcome, StageEvent};
use export_contract::run::{Run, RunRef, RunStatus};
use export_contract::{ErrorCode, Timestamp, Version};
use export_pipeline::{Judged as _, Verdict};
use tokio::sync::Mutex;

use crate::admission::Admitter;
use crate::error::OrchestratorError;
use crate::ports::Ports;
use crate::recorder::{Recorded, Recorder};

/// Silent runs that one pass looks at, oldest first.
const RUNS_PER_PASS: u32 = 2_000;

/// How long a run may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// A running run without a new fact for so long is looked at; again after twice as long, and so on, since a stage
    /// may well be at work for long.
    pub silence: Duration,
    /// A running run without a new fact for so long fails, so that it does not hold its slot for ever: the third net
    /// below retries and dead letters.
    pub give_up: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { silence: Duration::from_mins(1), give_up: Duration::from_hours(24) }
    }
}

/// What one pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Pending runs that got a slot.
    pub admitted: u32,
    /// Silent runs that were looked at.
    pub silent: u32,
    /// Facts that staging proved and the ledger did not know.
    pub recorded: u32,
    /// Events that were put on the log again; those that were still there are counted too.
    pub republished: u32,
    /// Runs that ended in this pass because of what staging holds.
    pub ended: u32,
    /// Runs that failed in this pass because they were silent for too long.
    pub given_up: u32,
    /// Runs and tenants that could not be looked after; the log says why.
    pub errors: u32,
}

/// Heals what crashes and a lost log leave behind. One in each orchestrator process; they do not disturb each other.
#[derive(Debug)]
pub struct Reconciler {
    ports: Ports,
    patience: Patience,
    admitter: Admitter,
    recorder: Recorder,
    looked_at: Mutex<BTreeMap<RunRef, Look>>,
}

/// When a silent run was looked at and found as it was.
#[derive(Clone, Copy, Debug)]
struct Look {
    next: Timestamp,
    wait: Duration,
}

impl Reconciler {
    /// A reconciler.
    pub fn new(ports: Ports, admitter: Admitter, patience: Patience) -> Self {
        let recorder = Recorder::new(ports.clone());
        Self { ports, patience, admitter, recorder, looked_at: Mutex::default() }
    }

    /// One pass over every tenant. A run that cannot be looked after does not keep the pass from the others.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub async fn pass(&self) -> Result<Reconciled, OrchestratorError> {
        let mut report = Reconciled::default();
        let now = self.ports.now();
        let given_up = self.give_up(now, &mut report).await?;
        match self.admitter.admit_waiting().await {
            Ok(admitted) => report.admitted = admitted,
            Err(error) => {
                report.errors += 1;
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot admit");
            }
        }
        let silent = self.silent(before(now, self.patience.silence)).await?;
        let mut looked_at = self.looked_at.lock().await;
        // A run that is heard of again begins anew when it falls silent again.
        looked_at.retain(|run, _| silent.iter().any(|silent| silent.reference() == *run));
        for run in silent {
            let reference = run.reference();
            let look = looked_at.get(&reference).copied();
            if given_up.contains(&reference) || look.is_some_and(|look| now < look.next) {
                continue;
            }
            report.silent += 1;
            if let Err(error) = self.repair(&run, &mut report).await {
                report.errors += 1;
                tracing::warn!(run = %reference, error = &error as &dyn std::error::Error, "cannot repair a silent run");
                continue;
            }
            let wait = look.map_or(self.patience.silence, |look| look.wait.saturating_mul(2));
            looked_at.insert(reference, Look { next: after(now, wait), wait });
        }
        Ok(report)
    }

    async fn silent(&self, since: Timestamp) -> Result<Vec<Run>, OrchestratorError> {
        Ok(self.ports.ledger.silent_runs(RunStatus::Running, since, RUNS_PER_PASS).await?)
    }

    async fn give_up(&self, now: Timestamp, report: &mut Reconciled) -> Result<Vec<RunRef>, OrchestratorError> {
        let since = before(now, self.patience.give_up);
        let mut given_up = Vec::new();
        for run in self.silent(since).await? {
            // Staging may know better: only what cannot be brought further is given up.
            let recorded = report.recorded;
            match self.fold(&run, report).await {
                Ok(Some(_)) if report.recorded == recorded => {}
                Ok(_) => continue,
                Err(error) => {
                    report.errors += 1;
                    tracing::warn!(run = %run.reference(), error = &error as &dyn std::error::Error, "cannot judge a silent run");
                    continue;
                }
            }
            let message = format!("nothing was heard of the run since {since} or longer");
            if self.recorder.fail(&run, ErrorCode::Exhausted, &message).await? {
                tracing::error!(run = %run.reference(), "run given up");
                report.given_up += 1;
                given_up.push(run.reference());
            }
        }
        Ok(given_up)
    }

    /// Brings the ledger to what staging proves, and then the log, unless the run is at its end.
    async fn repair(&self, run: &Run, report: &mut Reconciled) -> Result<(), OrchestratorError> {
        let reference = run.reference();
        let Some(steps) = self.fold(run, report).await? else { return Ok(()) };
        tracing::info!(run = %reference, steps = steps.len(), "putting a silent run on the log again");
        self.admitter.command(run).await?;
        report.republished += 1;
        for step in steps {
            let found::Step { phase, part, parts, result, summary } = step;
            self.ports.queue.done(&reference, phase, part, parts, &result, summary).await?;
            report.republished += 1;
        }
        Ok(())
    }

    /// Records what staging proves; gives the steps that were found, `None` when the run has ended.
    async fn fold(&self, run: &Run, report: &mut Reconciled) -> Result<Option<Vec<found::Step>>, OrchestratorError> {
        let reference = run.reference();
        let steps = match found::steps(&self.ports.workspace(&reference), run).await {
            Ok(steps) => steps,
            Err(error) => match error.verdict() {
                // No later step can help a run whose records are lost.
                Verdict::FailRun(code) => {
                    tracing::error!(run = %reference, %code, error = &error as &dyn std::error::Error, "a result record is lost; the run fails");
                    report.ended += u32::from(self.recorder.fail(run, code, &error.to_string()).await?);
                    return Ok(None);
                }
                Verdict::Redeliver { .. } | Verdict::Cancelled => return Err(error.into()),
            },
        };
        for step in &steps {
            let event = StageEvent {
                v: Version,
                run: reference.clone(),
                outcome: Outcome::Done {
                    result: step.result.clone(),
                    part: step.part,
                    parts: step.parts,
                    summary: step.summary,
                },
                at: self.ports.now(),
            };
            match self.recorder.record(&event, Some(step.phase)).await? {
                Recorded::Nothing | Recorded::Known => {}
                Recorded::Step => report.recorded += 1,
                Recorded::Ended => {
                    report.recorded += 1;
                    report.ended += 1;
                    return Ok(None);
                }
            }
        }
        Ok(Some(steps))
    }
}

fn before(now: Timestamp, time: Duration) -> Timestamp {
    now.plus_seconds(i64::try_from(time.as_secs()).unwrap_or(i64::MAX).saturating_neg())
}

fn after(now: Timestamp, time: Duration) -> Timestamp {
    now.plus_seconds(i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
}
