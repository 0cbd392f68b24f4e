//! Putting events on the log: compare and set until the outcome is certain (pipeline.md sections 1.3 and 4).

use std::time::{Duration, SystemTime};

use async_nats::HeaderMap;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use bytes::Bytes;
use export_contract::message::{Outcome, ResultRef, StageEvent, Summary};
use export_contract::run::{Phase, RunRef};
use export_contract::{PartIndex, Timestamp, TraceParent, Version};
use futures::StreamExt;

use crate::connect::Nats;
use crate::dead_letter::DeadLetter;
use crate::metrics::Metrics;
use crate::report::{Backoff, Chain};
use crate::subjects::{self, ParsedSubject, What};
use crate::topology::LOG_STREAM;

/// Parts of a run whose commands are on the log and that are not done: the next one is commanded when one of them is. So
/// the parts of a large run are not all before those of whoever comes next.
pub(crate) const PARTS_AHEAD: u32 = 32;

/// Follows a request through the log, from event to event.
pub(crate) const CORRELATION_ID: &str = "Export-Correlation-Id";
/// W3C trace context: what the spans of the run hang below. Handed on from command to event as it is.
const TRACEPARENT: &str = "traceparent";

/// What is there after a publish whose outcome is certain.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Committed {
    /// We put it there.
    Now,
    /// It was there; these are its bytes.
    Before(Bytes),
}

/// Publishes events. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Publisher {
    nats: Nats,
    metrics: Metrics,
}

/// That a phase, or a part of one, is done.
#[derive(Clone, Debug)]
pub(crate) struct DoneNews {
    pub(crate) run: RunRef,
    pub(crate) phase: Phase,
    pub(crate) part: Option<PartIndex>,
    pub(crate) parts: Option<u32>,
    pub(crate) result: ResultRef,
    pub(crate) summary: Summary,
}

impl Publisher {
    pub(crate) fn new(nats: Nats, metrics: Metrics) -> Self {
        Self { nats, metrics }
    }

    /// Puts a `done` event on the log: a phase that fans out puts the commands of its first parts there first, those of the
    /// others follow ([`Self::command_next`]).
    pub(crate) async fn announce(&self, news: &DoneNews, trail: &Trail) {
        let DoneNews { run, phase, part, parts, result, summary } = news.clone();
        let event = |part, summary| Outcome::Done { result: result.clone(), part, parts, summary };
        if let (None, Some(parts)) = (part, parts) {
            futures::stream::iter((0..parts.min(PARTS_AHEAD)).map(PartIndex))
                .map(|part| self.tell(&run, What::PartDone(phase, part), event(Some(part), Summary::default()), trail))
                .buffered(PARTS_AHEAD as usize)
                .collect::<()>()
                .await;
        }
        let what = part.map_or(What::Done(phase), |part| What::PartDone(phase, part));
        self.tell(&run, what, event(part, summary), trail).await;
    }

    /// Commands the part that is to follow a part of adapt, of `parts` parts that `resolved` tells of. Called when that part
    /// is done and its command not yet acknowledged: then a command is always on the way to every part that is left.
    pub(crate) async fn command_next(
        &self,
        run: &RunRef,
        part: PartIndex,
        parts: u32,
        resolved: &ResultRef,
        trail: &Trail,
    ) {
        let next = PartIndex(part.0.saturating_add(PARTS_AHEAD));
        if next.0 < parts {
            let (result, summary) = (resolved.clone(), Summary::default());
            let command = Outcome::Done { result, part: Some(next), parts: Some(parts), summary };
            self.tell(run, What::PartDone(Phase::Resolve, next), command, trail).await;
        }
    }

    /// The record of resolve, by the log; `None` where the log does not have it.
    pub(crate) async fn resolved(&self, run: &RunRef) -> Option<ResultRef> {
        let subject = ParsedSubject { run: run.clone(), what: What::Done(Phase::Resolve) }.to_string();
        let mut backoff = Backoff::up_to(Duration::from_secs(5));
        loop {
            match self.last(&subject).await {
                Ok(stored) => {
                    let event: StageEvent = serde_json::from_slice(&stored?).ok()?;
                    return result_of(&event.outcome).cloned();
                }
                Err(error) => {
                    tracing::warn!(subject, error = %Chain(error.as_ref()), "cannot read what is on the log");
                }
            }
            backoff.wait().await;
        }
    }

    /// Puts one event on the log, unless there is one on its subject: the first one stands.
    pub(crate) async fn tell(&self, run: &RunRef, what: What, outcome: Outcome, trail: &Trail) {
        let subject = ParsedSubject { run: run.clone(), what };
        let event = StageEvent { v: Version, run: run.clone(), outcome, at: Timestamp::from(SystemTime::now()) };
        let Ok(payload) = serde_json::to_vec(&event) else {
            tracing::error!(%subject, "an event cannot be written as JSON");
            return;
        };
        if let Committed::Before(stored) = self.commit(&subject.to_string(), payload.into(), trail).await {
            let ours = result_of(&event.outcome);
            let theirs = serde_json::from_slice::<StageEvent>(&stored).ok();
            let other = ours.is_some() && theirs.as_ref().and_then(|event| result_of(&event.outcome)) != ours;
            self.metrics.conflict(other);
            if other {
                tracing::error!(%subject, run_id = %run.run, tenant = %run.tenant, "two workers made different results of one step; the first stands");
            }
        }
    }

