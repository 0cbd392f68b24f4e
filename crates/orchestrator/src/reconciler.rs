//! The reconciler: finds runs of which nothing is heard, and brings ledger and log back to what staging proves.

mod found;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;
use std::time::Duration;

use export_contract::message::{Outcome, StageEvent};
use export_contract::run::{Phase, Run, RunRef, RunStatus};
use export_contract::{ErrorCode, Timestamp, Version};
use export_pipeline::{Judged as _, Verdict};
use tokio::sync::Mutex;

use self::found::Found;
use crate::admission::Admitter;
use crate::error::{Chain, OrchestratorError};
use crate::ports::Ports;
use crate::recorder::{Recorded, Recorder};

/// Silent runs that one pass looks at, oldest first.
const RUNS_PER_PASS: u32 = 2_000;
/// Commands of a run that one look asks about; of many lost parts the next look takes the next.
const RETRIES_PER_LOOK: usize = 500;

const DAY: Duration = Duration::from_hours(24);

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
    /// Commands that no worker had or would get, and that were given again.
    pub retried: u32,
    /// Runs that ended in this pass because of what staging holds.
    pub ended: u32,
    /// Runs that failed in this pass because they were silent for too long.
    pub given_up: u32,
    /// What could not be looked after: runs, admission, or the ledger itself; the log says why.
    pub errors: u32,
}

impl AddAssign for Reconciled {
    fn add_assign(&mut self, more: Self) {
        self.admitted += more.admitted;
        self.silent += more.silent;
        self.recorded += more.recorded;
        self.republished += more.republished;
        self.retried += more.retried;
        self.ended += more.ended;
        self.given_up += more.given_up;
        self.errors += more.errors;
    }
}

/// What a rebuild did for a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// Which.
    pub run: RunRef,
    /// The phase that it was in, by the ledger.
    pub phase: Option<Phase>,
    /// What was done.
    pub did: Reconciled,
    /// Why it could not be done.
    pub error: Option<String>,
}

/// Heals what crashes and a lost log leave behind. One in each orchestrator process; they do not disturb each other.
#[derive(Debug)]
pub struct Reconciler {
    ports: Ports,
    patience: Patience,
    admitter: Admitter,
    recorder: Recorder,
    memory: Mutex<Memory>,
}

