//! Schedules: each due time makes at most one run.
//!
//! An orchestrator chooses the due time to meet and writes it into the schedule, where of several one wins. Then it writes
//! the run, under the idempotency key `schedule/<id>/<due time>`, of which the ledger has one; and after that what came of
//! the due time, and the next one. Who stops in between leaves the chosen due time to the next orchestrator, whose key
//! gives the same run.

mod choice;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use export_contract::profile::ProfileKind;
use export_contract::run::Run;
use export_contract::schedule::{DueOutcome, DueRecord, OverlapRule, Schedule};
use export_contract::{ErrorCode, LogEvent, RunId, Timestamp, TraceParent};
use export_runs::schedule::{KEY_PREFIX, Times};
use export_runs::submit::{self, RunRequester, RunWanted, SubmitError};
use export_runs::{QuotaRules, ScheduleStore, SubmitOutcome};
use rand::{Rng as _, RngExt as _};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use self::choice::{Choice, choose};
use crate::error::{Chain, OrchestratorError};
use crate::ports::Ports;
use crate::trail;

/// Schedules that one pass looks at.
const PER_PASS: u32 = 500;
/// What the ledger compares beside the key: whatever became of the schedule, a due time has one run.
const FINGERPRINT: &str = "schedule";

/// What a pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scheduled {
    /// Runs submitted.
    pub started: u32,
    /// Due times passed over since the run before had not ended.
    pub skipped: u32,
    /// Due times that nobody met in time.
    pub missed: u32,
    /// Due times whose run cannot be.
    pub failed: u32,
    /// Schedules that could not be looked after this time.
    pub errors: u32,
}

/// Makes the runs that are due. Any number of schedulers may be at work on the same ledger.
#[derive(Clone, Debug)]
pub struct Scheduler {
    ports: Ports,
    schedules: Arc<dyn ScheduleStore>,
    supported: Arc<BTreeSet<ProfileKind>>,
    quotas: Arc<QuotaRules>,
}

impl Scheduler {
    /// A scheduler; `supported` are the kinds that the deployed adapters make.
    pub fn new(ports: Ports, schedules: Arc<dyn ScheduleStore>, supported: BTreeSet<ProfileKind>) -> Self {
        Self { ports, schedules, supported: Arc::new(supported), quotas: Arc::default() }
    }

    /// The same within the quotas of the tenants: a due time for which there is no room has no run, and is over.
    #[must_use]
    pub fn within(self, quotas: QuotaRules) -> Self {
        Self { quotas: Arc::new(quotas), ..self }
    }

    /// Looks after every schedule that is due. One that cannot be looked after does not keep the pass from the others.
    pub async fn pass(&self) -> Scheduled {
        let mut report = Scheduled::default();
        let now = self.ports.now();
        let due = match self.schedules.due_schedules(now, PER_PASS).await {
            Ok(due) => due,
            Err(error) => {
                report.errors += 1;
                tracing::warn!(error = %Chain(&error), "the schedules cannot be read");
                return report;
            }
        };
        for schedule in due {
            match self.meet(&schedule, now).await {
                Ok(None) => {}
                Ok(Some(DueOutcome::Started)) => report.started += 1,
                Ok(Some(DueOutcome::Skipped)) => report.skipped += 1,
                Ok(Some(DueOutcome::Missed)) => report.missed += 1,
                Ok(Some(DueOutcome::Failed)) => report.failed += 1,
                Err(error) => {
                    report.errors += 1;
                    let (tenant, id) = (&schedule.tenant, &schedule.id);
                    tracing::warn!(%tenant, schedule = %id, error = %Chain(&error), "a due time waits for the next look");
                }
            }
        }
        report
    }

