//! Pulling from a consumer, one request at a time.
//!
//! The client's own `batch()` and `stream()` are not used: the first loses its wake-up after an idle heartbeat
//! (async-nats 0.51, `impl Stream for Batch`), the second asks for more than there are free slots. Here a pull asks for
//! exactly as many commands as can be begun, and every doubt (silence, another connection, an unknown status) ends in
//! an error, after which the caller opens a new puller.

use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::consumer::pull::BatchConfig;
use async_nats::{Message, StatusCode, Subscriber};
use futures::{FutureExt, StreamExt};
use tokio::sync::watch;

use crate::connect::Nats;

const EXPIRES: Duration = Duration::from_secs(20);
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Two heartbeats may be lost.
const SILENCE: Duration = Duration::from_secs(7);

/// Why a puller is of no more use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PullError {
    #[error("cannot subscribe to an inbox")]
    Subscribe(#[source] async_nats::SubscribeError),
    #[error("cannot send a pull request")]
    Request(#[source] async_nats::jetstream::consumer::pull::BatchRequestError),
    #[error("the connection was made again, open pull requests are lost")]
    Reconnected,
    #[error("the server is silent")]
    Silent,
    #[error("the server ended the pull request: {0} {1}")]
    Refused(StatusCode, String),
    #[error("the connection is closed")]
    Closed,
}

/// What came.
pub(crate) enum Pulled {
    Message(Box<async_nats::jetstream::Message>),
    /// The request is used up or expired: make the next one.
    Ended,
}

/// An inbox at a consumer.
pub(crate) struct Puller {
    nats: Nats,
    consumer: PullConsumer,
    inbox: String,
    messages: Subscriber,
    connects: watch::Receiver<u64>,
    request: u64,
    outstanding: usize,
}

impl Puller {
    pub(crate) async fn open(nats: &Nats, consumer: PullConsumer) -> Result<Self, PullError> {
        let connects = nats.connects();
        let inbox = nats.client().new_inbox();
        let messages = nats.client().subscribe(format!("{inbox}.*")).await.map_err(PullError::Subscribe)?;
        Ok(Self { nats: nats.clone(), consumer, inbox, messages, connects, request: 0, outstanding: 0 })
    }

    pub(crate) async fn request(&mut self, messages: usize) -> Result<(), PullError> {
        self.request += 1;
        self.outstanding = messages;
        let batch = BatchConfig {
            batch: messages,
            expires: Some(EXPIRES),
            idle_heartbeat: HEARTBEAT,
            ..BatchConfig::default()
        };
        self.consumer.request_batch(batch, self.reply_to().into()).await.map_err(PullError::Request)
    }

    fn reply_to(&self) -> String {
        format!("{}.{}", self.inbox, self.request)
    }

    pub(crate) async fn next(&mut self) -> Result<Pulled, PullError> {
        while self.outstanding > 0 {
            let arrived = tokio::select! {
                biased;
                arrived = tokio::time::timeout(SILENCE, self.messages.next()) => arrived,
                again = self.connects.changed() => {
                    return Err(if again.is_ok() { PullError::Reconnected } else { PullError::Closed });
                }
            };
            let message = arrived.map_err(|_| PullError::Silent)?.ok_or(PullError::Closed)?;
            match message.status {
                None | Some(StatusCode::OK) => {
                    self.outstanding -= 1;
                    return Ok(Pulled::Message(Box::new(self.wrap(message))));
                }
                Some(StatusCode::IDLE_HEARTBEAT) => {}
                // A status of an earlier request that was over already.
                Some(_) if message.subject.as_str() != self.reply_to() => {}
                Some(StatusCode::TIMEOUT | StatusCode::NOT_FOUND) => self.outstanding = 0,
                Some(status) => {
                    return Err(PullError::Refused(status, message.description.unwrap_or_default()));
                }
            }
        }
        Ok(Pulled::Ended)
    }

    /// Ends the subscription and gives what had arrived by then.
    pub(crate) async fn close(mut self) -> Vec<async_nats::jetstream::Message> {
        if let Err(error) = self.messages.unsubscribe().await {
            tracing::debug!(%error, "an inbox was closed already");
        }
        let mut left = Vec::new();
        while let Some(Some(message)) = self.messages.next().now_or_never() {
            if matches!(message.status, None | Some(StatusCode::OK)) {
                left.push(self.wrap(message));
            }
        }
        left
    }

    fn wrap(&self, message: Message) -> async_nats::jetstream::Message {
        async_nats::jetstream::Message { message, context: self.nats.jetstream().clone() }
    }
}
