//! Reading a stream in order from its beginning, and going on by itself whatever happens to the server.
//!
//! This is what an ordered consumer is for; the client's own loses its wake-up after a missed heartbeat (async-nats
//! 0.51, `impl Stream for Ordered`) and does not notice when the stream was lost and made anew (design D1).

use std::time::Duration;

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use export_pipeline::QueueError;

use crate::connect::{Nats, cannot};
use crate::pull::{PullError, Pulled, Puller};
use crate::report::{Backoff, Chain};

const BATCH: usize = 256;

/// What a cursor sees.
pub(crate) enum Seen {
    /// The next message.
    Message(Box<Message>),
    /// There was nothing after the last message when it was sent.
    CaughtUp,
    /// The stream was lost and is read from its beginning: forget what it said.
    StartedOver,
}

/// A place in a stream.
pub(crate) struct Cursor {
    nats: Nats,
    stream: &'static str,
    filters: Vec<String>,
    /// Sequence of the next message to see.
    next: u64,
    /// When the stream was created, as the server says.
    created: Option<String>,
    open: Option<Open>,
    started_over: bool,
    caught_up: bool,
}

struct Open {
    puller: Puller,
    /// Consumer sequence of the last message: a gap means that one was lost on the way.
    last: u64,
}

impl Cursor {
    pub(crate) fn new(nats: Nats, stream: &'static str, filters: Vec<String>) -> Self {
        Self { nats, stream, filters, next: 1, created: None, open: None, started_over: false, caught_up: false }
    }

    /// What comes next; waits for it. Safe to drop while waiting.
    pub(crate) async fn next(&mut self) -> Seen {
        let mut backoff = Backoff::up_to(Duration::from_secs(5));
        loop {
            if std::mem::take(&mut self.started_over) {
                return Seen::StartedOver;
            }
            if std::mem::take(&mut self.caught_up) {
                return Seen::CaughtUp;
            }
            let Some(mut open) = self.open.take() else {
                if let Err(error) = self.open().await {
                    tracing::debug!(stream = self.stream, error = %Chain(&error), "cannot read a stream; trying again");
                    backoff.wait().await;
                }
                continue;
            };
            // `open` is put back by every path on which it is still good, and by none that is dropped in between: a
            // cursor that is dropped here opens anew at the same place.
            match open.puller.next().await {
                Ok(Pulled::Message(message)) => {
                    if let Some((stream_sequence, pending)) = open.in_order(&message) {
                        self.next = stream_sequence + 1;
                        self.caught_up = pending == 0;
                        self.open = Some(open);
                        return Seen::Message(message);
                    }
                    tracing::debug!(stream = self.stream, "a message was lost on the way; reading it again");
                }
                Ok(Pulled::Ended) => match open.puller.request(BATCH).await {
                    Ok(()) => self.open = Some(open),
                    Err(error) => self.lost(&error),
                },
                Err(error) => self.lost(&error),
            }
        }
    }

    fn lost(&self, error: &PullError) {
        tracing::debug!(stream = self.stream, error = %Chain(error), "reading a stream anew");
    }

    /// Opens a consumer at the place, or at the beginning if the stream is another one than before.
    async fn open(&mut self) -> Result<(), QueueError> {
        let act = || format!("read stream {}", self.stream);
        let stream = self.nats.jetstream().get_stream(self.stream).await.map_err(cannot(act()))?;
        let info = stream.cached_info();
        let created = info.created.to_string();
        if self.created.as_ref().is_some_and(|before| *before != created)
            || info.state.last_sequence.saturating_add(1) < self.next
        {
            self.started_over = true;
            self.next = 1;
        }
        self.created = Some(created);
        let config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: self.next.max(1) },
            ack_policy: AckPolicy::None,
            filter_subjects: self.filters.clone(),
            inactive_threshold: Duration::from_mins(1),
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(config).await.map_err(cannot(act()))?;
        self.caught_up = consumer.cached_info().num_pending == 0;
        let mut puller = Puller::open(&self.nats, consumer).await.map_err(cannot(act()))?;
        puller.request(BATCH).await.map_err(cannot(act()))?;
        self.open = Some(Open { puller, last: 0 });
        Ok(())
    }
}

impl Open {
    /// Stream sequence and number of messages behind it, if this is the message after the last one.
    fn in_order(&mut self, message: &Message) -> Option<(u64, u64)> {
        let info = message.info().ok()?;
        let in_order = info.consumer_sequence == self.last + 1;
        self.last = info.consumer_sequence;
        in_order.then_some((info.stream_sequence, info.pending))
    }
}