    /// Looks after schedules until `stop` fires; `report` gets what each pass did.
    pub async fn run(&self, pace: Duration, stop: CancellationToken, report: impl Fn(Scheduled) + Send) {
        let mut look = tokio::time::interval(pace);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = look.tick() => report(self.pass().await),
            }
        }
    }

    /// Meets a due time; gives what came of it, `None` where another orchestrator was first.
    async fn meet(&self, schedule: &Schedule, now: Timestamp) -> Result<Option<DueOutcome>, OrchestratorError> {
        let Some(due) = schedule.next_due else { return Ok(None) };
        let times = Times::new(&schedule.cron, &schedule.time_zone);
        let nothing = |outcome, reason: String, error_code| DueRecord {
            due,
            at: now,
            outcome,
            run: None,
            reason: Some(reason),
            error_code,
        };
        let mut known = schedule.clone();
        let record = match (&times, schedule.claimed) {
            (Err(error), _) => nothing(DueOutcome::Failed, error.to_string(), Some(ErrorCode::InvalidSchedule)),
            (Ok(_), Some(due)) => self.submit(schedule, due, now, None).await?,
            (Ok(times), None) => match choose(schedule, times, due, now) {
                Choice::Missed(reason) => nothing(DueOutcome::Missed, reason, None),
                Choice::Run { due, reason } => match self.unfinished(schedule).await? {
                    Some(run) => {
                        let reason = format!("run {} has not ended, it is {}", run.id, run.status);
                        DueRecord { due, ..nothing(DueOutcome::Skipped, reason, None) }
                    }
                    None => {
                        known = Schedule {
                            claimed: Some(due),
                            revision: schedule.revision.saturating_add(1),
                            ..schedule.clone()
                        };
                        if !self.schedules.update_schedule(&known).await? {
                            return Ok(None);
                        }
                        self.submit(&known, due, now, reason).await?
                    }
                },
            },
        };
        let outcome = record.outcome;
        trail::due(&self.ports, schedule, &record).await?;
        let is_first = self.settle(known, &record, now).await?;
        if is_first {
            let DueRecord { due, run, reason, .. } = &record;
            let (tenant, id, outcome) = (&schedule.tenant, &schedule.id, outcome.as_str());
            tracing::info!(event = %LogEvent::ScheduleDue, %tenant, schedule = %id, %due, outcome, run = run.as_ref().map(RunId::as_str), reason, "due");
        }
        Ok(is_first.then_some(outcome))
    }

    /// The run before, where it is still at work and must not be joined by another.
    async fn unfinished(&self, schedule: &Schedule) -> Result<Option<Run>, OrchestratorError> {
        let (OverlapRule::Skip, Some(last)) = (schedule.overlap, &schedule.last_run) else { return Ok(None) };
        let last = self.ports.ledger.run(&schedule.tenant, last).await?;
        Ok(last.filter(|last| !last.status.is_terminal()))
    }

    /// Submits the run of a due time.
    async fn submit(
        &self,
        schedule: &Schedule,
        due: Timestamp,
        now: Timestamp,
        reason: Option<String>,
    ) -> Result<DueRecord, OrchestratorError> {
        let record = DueRecord { due, at: now, outcome: DueOutcome::Started, run: None, reason, error_code: None };
        let wanted = RunWanted {
            tenant: &schedule.tenant,
            profile: schedule.profile_id.as_str(),
            selectors: &schedule.selectors,
            options: &schedule.options,
            until: due,
            approved: None,
        };
        let prepared = match submit::prepare(&*self.ports.ledger, &self.supported, wanted).await {
            Ok(prepared) => prepared,
            Err(SubmitError::Ledger(error)) => return Err(error.into()),
            Err(SubmitError::Refused { code, problem, faults }) => {
                let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
                let reason = if faults.is_empty() { problem } else { format!("{problem}: {}", faults.join("; ")) };
                let (reason, error_code) = (Some(reason), Some(code));
                return Ok(DueRecord { outcome: DueOutcome::Failed, reason, error_code, ..record });
            }
        };
        let id = new_id(now);
        let trace = TraceParent::of_run(&id).child(rand::rng().random());
        // Nobody asked: the trace begins here.
        let _span = tracing::info_span!(
            "schedule",
            otel.name = "export.schedule",
            otel.kind = "internal",
            otel.sampled = trace.is_sampled(),
            trace_id = trace.trace_id(),
            span_id = trace.span_id(),
            run_id = %id,
            tenant = %schedule.tenant,
        );
        let run = prepared.requested(RunRequester {
            id,
            by: format!("schedule:{} for {}", schedule.id, schedule.created_by),
            at: now,
            correlation_id: format!("schedule:{}:{due}", schedule.id),
            traceparent: Some(trace),
        });
        let key = format!("{KEY_PREFIX}{}/{due}", schedule.id);
        let quotas = self.quotas.of(&schedule.tenant);
        match self.ports.ledger.submit_run(&run, Some((&key, FINGERPRINT)), quotas).await?.outcome {
            SubmitOutcome::Created(run) | SubmitOutcome::Existing(run) => {
                // The run is written: a hint that gets lost is made up for by the orchestrator's own round.
                if let Err(error) = self.ports.queue.requested(&run.reference()).await {
                    tracing::warn!(run_id = %run.id, error = &error as &dyn std::error::Error, "request hint not published");
                }
                Ok(DueRecord { run: Some(run.id), ..record })
            }
            SubmitOutcome::Refused(exceeded) => {
                let (reason, error_code) = (Some(exceeded.to_string()), Some(ErrorCode::Quota));
                Ok(DueRecord { outcome: DueOutcome::Failed, reason, error_code, ..record })
            }
            SubmitOutcome::Conflict => {
                let reason = Some(format!("the idempotency key `{key}` is another request's"));
                let error_code = Some(ErrorCode::IdempotencyMismatch);
                Ok(DueRecord { outcome: DueOutcome::Failed, reason, error_code, ..record })
            }
        }
    }

    /// Writes what came of a due time, and the next one; `false` where that was written before.
    async fn settle(&self, mut known: Schedule, record: &DueRecord, now: Timestamp) -> Result<bool, OrchestratorError> {
        loop {
            let Some(mut next) = choice::settled(&known, record, now) else { return Ok(false) };
            next.revision = known.revision.saturating_add(1);
            if self.schedules.update_schedule(&next).await? {
                return Ok(true);
            }
            // Another orchestrator, or somebody changed the schedule, or removed it.
            match self.schedules.schedule(&known.tenant, &known.id).await? {
                Some(newest) => known = newest,
                None => return Ok(false),
            }
        }
    }
}

/// The id of a run that is made now.
fn new_id(now: Timestamp) -> RunId {
    let mut random = [0_u8; 16];
    rand::rng().fill_bytes(&mut random);
    RunId::from_parts(u64::try_from(now.as_micros() / 1_000).unwrap_or(0), u128::from_be_bytes(random))
}
