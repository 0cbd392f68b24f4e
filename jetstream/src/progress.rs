//! Progress ticks on their way from a stage to the watchers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use export_contract::PartIndex;
use export_contract::event::{ProgressStep, ProgressTick, Waiting};
use export_contract::run::{Phase, RunRef};
use export_pipeline::ProgressSink;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::connect::Nats;
use crate::keepalive::Liveness;
use crate::subjects;

/// At most so often is a tick of the same step sent.
const BETWEEN: Duration = Duration::from_millis(200);
const WAITING: usize = 256;

/// Sends ticks; what does not fit in the queue is lost.
#[derive(Clone, Debug)]
pub(crate) struct Ticks(mpsc::Sender<ProgressTick>);

impl Ticks {
    /// Begins to send; ends with the last clone.
    pub(crate) fn start(nats: Nats) -> Self {
        let (sender, mut ticks) = mpsc::channel::<ProgressTick>(WAITING);
        tokio::spawn(async move {
            while let Some(tick) = ticks.recv().await {
                let Ok(payload) = serde_json::to_vec(&tick) else {
                    continue;
                };
                let subject = match tick.step {
                    ProgressStep::StageWaiting => subjects::waiting(&tick.run.tenant, &tick.run.run),
                    _ => subjects::progress(&tick.run, tick.phase),
                };
                if let Err(error) = nats.client().publish(subject, payload.into()).await {
                    tracing::debug!(%error, "a progress tick was lost");
                }
            }
        });
        Self(sender)
    }

    /// Tells that a command waits, or with `None` that it goes on.
    pub(crate) fn waiting(&self, run: &RunRef, phase: Phase, part: Option<PartIndex>, waiting: Option<Waiting>) {
        let (run, step) = (run.clone(), ProgressStep::StageWaiting);
        if self.0.try_send(ProgressTick { run, phase, part, step, records: 0, bytes: 0, waiting }).is_err() {
            tracing::trace!("a progress tick was dropped");
        }
    }
}

/// The ticks of one delivery.
#[derive(Debug)]
pub(crate) struct DeliveryTicks {
    ticks: Ticks,
    life: Arc<Liveness>,
    sent: Mutex<Option<(ProgressStep, Instant)>>,
}

impl DeliveryTicks {
    pub(crate) fn new(ticks: Ticks, life: Arc<Liveness>) -> Self {
        Self { ticks, life, sent: Mutex::new(None) }
    }
}

impl ProgressSink for DeliveryTicks {
    fn tick(&self, tick: ProgressTick) {
        self.life.beat();
        let now = Instant::now();
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if sent.is_some_and(|(step, at)| step == tick.step && now.duration_since(at) < BETWEEN) {
            return;
        }
        *sent = Some((tick.step, now));
        if self.ticks.0.try_send(tick).is_err() {
            tracing::trace!("a progress tick was dropped");
        }
    }
}
