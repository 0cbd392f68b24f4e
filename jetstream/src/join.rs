//! Finding that every part of a run is written.
//!
//! A fold of the log, not a counter: each process that joins reads the parts' markers from the log's beginning, so a
//! restart needs no state of its own, and any number of joiners may run. Whoever is first to see the last marker
//! publishes `adapt.joined`; compare and set keeps the others out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use async_nats::jetstream::Message;
use export_contract::PartIndex;
use export_contract::message::{Outcome, ResultRef, StageEvent};
use export_contract::run::{Phase, RunRef};
use tokio_util::sync::CancellationToken;

use crate::connect::Nats;
use crate::cursor::{Cursor, Seen};
use crate::metrics::Metrics;
use crate::publish::{Publisher, Trail};
use crate::report::Chain;
use crate::subjects::{ParsedSubject, What, any_run};
use crate::topology::LOG_STREAM;

/// Runs that are over are remembered, so that a late marker does not open them again; this many.
const REMEMBERED: usize = 10_000;

/// The joiner of one process.
#[derive(Debug)]
pub struct Join {
    nats: Nats,
    publisher: Publisher,
}

/// What the log says about the runs whose parts are at work.
#[derive(Debug, Default)]
struct Fold {
    open: BTreeMap<RunRef, Parts>,
    over: BTreeSet<RunRef>,
    over_by_age: VecDeque<RunRef>,
}

#[derive(Debug, Default)]
struct Parts {
    /// How many there are, and the record of resolve.
    resolved: Option<(u32, ResultRef)>,
    written: BTreeSet<PartIndex>,
    trail: Trail,
}

impl Join {
    /// A joiner; nothing happens before [`Join::run`].
    pub fn new(nats: Nats, metrics: Metrics) -> Self {
        Self { publisher: Publisher::new(nats.clone(), metrics), nats }
    }

    /// Joins until `shutdown` fires.
    pub async fn run(self, shutdown: CancellationToken) {
        let filters =
            ["adapt.part.*.done", "resolve.done", "adapt.joined", "*.failed", "cancelled"].map(any_run).to_vec();
        let mut cursor = Cursor::new(self.nats.clone(), LOG_STREAM, filters);
        let mut fold = Fold::default();
        // Before that, most runs that look ready were joined long ago.
        let mut caught_up = false;
        let work = async {
            loop {
                match cursor.next().await {
                    Seen::Message(message) => {
                        if let Some(run) = fold.read(&message)
                            && caught_up
                        {
                            self.join(&mut fold, &run).await;
                        }
                    }
                    Seen::CaughtUp => {
                        caught_up = true;
                        for run in fold.ready() {
                            self.join(&mut fold, &run).await;
                        }
                    }
                    Seen::StartedOver => {
                        fold = Fold::default();
                        caught_up = false;
                    }
                }
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = Box::pin(work) => {}
        }
    }

    async fn join(&self, fold: &mut Fold, run: &RunRef) {
        if let Some(Parts { resolved: Some((_, result)), trail, .. }) = fold.open.get(run) {
            self.publisher.tell(run, What::Joined, Outcome::Joined { result: result.clone() }, trail).await;
        }
        fold.close(run);
    }
}

impl Fold {
    /// Takes one event in; gives its run, if that is ready to be joined.
    fn read(&mut self, message: &Message) -> Option<RunRef> {
        let ParsedSubject { run, what } = message.subject.parse().ok()?;
        if self.over.contains(&run) {
            return None;
        }
        if matches!(what, What::Joined) || what.is_terminal() {
            self.close(&run);
            return None;
        }
        let event: StageEvent = serde_json::from_slice(&message.payload)
            .inspect_err(|error| tracing::warn!(subject = %message.subject, error = %Chain(error), "the join cannot read an event"))
            .ok()?;
        let parts = self.open.entry(run.clone()).or_default();
        match (what, event.outcome) {
            (What::Done(Phase::Resolve), Outcome::Done { result, parts: Some(number), .. }) => {
                parts.resolved = Some((number, result));
                parts.trail = Trail::of(message.headers.as_ref());
            }
            (What::PartDone(Phase::Adapt, part), Outcome::Done { .. }) => {
                parts.written.insert(part);
            }
            _ => {}
        }
        parts.complete().then_some(run)
    }

    fn ready(&self) -> Vec<RunRef> {
        self.open.iter().filter(|(_, parts)| parts.complete()).map(|(run, _)| run.clone()).collect()
    }

    fn close(&mut self, run: &RunRef) {
        self.open.remove(run);
        if self.over.insert(run.clone()) {
            self.over_by_age.push_back(run.clone());
        }
        if self.over_by_age.len() > REMEMBERED
            && let Some(oldest) = self.over_by_age.pop_front()
        {
            self.over.remove(&oldest);
        }
    }
}

impl Parts {
    fn complete(&self) -> bool {
        let Some((number, _)) = self.resolved else {
            return false;
        };
        let wanted = usize::try_from(number).unwrap_or(usize::MAX);
        // The length first: counting at every marker would be quadratic.
        self.written.len() >= wanted && self.written.range(..PartIndex(number)).count() == wanted
    }
}
