//! Reading the whole log, in order, each event until it is taken: what the recorder stands on.

use std::error::Error;
use std::time::{Duration, SystemTime};

use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::jetstream::{AckKind, Message};
use async_trait::async_trait;
use export_contract::message::StageEvent;
use export_contract::{ErrorCode, LogEvent, Timestamp, Version};
use export_pipeline::QueueError;
use tokio_util::sync::CancellationToken;

use crate::connect::{Nats, cannot};
use crate::dead_letter::DeadLetter;
use crate::metrics::Metrics;
use crate::publish::{Publisher, Trail};
use crate::pull::{Pulled, Puller};
use crate::report::{Backoff, Chain};
use crate::subjects::ParsedSubject;
use crate::topology::{self, LOG_STREAM, RECORDER, Topology};

/// Takes the events of the log.
#[async_trait]
pub trait LogHandler: Send + Sync {
    /// Takes one event. Called for one event at a time over all processes, in the order of the log.
    ///
    /// After a crash of ours an event comes again. After a crash of the server a whole stretch may, beginning well
    /// before the last one: it writes the consumer's place to disk later than it answers. So an event that was taken
    /// long ago, and whose successors were, must change nothing.
    async fn handle(&self, subject: ParsedSubject, event: StageEvent) -> Result<(), HandlerError>;
}

/// Why an event was not taken.
#[derive(Debug, thiserror::Error)]
#[error("an event of the log was not taken")]
pub struct HandlerError {
    /// Whether the same call may succeed later. It is then made again until it does, and the log waits; otherwise the
    /// event becomes a dead letter.
    pub transient: bool,
    /// Why.
    #[source]
    pub cause: Box<dyn Error + Send + Sync>,
}

/// The reader of one process.
#[derive(Debug)]
pub struct Tail {
    nats: Nats,
    topology: Topology,
    publisher: Publisher,
    metrics: Metrics,
}

impl Tail {
    /// A reader; nothing happens before [`Tail::run`].
    pub fn new(nats: Nats, topology: Topology, metrics: Metrics) -> Self {
        Self { publisher: Publisher::new(nats.clone(), metrics.clone()), nats, topology, metrics }
    }

    /// Hands the log's events to `handler` until `shutdown` fires. A broker that goes away is waited for.
    pub async fn run(self, handler: impl LogHandler, shutdown: CancellationToken) {
        let mut backoff = Backoff::up_to(Duration::from_secs(5));
        while !shutdown.is_cancelled() {
            if let Err(error) = self.read(&handler, &shutdown, &mut backoff).await {
                tracing::debug!(error = %Chain(&error), "the log stopped coming; asking anew");
                let mend = async {
                    backoff.wait().await;
                    if let Err(error) = topology::ensure(&self.nats, &self.topology).await {
                        tracing::warn!(error = %Chain(&error), "the broker is not ready");
                    }
                };
                shutdown.run_until_cancelled(Box::pin(mend)).await;
            }
        }
    }

    async fn read(
        &self,
        handler: &impl LogHandler,
        shutdown: &CancellationToken,
        backoff: &mut Backoff,
    ) -> Result<(), QueueError> {
        let act = || "read the log";
        let consumer: PullConsumer = self
            .nats
            .jetstream()
            .get_consumer_from_stream::<pull::Config, _, _>(RECORDER, LOG_STREAM)
            .await
            .map_err(cannot(act()))?;
        let heartbeat = consumer.cached_info().config.ack_wait / 3;
        let mut puller = Puller::open(&self.nats, consumer).await.map_err(cannot(act()))?;
        loop {
            // The consumer hands out one event at a time; the number only saves requests.
            puller.request(64).await.map_err(cannot(act()))?;
            loop {
                let next = tokio::select! {
                    biased;
                    () = shutdown.cancelled() => return Ok(()),
                    next = puller.next() => next.map_err(cannot(act()))?,
                };
                let Pulled::Message(message) = next else {
                    break;
                };
                tokio::select! {
                    biased;
                    taken = self.take(handler, &message, shutdown) => {
                        let answer = if taken { AckKind::Ack } else { AckKind::Nak(None) };
                        message.ack_with(answer).await.map_err(cannot("acknowledge an event"))?;
                    }
                    () = keep(&message, heartbeat) => {}
                }
                *backoff = Backoff::up_to(Duration::from_secs(5));
            }
        }
    }

    /// Whether the event is done with; otherwise we are told to stop.
    async fn take(&self, handler: &impl LogHandler, message: &Message, shutdown: &CancellationToken) -> bool {
        let subject = message.subject.as_str();
        let read = subject
            .parse::<ParsedSubject>()
            .map_err(|error| Box::new(error) as Box<dyn Error + Send + Sync>)
            .and_then(|parsed| Ok((parsed, serde_json::from_slice::<StageEvent>(&message.payload)?)));
        let (parsed, event) = match read {
            Ok(read) => read,
            Err(error) => {
                let reason = Chain(error.as_ref()).to_string();
                self.bury(message, ErrorCode::Poisoned, reason, shutdown).await;
                return true;
            }
        };
        let mut backoff = Backoff::up_to(Duration::from_secs(10));
        loop {
            match handler.handle(parsed.clone(), event.clone()).await {
                Ok(()) => return true,
                Err(error) if error.transient => {
                    tracing::warn!(subject, run_id = %parsed.run.run, tenant = %parsed.run.tenant, error = %Chain(&error), "the log waits for an event to be taken");
                }
                Err(error) => {
                    let reason = Chain(&error).to_string();
                    self.bury(message, ErrorCode::Internal, reason, shutdown).await;
                    return true;
                }
            }
            if shutdown.run_until_cancelled(backoff.wait()).await.is_none() {
                return false;
            }
        }
    }

    async fn bury(&self, message: &Message, code: ErrorCode, reason: String, shutdown: &CancellationToken) {
        let subject = message.subject.as_str();
        tracing::error!(event = %LogEvent::FactSetAside, subject, error_code = %code, error = reason, "an event of the log cannot be taken and is set aside");
        let info = message.info().ok();
        let letter = DeadLetter {
            v: Version,
            consumer: RECORDER.to_owned(),
            subject: subject.to_owned(),
            sequence: info.as_ref().map_or(0, |info| info.stream_sequence),
            deliveries: info.and_then(|info| u32::try_from(info.delivered).ok()).unwrap_or(1),
            code,
            reason,
            payload: String::from_utf8_lossy(&message.payload).into_owned(),
            at: Timestamp::from(SystemTime::now()),
        };
        self.metrics.dead_letter(RECORDER, code);
        let trail = Trail::of(message.headers.as_ref());
        shutdown.run_until_cancelled(self.publisher.bury(&letter, &trail)).await;
    }
}

/// Keeps the event ours for as long as it is at work.
async fn keep(message: &Message, every: Duration) {
    loop {
        tokio::time::sleep(every.max(Duration::from_millis(10))).await;
        if let Err(error) = message.ack_with(AckKind::Progress).await {
            tracing::debug!(%error, "the server was not told that an event is at work");
        }
    }
}
