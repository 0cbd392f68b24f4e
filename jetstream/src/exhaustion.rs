//! Commands whose last delivery got no answer: the workers that had them died, each time.
//!
//! A worker that lives to see its last try fail says so itself. One that is killed by the command (out of memory, say)
//! cannot, and the server then never delivers the command again: without a word, the run would wait for ever. The
//! server's advisory about it is kept on `EXPORT_DEAD`; here it becomes a dead letter and a `failed` event.

use std::time::SystemTime;

use async_nats::jetstream::stream::LastRawMessageErrorKind;
use export_contract::message::Outcome;
use export_contract::{ErrorCode, LogEvent, Timestamp, Version};
use export_pipeline::QueueError;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::connect::{Nats, cannot};
use crate::cursor::{Cursor, Seen};
use crate::dead_letter::DeadLetter;
use crate::metrics::Metrics;
use crate::publish::{Publisher, Trail};
use crate::report::{Backoff, Chain};
use crate::subjects::{self, ParsedSubject, What};
use crate::topology::{DEAD_STREAM, LOG_STREAM};
use crate::worker::Step;

/// The reader of one process; any number may run.
#[derive(Debug)]
pub struct Exhaustion {
    nats: Nats,
    publisher: Publisher,
    metrics: Metrics,
}

/// `io.nats.jetstream.advisory.v1.max_deliver`, what we use of it.
#[derive(Debug, Deserialize)]
struct Advisory {
    consumer: String,
    stream_seq: u64,
    deliveries: u32,
}

impl Exhaustion {
    /// A reader; nothing happens before [`Exhaustion::run`].
    pub fn new(nats: Nats, metrics: Metrics) -> Self {
        Self { publisher: Publisher::new(nats.clone(), metrics.clone()), nats, metrics }
    }

    /// Reads advisories until `shutdown` fires.
    pub async fn run(self, shutdown: CancellationToken) {
        let filters = vec![subjects::MAX_DELIVERIES.to_owned()];
        let mut cursor = Cursor::new(self.nats.clone(), DEAD_STREAM, filters);
        let work = async {
            loop {
                let Seen::Message(message) = cursor.next().await else {
                    continue;
                };
                let Ok(advisory) = serde_json::from_slice::<Advisory>(&message.payload) else {
                    continue;
                };
                let Some(step) = Step::ALL.into_iter().find(|step| step.durable() == advisory.consumer) else {
                    continue;
                };
                let mut backoff = Backoff::up_to(std::time::Duration::from_secs(5));
                while let Err(error) = self.bury(step, &advisory).await {
                    tracing::warn!(error = %Chain(&error), "a command that nobody could do cannot be looked at");
                    backoff.wait().await;
                }
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = Box::pin(work) => {}
        }
    }

    async fn bury(&self, step: Step, advisory: &Advisory) -> Result<(), QueueError> {
        let log = self.nats.jetstream().get_stream_no_info(LOG_STREAM).await.map_err(cannot("reach the log"))?;
        let command = match log.get_raw_message(advisory.stream_seq).await {
            Ok(command) => command,
            // It is too old, or the log is another one by now.
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => return Ok(()),
            Err(error) => return Err(cannot("read a command")(error)),
        };
        let Ok(ParsedSubject { run, what }) = command.subject.parse() else {
            return Ok(());
        };
        let done = match what {
            What::PartDone(_, part) | What::PartRetry(_, part, _) => What::PartDone(step.phase(), part),
            _ => What::Done(step.phase()),
        };
        let done = ParsedSubject { run: run.clone(), what: done }.to_string();
        match log.get_last_raw_message_by_subject(&done).await {
            // Only its acknowledgement was lost.
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => {}
            Err(error) => return Err(cannot("ask whether a step is done")(error)),
        }
        let code = ErrorCode::Exhausted;
        let message = format!(
            "the {} step was tried {} times; each time its worker was gone",
            step.durable(),
            advisory.deliveries
        );
        let trail = Trail::of(Some(&command.headers));
        let letter = DeadLetter {
            v: Version,
            consumer: step.durable().to_owned(),
            subject: command.subject.to_string(),
            sequence: advisory.stream_seq,
            deliveries: advisory.deliveries,
            code,
            reason: message.clone(),
            payload: String::from_utf8_lossy(&command.payload).into_owned(),
            at: Timestamp::from(SystemTime::now()),
        };
        if self.publisher.bury(&letter, &trail).await {
            self.metrics.dead_letter(step.durable(), code);
            tracing::error!(event = %LogEvent::StepAbandoned, run_id = %run.run, tenant = %run.tenant, phase = step.logged(), error_code = %code, attempt = advisory.deliveries, correlation_id = trail.correlation_id(), "{message}");
        }
        self.publisher.tell(&run, What::Failed(step.phase()), Outcome::Failed { code, message }, &trail).await;
        Ok(())
    }
}
