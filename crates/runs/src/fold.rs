//! What a fact does to a run: pure, and the same for every driver.

use std::collections::BTreeMap;

use export_contract::event::EventType;
use export_contract::message::{Distribution, InputRange};
use export_contract::run::{Phase, Replay, Run, RunProgress, RunRef, RunStatus};
use export_contract::{Generation, Timestamp};

use crate::revision::Illegal;
use crate::store::{NewEvent, StepOutcome};

/// The fact that a run was written. Only a pending run in its first generation can be.
pub(crate) fn written(run: &Run) -> Result<NewEvent, Illegal> {
    if run.status != RunStatus::Pending || run.generation != Generation::FIRST {
        return Err(Illegal::NotPending);
    }
    let (event_type, message) = (EventType::RunPending, format!("{} requested", run.profile_kind));
    Ok(ledger_event(run, event_type, message, run.requested_at, Some(run.requested_by.clone())))
}

/// The run with a slot, and the fact that it got one; `None` when it does not wait for one.
pub(crate) fn admitted(run: &Run, now: Timestamp) -> Option<(Run, NewEvent)> {
    run.status.may_become(RunStatus::Running).then(|| {
        let event = ledger_event(run, EventType::RunRunning, "admitted".to_owned(), now, None);
        let running = Run {
            status: RunStatus::Running,
            started_at: Some(now),
            phase: run.phase.max(Some(Phase::Plan)),
            ..run.clone()
        };
        (running, event)
    })
}

/// The run as cancelled, and the fact that it was; `None` when it ended before.
pub(crate) fn aborted(run: &Run, by: &str, now: Timestamp) -> Option<(Run, NewEvent)> {
    let event = ledger_event(run, EventType::RunAborted, format!("cancelled by {by}"), now, Some(by.to_owned()));
    let outcome = StepOutcome { terminal: Some(RunStatus::Aborted), ..StepOutcome::default() };
    applied(run, &run.reference(), &event, &outcome).map(|run| (run, event))
}

/// The run in a new generation, which waits for a slot, and the fact that it was replayed; `None` when it is not one that ended
/// without a bundle, or retention has begun to let go of it.
pub(crate) fn replayed(run: &Run, replay: Replay, by: &str, now: Timestamp) -> Option<(Run, NewEvent)> {
    if !matches!(run.status, RunStatus::Failed | RunStatus::Aborted) || run.expiry.is_some() {
        return None;
    }
    let generation = Generation(run.generation.0.checked_add(1)?);
    let next = Run {
        status: RunStatus::Pending,
        generation,
        replay: Some(replay),
        phase: None,
        started_at: None,
        completed_at: None,
        duration_ms: None,
        error_code: None,
        error_message: None,
        policy_snapshot_id: None,
        progress: RunProgress::default(),
        bundle: None,
        inputs: Vec::new(),
        distributions: Vec::new(),
        ..run.clone()
    };
    let message = match replay.from {
        Some(from) => format!("replayed by {by} from {from} on"),
        None => format!("replayed by {by} from where it had ended"),
    };
    let mut event = ledger_event(&next, EventType::RunReplayed, message, now, Some(by.to_owned()));
    event.metrics.insert("generation".to_owned(), u64::from(generation.0));
    Some((next, event))
}

/// The run after a fact; `None` when the fact is of another generation, or the run is in no state to take it.
pub(crate) fn applied(run: &Run, wanted: &RunRef, event: &NewEvent, outcome: &StepOutcome) -> Option<Run> {
    if run.reference() != *wanted
        || run.status.is_terminal()
        || outcome.terminal.is_some_and(|next| !run.status.may_become(next))
    {
        return None;
    }
    let mut run = run.clone();
    // Redelivered facts may come late: a phase is never left backwards.
    run.phase = run.phase.max(outcome.phase);
    run.progress = sum(run.progress, outcome.progress);
    if let Some(bundle) = &outcome.bundle {
        run.bundle = Some(bundle.clone());
    }
    if let Some(snapshot) = &outcome.policy_snapshot {
        run.policy_snapshot_id = Some(snapshot.clone());
    }
    if let Some(base) = &outcome.base {
        run.base = Some(base.clone());
    }
    if let Some((code, message)) = &outcome.error {
        run.error_code = Some(*code);
        run.error_message = Some(message.clone());
    }
    if let Some(status) = outcome.terminal {
        run.status = status;
        run.completed_at = Some(event.at);
        run.duration_ms = run.started_at.map(|started| millis_between(started, event.at));
    }
    Some(run)
}

/// Brings inputs into the order in which they are shown: by part, then kind and source.
pub(crate) fn sort_inputs(inputs: &mut [InputRange]) {
    inputs.sort_by(|a, b| (a.part, a.kind, &a.source).cmp(&(b.part, b.kind, &b.source)));
}

/// Brings distributions into the order in which they are shown: by type, then location.
pub(crate) fn sort_distributions(distributions: &mut [Distribution]) {
    distributions.sort_by(|a, b| (a.kind, &a.location).cmp(&(b.kind, &b.location)));
}

fn ledger_event(run: &Run, event_type: EventType, message: String, at: Timestamp, actor: Option<String>) -> NewEvent {
    NewEvent {
        key: format!("{}.{}", run.generation, event_type.as_str()),
        event_type,
        phase: None,
        message,
        at,
        metrics: BTreeMap::new(),
        actor,
    }
}

fn sum(a: RunProgress, b: RunProgress) -> RunProgress {
    RunProgress {
        parts_total: a.parts_total.saturating_add(b.parts_total),
        parts_done: a.parts_done.saturating_add(b.parts_done),
        records_total: a.records_total.saturating_add(b.records_total),
        records_done: a.records_done.saturating_add(b.records_done),
        bytes_done: a.bytes_done.saturating_add(b.bytes_done),
    }
}

/// Whole milliseconds; 0 when the clocks of two machines disagree on the order.
fn millis_between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_micros().saturating_sub(from.as_micros()) / 1_000).unwrap_or(0)
}