/// What a pass remembers for the next one.
#[derive(Debug, Default)]
struct Memory {
    looked_at: BTreeMap<RunRef, Look>,
    /// Why a run could not be looked after, as it was logged: a trouble that lasts is logged once.
    troubled: BTreeMap<RunRef, String>,
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
        Self { ports, patience, admitter, recorder, memory: Mutex::default() }
    }

    /// One pass over every tenant. A run that cannot be looked after does not keep the pass from the others; a ledger that
    /// does not answer ends it. Both are logged and counted: the next pass is soon.
    pub async fn pass(&self) -> Reconciled {
        let mut report = Reconciled::default();
        let memory = &mut *self.memory.lock().await;
        if let Err(error) = self.look_around(memory, &mut report).await {
            report.errors += 1;
            tracing::warn!(error = %Chain(&error), "the reconciler cannot look after its runs");
        }
        report
    }

    async fn look_around(&self, memory: &mut Memory, report: &mut Reconciled) -> Result<(), OrchestratorError> {
        let now = self.ports.now();
        let seen = self.give_up(now, memory, report).await?;
        match self.admitter.admit_waiting().await {
            Ok(admitted) => report.admitted = admitted,
            Err(error) => {
                report.errors += 1;
                tracing::warn!(error = %Chain(&error), "the reconciler cannot admit runs");
            }
        }
        let silent = self.silent(before(now, self.patience.silence)).await?;
        // A run that is heard of again begins anew when it falls silent again.
        let is_silent = |run: &RunRef| silent.iter().any(|silent| silent.reference() == *run);
        memory.looked_at.retain(|run, _| is_silent(run));
        memory.troubled.retain(|run, _| is_silent(run));
        for run in silent {
            let reference = run.reference();
            let look = memory.looked_at.get(&reference).copied();
            if seen.contains(&reference) || look.is_some_and(|look| now < look.next) {
                continue;
            }
            report.silent += 1;
            if let Err(error) = self.repair(&run, report).await {
                trouble(&reference, &error, memory, report);
                continue;
            }
            memory.troubled.remove(&reference);
            let wait = look.map_or(self.patience.silence, |look| look.wait.saturating_mul(2));
            memory.looked_at.insert(reference, Look { next: after(now, wait), wait });
        }
        Ok(())
    }

    /// Puts every running run on the log at once, however short it is silent, and gives free slots to what waits: for a broker that lost
    /// its store. `tell` hears of each run. What is there stays as it is, so it may be repeated, and beside orchestrators at work.
    ///
    /// # Errors
    /// When the run ledger does not answer. A run that cannot be looked after is told and counted.
    pub async fn rebuild(&self, tell: impl Fn(&Rebuilt)) -> Result<Reconciled, OrchestratorError> {
        let mut report = Reconciled::default();
        // A clock that is ahead of ours is not so by a day.
        let runs = self.ports.ledger.silent_runs(RunStatus::Running, after(self.ports.now(), DAY), u32::MAX).await?;
        for run in runs {
            let mut of_run = Reconciled { silent: 1, ..Reconciled::default() };
            let outcome = self.repair(&run, &mut of_run).await;
            of_run.errors = u32::from(outcome.is_err());
            let error = outcome.err().map(|error| Chain(&error).to_string());
            report += of_run;
            tell(&Rebuilt { run: run.reference(), phase: run.phase, did: of_run, error });
        }
        report.admitted = self.admitter.admit_waiting().await?;
        Ok(report)
    }

    async fn silent(&self, since: Timestamp) -> Result<Vec<Run>, OrchestratorError> {
        Ok(self.ports.ledger.silent_runs(RunStatus::Running, since, RUNS_PER_PASS).await?)
    }

    /// Fails what was silent for too long; gives the runs that this pass is through with.
    async fn give_up(
        &self,
        now: Timestamp,
        memory: &mut Memory,
        report: &mut Reconciled,
    ) -> Result<BTreeSet<RunRef>, OrchestratorError> {
        let since = before(now, self.patience.give_up);
        let mut seen = BTreeSet::new();
        for run in self.silent(since).await? {
            let reference = run.reference();
            // Staging may know better: only what cannot be brought further is given up.
            let recorded = report.recorded;
            match self.fold(&run, report).await {
                Ok(Some(_)) if report.recorded == recorded => {}
                Ok(_) => continue,
                Err(error) => {
                    trouble(&reference, &error, memory, report);
                    seen.insert(reference);
                    continue;
                }
            }
            let reason = format!("nothing was heard of the run since {since} or longer");
            if self.recorder.fail(&run, ErrorCode::Exhausted, &reason).await? {
                tracing::error!(run_id = %run.id, tenant = %run.tenant, error_code = %ErrorCode::Exhausted, reason, "a silent run is given up");
                report.given_up += 1;
                seen.insert(reference);
            }
        }
        Ok(seen)
    }

    /// Brings the ledger to what staging proves, and then the log, unless the run is at its end; and commands anew what
    /// no worker has been left with.
    async fn repair(&self, run: &Run, report: &mut Reconciled) -> Result<(), OrchestratorError> {
        let reference = run.reference();
        let Some(found) = self.fold(run, report).await? else { return Ok(()) };
        tracing::info!(run_id = %run.id, tenant = %run.tenant, steps = found.done.len(), "putting a silent run on the log again");
        self.admitter.command(run).await?;
        report.republished += 1;
        for step in found.done {
            let found::Step { phase, part, parts, result, summary } = step;
            self.ports.queue.done(&reference, phase, part, parts, &result, summary).await?;
            report.republished += 1;
        }
        for (phase, part) in found.open.into_iter().take(RETRIES_PER_LOOK) {
            if self.ports.queue.retry(&reference, phase, part).await? {
                let part = part.map(|part| part.0);
                tracing::warn!(run_id = %run.id, tenant = %run.tenant, %phase, part, "a command that no worker had is given again");
                report.retried += 1;
            }
        }
        Ok(())
    }

    /// Records what staging proves; gives what was found, `None` when the run has ended.
    async fn fold(&self, run: &Run, report: &mut Reconciled) -> Result<Option<Found>, OrchestratorError> {
        let reference = run.reference();
        let found = match found::steps(&self.ports.workspace(&reference), run).await {
            Ok(found) => found,
            Err(error) => match error.verdict() {
                // No later step can help a run whose records are lost.
                Verdict::FailRun(code) => {
                    if self.recorder.fail(run, code, &error.to_string()).await? {
                        tracing::error!(run_id = %run.id, tenant = %run.tenant, error_code = %code, reason = %Chain(&error), "a result record is lost; the run fails");
                        report.ended += 1;
                    }
                    return Ok(None);
                }
                Verdict::Redeliver { .. } | Verdict::Wait { .. } | Verdict::Cancelled => return Err(error.into()),
            },
        };
        for step in &found.done {
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
                    tracing::info!(run_id = %run.id, tenant = %run.tenant, reason = "its last result record is there", "a silent run has ended");
                    report.recorded += 1;
                    report.ended += 1;
                    return Ok(None);
                }
            }
        }
        Ok(Some(found))
    }
}

/// Counts a run that could not be looked after, and logs it unless the same was said of it last.
fn trouble(run: &RunRef, error: &OrchestratorError, memory: &mut Memory, report: &mut Reconciled) {
    report.errors += 1;
    let reason = Chain(error).to_string();
    if memory.troubled.get(run) != Some(&reason) {
        tracing::warn!(run_id = %run.run, tenant = %run.tenant, reason, "a silent run cannot be looked after");
        memory.troubled.insert(run.clone(), reason);
    }
}

fn before(now: Timestamp, time: Duration) -> Timestamp {
    now.plus_seconds(i64::try_from(time.as_secs()).unwrap_or(i64::MAX).saturating_neg())
}

fn after(now: Timestamp, time: Duration) -> Timestamp {
    now.plus_seconds(i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
}
