//! The port through which the gateway and the orchestrator put steps on the log.

use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use export_contract::message::{Outcome, ResultRef, Summary};
use export_contract::run::{Phase, RunRef};
use export_contract::{PartIndex, RunId, TenantId};
use export_pipeline::{QueueError, RunQueue};

use crate::cancellation;
use crate::connect::{Nats, cannot};
use crate::lost;
use crate::metrics::Metrics;
use crate::publish::{DoneNews, Publisher, Trail};
use crate::subjects::{self, What};
use crate::topology::LOG_STREAM;

/// How long a step is tried before the caller hears that the broker is away.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same for a fan-out, which may be many thousand messages.
const LONG_PATIENCE: Duration = Duration::from_mins(5);

/// [`RunQueue`] on NATS. Cheap to clone.
#[derive(Clone, Debug)]
pub struct NatsQueue {
    nats: Nats,
    publisher: Publisher,
}

impl NatsQueue {
    /// The queue over `nats`.
    pub fn new(nats: Nats, metrics: Metrics) -> Self {
        Self { publisher: Publisher::new(nats.clone(), metrics), nats }
    }

    async fn tell(&self, run: &RunRef, what: What, outcome: Outcome) -> Result<(), QueueError> {
        let act = format!("put `{what}` of run {run} on the log");
        within(PATIENCE, act, self.publisher.tell(run, what, outcome, &Trail::default())).await
    }
}

async fn within(patience: Duration, act: String, work: impl Future<Output = ()>) -> Result<(), QueueError> {
    tokio::time::timeout(patience, work).await.map_err(cannot(act))
}

#[async_trait]
impl RunQueue for NatsQueue {
    async fn requested(&self, run: &RunRef) -> Result<(), QueueError> {
        self.tell(run, What::Requested, Outcome::Requested).await
    }

    async fn admitted(&self, run: &RunRef, admission: &ResultRef) -> Result<(), QueueError> {
        self.tell(run, What::Admitted, Outcome::Admitted { result: admission.clone() }).await
    }

    async fn done(
        &self,
        run: &RunRef,
        phase: Phase,
        part: Option<PartIndex>,
        parts: Option<u32>,
        result: &ResultRef,
        summary: Summary,
    ) -> Result<(), QueueError> {
        let news = DoneNews { run: run.clone(), phase, part, parts, result: result.clone(), summary };
        let act = format!("put `{phase} done` of run {run} on the log");
        let tell = async {
            let trail = Trail::default();
            self.publisher.announce(&news, &trail).await;
            // As the worker of the part would.
            if let (Phase::Adapt, Some(part), Some(parts)) = (phase, part, parts)
                && let Some(resolved) = self.publisher.resolved(run).await
            {
                self.publisher.command_next(run, part, parts, &resolved, &trail).await;
            }
        };
        within(LONG_PATIENCE, act, tell).await
    }

    async fn retry(&self, run: &RunRef, phase: Phase, part: Option<PartIndex>) -> Result<bool, QueueError> {
        let act = format!("command {phase} of run {run} again");
        let work = lost::command_again(&self.nats, &self.publisher, run, phase, part);
        tokio::time::timeout(PATIENCE, work).await.map_err(cannot(act))?
    }

    async fn cancelled(&self, run: &RunRef, by: &str) -> Result<(), QueueError> {
        let told = cancellation::cancel(&self.nats, run, by).await;
        self.tell(run, What::Cancelled, Outcome::Cancelled { by: by.to_owned() }).await?;
        told
    }

    async fn recorded(&self, tenant: &TenantId, run: &RunId) {
        if let Err(error) = self.nats.client().publish(subjects::recorded(tenant, run), Bytes::new()).await {
            tracing::debug!(%error, run_id = %run, "watchers were not told");
        }
    }

    async fn check(&self) -> Result<(), QueueError> {
        self.nats.jetstream().get_stream(LOG_STREAM).await.map(drop).map_err(cannot("reach the log"))
    }
}