    /// Keeps a command that nobody could do; says whether it is there for the first time.
    pub(crate) async fn bury(&self, letter: &DeadLetter, trail: &Trail) -> bool {
        let grave = subjects::dead_letter(&letter.consumer, &letter.subject);
        let Ok(payload) = serde_json::to_vec(letter) else {
            tracing::error!(grave, "a dead letter cannot be written as JSON");
            return false;
        };
        self.commit(&grave, payload.into(), trail).await == Committed::Now
    }

    /// Publishes `payload` on a subject that must be empty, and tries until it is certain what the subject holds.
    /// Never gives up: the caller drops the future when it has waited long enough, and may call again.
    pub(crate) async fn commit(&self, subject: &str, payload: Bytes, trail: &Trail) -> Committed {
        let mut backoff = Backoff::up_to(Duration::from_secs(5));
        let mut known_id = true;
        loop {
            match self.attempt(subject, payload.clone(), known_id, trail).await {
                Ok(Attempt::Stored) => return Committed::Now,
                Ok(Attempt::There { duplicate }) => match self.last(subject).await {
                    Ok(Some(stored)) => return Committed::Before(stored),
                    // The server remembers the id of a message that was purged since.
                    Ok(None) => known_id = !duplicate,
                    Err(error) => {
                        tracing::warn!(subject, error = %Chain(error.as_ref()), "cannot read what is on the log");
                    }
                },
                Err(error) => {
                    tracing::warn!(subject, error = %Chain(&error), "the log did not take an event; trying again");
                }
            }
            backoff.wait().await;
        }
    }

    async fn attempt(
        &self,
        subject: &str,
        payload: Bytes,
        with_id: bool,
        trail: &Trail,
    ) -> Result<Attempt, async_nats::jetstream::context::PublishError> {
        let mut message =
            PublishMessage::build().headers(trail.0.clone()).payload(payload).expected_last_subject_sequence(0);
        if with_id {
            message = message.message_id(subject);
        }
        let sent = match self.nats.jetstream().send_publish(subject.to_owned(), message).await {
            Ok(sent) => sent.await,
            Err(error) => Err(error),
        };
        match sent {
            Ok(ack) if ack.duplicate => Ok(Attempt::There { duplicate: true }),
            Ok(_) => Ok(Attempt::Stored),
            // 10164, "in flight", is not mapped to this kind by the client and is tried again, as it should be.
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => {
                Ok(Attempt::There { duplicate: false })
            }
            Err(error) => Err(error),
        }
    }

    /// The last message on a subject of the log or of the dead letters, read from the stream's leader.
    async fn last(&self, subject: &str) -> Result<Option<Bytes>, Box<dyn std::error::Error + Send + Sync>> {
        let name = if subject.starts_with("export.") { LOG_STREAM } else { crate::topology::DEAD_STREAM };
        let stream = self.nats.jetstream().get_stream_no_info(name).await?;
        match stream.get_last_raw_message_by_subject(subject).await {
            Ok(message) => Ok(Some(message.payload)),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

enum Attempt {
    Stored,
    There { duplicate: bool },
}

fn result_of(outcome: &Outcome) -> Option<&ResultRef> {
    match outcome {
        Outcome::Admitted { result } | Outcome::Done { result, .. } | Outcome::Joined { result } => Some(result),
        Outcome::Requested | Outcome::Failed { .. } | Outcome::Cancelled { .. } => None,
    }
}

/// What goes from a command to the events that follow from it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trail(HeaderMap);

impl Trail {
    pub(crate) fn of(command: Option<&HeaderMap>) -> Self {
        let mut trail = HeaderMap::new();
        for name in [CORRELATION_ID, TRACEPARENT] {
            if let Some(value) = command.and_then(|headers| headers.get(name)) {
                trail.insert(name, value.clone());
            }
        }
        Self(trail)
    }

    /// Sets the correlation id, unless it is known or cannot stand in a header.
    pub(crate) fn correlate(&mut self, id: &str) {
        if self.0.get(CORRELATION_ID).is_none()
            && !id.is_empty()
            && id.len() <= 128
            && id.bytes().all(|b| b.is_ascii_graphic())
        {
            self.0.insert(CORRELATION_ID, id);
        }
    }

    /// Sets what the spans of the run hang below, unless it is known.
    pub(crate) fn trace(&mut self, parent: TraceParent) {
        if self.traceparent().is_none() {
            self.0.insert(TRACEPARENT, parent.to_string());
        }
    }

    pub(crate) fn traceparent(&self) -> Option<TraceParent> {
        self.0.get(TRACEPARENT)?.as_str().parse().ok()
    }

    pub(crate) fn correlation_id(&self) -> Option<&str> {
        self.0.get(CORRELATION_ID).map(async_nats::HeaderValue::as_str)
    }
}
