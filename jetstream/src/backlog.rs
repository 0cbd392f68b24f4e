//! What waits on the log: the measure that stages are scaled on.

use std::time::{Duration, SystemTime};

use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::stream::{DirectGetErrorKind, Stream};
use export_pipeline::QueueError;

use crate::connect::{Nats, cannot};
use crate::topology::LOG_STREAM;
use crate::worker::Step;

/// What waits, and how full the log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Of each step, in pipeline order.
    pub steps: Vec<StepBacklog>,
    /// The log.
    pub log: LogSize,
}

/// Commands of a step that are not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepBacklog {
    /// Which step.
    pub step: Step,
    /// How many, those at work among them.
    pub pending: u64,
    /// How long ago the oldest of them was published; zero where there is none.
    pub age: Duration,
}

/// How full the log is. At its limit it takes no further commands until older ones have gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSize {
    /// Bytes now.
    pub bytes: u64,
    /// Most bytes.
    pub limit: u64,
}

/// Looks at the log and at the consumer of each step.
///
/// # Errors
/// When the server does not answer, or the log is not there (yet).
pub async fn backlog(nats: &Nats) -> Result<Backlog, QueueError> {
    let mut stream = nats.jetstream().get_stream(LOG_STREAM).await.map_err(cannot("find the log"))?;
    let info = stream.info().await.map_err(cannot("measure the log"))?;
    let log = LogSize { bytes: info.state.bytes, limit: u64::try_from(info.config.max_bytes).unwrap_or(0) };
    let mut steps = Vec::with_capacity(Step::ALL.len());
    for step in Step::ALL {
        steps.push(waiting(&stream, step).await?);
    }
    Ok(Backlog { steps, log })
}

async fn waiting(stream: &Stream, step: Step) -> Result<StepBacklog, QueueError> {
    let act = || format!("look at what waits for {}", step.durable());
    let mut consumer = stream.get_consumer::<pull::Config>(step.durable()).await.map_err(cannot(act()))?;
    let info = consumer.info().await.map_err(cannot(act()))?;
    let pending = info.num_pending + info.num_ack_pending as u64;
    let behind = info.ack_floor.stream_sequence + 1;
    let mut oldest = None;
    if pending > 0 {
        for subject in step.commands() {
            match stream.direct_get_next_for_subject(subject, Some(behind)).await {
                Ok(message) => {
                    let at = SystemTime::from(message.time);
                    oldest = Some(oldest.map_or(at, |known: SystemTime| known.min(at)));
                }
                Err(error) if error.kind() == DirectGetErrorKind::NotFound => {}
                Err(error) => return Err(cannot(act())(error)),
            }
        }
    }
    let age = oldest.and_then(|at| SystemTime::now().duration_since(at).ok()).unwrap_or_default();
    Ok(StepBacklog { step, pending, age })
}
