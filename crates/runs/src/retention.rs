//! Retention in the run ledger: the port, and what its steps do to a run, the same for every driver.

use std::collections::BTreeMap;

use async_trait::async_trait;
use export_contract::event::EventType;
use export_contract::message::Distribution;
use export_contract::profile::DistributionKind;
use export_contract::retention::Expiry;
use export_contract::run::{Run, RunStatus};
use export_contract::{Generation, RunId, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::store::{NewEvent, RunStore, RunStoreError};

/// What retention does to a run that ended. Each step stands in the run's timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RetentionStep {
    /// From now on nothing of it is offered.
    Expire {
        /// Why, for people.
        reason: String,
    },
    /// It is offered again.
    Spare {
        /// Why, for people.
        reason: String,
    },
    /// Its bytes begin to go, because it expired at `since`: one that came back in between and expired anew is not meant.
    Remove {
        /// When it expired.
        since: Timestamp,
    },
    /// It did not succeed, and handed over to this place all the same: from now on the place is one of its distributions.
    Found {
        /// Where.
        distribution: Distribution,
    },
    /// A target has let go of it.
    Removed {
        /// Which target.
        kind: DistributionKind,
        /// Where it was.
        location: String,
    },
    /// A target keeps it for now.
    Locked {
        /// Which target.
        kind: DistributionKind,
        /// Where it is.
        location: String,
        /// Until when, where the target says so.
        until: Option<Timestamp>,
    },
    /// Nothing of it is left.
    Prune,
}

/// What a run ledger promises to retention.
#[async_trait]
pub trait RetentionStore: RunStore {
    /// Tenants with runs that are not pruned, in any state.
    async fn tenants_with_bytes(&self) -> Result<Vec<TenantId>, RunStoreError>;

    /// Runs of a tenant that are not pruned, in any state, with their distributions and without inputs: oldest first, those behind
    /// `after`, at most `limit`.
    async fn runs_with_bytes(
        &self,
        tenant: &TenantId,
        after: Option<&RunId>,
        limit: u32,
    ) -> Result<Vec<Run>, RunStoreError>;

    /// Takes a step and writes its event, once: `false` when the run does not take it (any more), or there is no such run. Of several
    /// callers one is told that it took it.
    async fn retain(
        &self,
        tenant: &TenantId,
        run: &RunId,
        step: &RetentionStep,
        now: Timestamp,
    ) -> Result<bool, RunStoreError>;
}

/// The run after a step, and the fact that it was taken; `None` when the run is in no state to take it. What a step says of a
/// distribution is no part of the run's document: that it is said once, its fact sees to.
pub(crate) fn retained(run: &Run, step: &RetentionStep, now: Timestamp) -> Option<(Run, NewEvent)> {
    if !run.status.is_terminal() {
        return None;
    }
    // A run may expire and come back several times, each at a time of its own.
    let numbered = |name: &str| format!("retention.{name}.{}", now.as_micros());
    // A replayed run may be at the same place once more.
    let placed = |name: &str, kind: DistributionKind, location: &str| {
        let of = if run.generation == Generation::FIRST { String::new() } else { format!("{}.", run.generation) };
        format!("retention.{name}.{of}{}.{location}", kind.as_str())
    };
    let (expiry, event_type, key, message) = match (run.expiry, step) {
        (None, RetentionStep::Expire { reason }) => {
            (Some(Expiry::began(now)), EventType::RunExpiring, numbered("expiring"), reason.clone())
        }
        (Some(expiry), RetentionStep::Spare { reason }) if !expiry.is_final() => {
            (None, EventType::RunSpared, numbered("spared"), reason.clone())
        }
        (Some(expiry), RetentionStep::Remove { since }) if !expiry.is_final() && expiry.since == *since => {
            let message = format!("no longer offered since {since}; its bytes are removed");
            let expiry = Expiry { removing_at: Some(now), ..expiry };
            (Some(expiry), EventType::RunRemoving, "retention.removing".to_owned(), message)
        }
        (expiry, RetentionStep::Found { distribution: Distribution { kind, location, .. } }) if withdraws(run) => {
            let message = format!("a run that did not succeed had handed over to {}: {location}", kind.as_str());
            (expiry, EventType::DistributionFound, placed("found", *kind, location), message)
        }
        (expiry, RetentionStep::Removed { kind, location }) if withdraws(run) => {
            let message = format!("removed from {}: {location}", kind.as_str());
            (expiry, EventType::DistributionPruned, placed("removed", *kind, location), message)
        }
        (expiry, RetentionStep::Locked { kind, location, until }) if withdraws(run) => {
            let until = until.map_or_else(|| "an unknown time".to_owned(), |until| until.to_string());
            let message = format!("kept locked until {until} by {}: {location}", kind.as_str());
            (expiry, EventType::DistributionLocked, format!("{}.{until}", placed("locked", *kind, location)), message)
        }
        (Some(expiry), RetentionStep::Prune) if removes(expiry) => {
            let expiry = Expiry { pruned_at: Some(now), ..expiry };
            let message = "nothing is left of it but this record".to_owned();
            (Some(expiry), EventType::RunPruned, "retention.pruned".to_owned(), message)
        }
        (None | Some(_), _) => return None,
    };
    let actor = Some(ACTOR.to_owned());
    let event = NewEvent { key, event_type, phase: None, message, at: now, metrics: BTreeMap::new(), actor };
    Some((Run { expiry, ..run.clone() }, event))
}

/// Who takes these steps, by the timeline.
const ACTOR: &str = "retention";

/// Whether targets let go of the run: of one that succeeded when its time is over, of another one from its end on.
fn withdraws(run: &Run) -> bool {
    match run.expiry {
        Some(expiry) if run.status == RunStatus::Succeeded => removes(expiry),
        Some(expiry) => expiry.pruned_at.is_none(),
        None => run.status != RunStatus::Succeeded,
    }
}

fn removes(expiry: Expiry) -> bool {
    expiry.is_final() && expiry.pruned_at.is_none()
}
