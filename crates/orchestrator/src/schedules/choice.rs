//! What a due time comes to: pure, so that it can be tried on any clock.

use export_contract::Timestamp;
use export_contract::schedule::{DueOutcome, DueRecord, MissedRule, Schedule};
use export_runs::schedule::Times;

/// Minutes after a due time in which it counts as met, whatever the rule for missed ones: orchestrators look every few
/// seconds, and may be started anew.
pub(super) const PUNCTUAL_MINUTES: u32 = 5;

/// What to do about a schedule that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// Make the run of this due time.
    Run { due: Timestamp, reason: Option<String> },
    /// Make none.
    Missed(String),
}

/// Chooses the newest due time that may still be met.
pub(super) fn choose(schedule: &Schedule, times: &Times, first: Timestamp, now: Timestamp) -> Choice {
    let minutes = match schedule.missed {
        MissedRule::Skip => PUNCTUAL_MINUTES,
        MissedRule::Once => schedule.grace_minutes.max(PUNCTUAL_MINUTES),
    };
    let oldest = now.plus_seconds(-i64::from(minutes) * 60);
    match times.newest(first.max(oldest), now) {
        Some(due) if due == first => Choice::Run { due, reason: None },
        Some(due) => Choice::Run {
            due,
            reason: Some(format!("nobody met the due times from {first} on; this run is for the newest")),
        },
        None => Choice::Missed(format!("nobody came within {minutes} minutes")),
    }
}

/// The schedule after a due time; `None` where another orchestrator has written as much.
pub(super) fn settled(known: &Schedule, record: &DueRecord, now: Timestamp) -> Option<Schedule> {
    let mut next = known.clone();
    let is_news = known.last.as_ref().is_none_or(|last| last.due < record.due);
    if is_news {
        next.last = Some(record.clone());
        if record.run.is_some() {
            next.last_run.clone_from(&record.run);
        }
    }
    if known.claimed == Some(record.due) {
        next.claimed = None;
    }
    // What came due while a run was being made is still to be met. Whoever changed the times of the schedule meanwhile has
    // set the next one.
    let until = if record.outcome == DueOutcome::Missed { now } else { record.due };
    if known.next_due.is_some_and(|due| due <= until) {
        next.next_due = Times::new(&known.cron, &known.time_zone).ok().and_then(|times| times.next(until));
    }
    (next != *known).then_some(next)
}
