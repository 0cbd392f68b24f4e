//! The host of a stage: everything about a command except doing it.
//!
//! Order of effects, kept here and nowhere else (design section 4): the stage writes its artefacts, then its result
//! record is written, then its `done` event is published until that is certain, then the command is acknowledged. A
//! crash anywhere in between gives a second delivery, which finds what is there and goes on behind it.

mod breaker;
mod command;
mod delivery;
mod records;
mod settling;
mod step;
mod trouble;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::{PullConsumer, pull};
use export_blobs::BlobStore;
use export_contract::event::WaitReason;
use export_pipeline::{QueueError, Stage, StageInput};
use futures::FutureExt as _;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use self::breaker::Check;
pub use self::step::Step;

use self::breaker::Breakers;
use self::delivery::Terms;
use self::records::Records;
use crate::cancellation::Cancellations;
use crate::connect::{Nats, cannot};
use crate::keepalive::Leases;
use crate::metrics::Metrics;
use crate::progress::Ticks;
use crate::publish::Publisher;
use crate::pull::{PullError, Pulled, Puller};
use crate::report::{Backoff, Chain};
use crate::topology::{self, LOG_STREAM, Topology};

/// How long commands may take to be handed back; what does not return by then comes again when the server misses it.
const LAST_WORDS: Duration = Duration::from_secs(20);

/// What a worker works with.
#[derive(Clone, Debug)]
pub struct Deps {
    /// The broker.
    pub nats: Nats,
    /// The layout of the broker, to make it true again when the server lost it.
    pub topology: Topology,
    /// Staging.
    pub store: Arc<dyn BlobStore>,
    /// The cancelled runs.
    pub cancellations: Cancellations,
    /// The counters.
    pub metrics: Metrics,
}

/// How a worker works.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Commands at work at once in this process.
    pub slots: usize,
    /// A command that made no progress for this long is given up, and another worker may try. Must be longer than
    /// the longest stretch of work between two progress calls of the stage.
    pub stall_limit: Duration,
    /// Waits before the second, third, … delivery of a command that failed; the last one counts for all further.
    pub retry_delays: Vec<Duration>,
    /// How long commands at work may go on after the worker was told to stop.
    pub grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            slots: 4,
            stall_limit: Duration::from_mins(5),
            retry_delays: [1, 5, 15, 60, 120].map(Duration::from_secs).to_vec(),
            grace: Duration::from_secs(20),
        }
    }
}

/// A stage and what it needs to be at work.
pub struct Worker<S> {
    stage: Arc<S>,
    step: Step,
    deps: Deps,
    settings: Settings,
    checks: BTreeMap<WaitReason, Check>,
}

impl<S> fmt::Debug for Worker<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("step", &self.step).field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// A worker at work.
struct Host<S: Stage> {
    stage: Arc<S>,
    step: Step,
    deps: Deps,
    settings: Settings,
    publisher: Publisher,
    leases: Leases,
    ticks: Ticks,
    /// What the parts at work are read from.
    records: Records<<S::Input as StageInput>::Record>,
    /// The stores that may be away.
    breakers: Breakers,
    /// Fires when commands at work must end now.
    halt: CancellationToken,
}

impl<S: Stage> Worker<S> {
    /// A worker that does `step` with `stage`; the step must be of the stage's phase.
    pub fn new(stage: impl Into<Arc<S>>, step: Step, deps: Deps, settings: Settings) -> Self {
        debug_assert_eq!(step.phase(), S::PHASE, "the stage is of another phase than the step");
        let store = Arc::clone(&deps.store);
        let staging: Check = Arc::new(move || {
            let store = Arc::clone(&store);
            async move { store.check().await.map_err(Into::into) }.boxed()
        });
        let checks = BTreeMap::from([(WaitReason::Staging, staging)]);
        Self { stage: stage.into(), step, deps, settings, checks }
    }

    /// Waits for another store than staging, too, while `check` says that it is away.
    #[must_use]
    pub fn waiting_for(mut self, reason: WaitReason, check: Check) -> Self {
        self.checks.insert(reason, check);
        self
    }

    /// Works until `shutdown` fires: then takes no more commands, gives those at work their grace, and hands back to
    /// the broker what is left. A broker that goes away is waited for.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { stage, step, deps, settings, checks } = self;
        let host = Arc::new(Host {
            stage,
            step,
            publisher: Publisher::new(deps.nats.clone(), deps.metrics.clone()),
            leases: Leases::default(),
            ticks: Ticks::start(deps.nats.clone()),
            records: Records::default(),
            breakers: Breakers::new(step, checks, &deps.metrics),
            halt: CancellationToken::new(),
            deps,
            settings,
        });
        let mut tasks = JoinSet::new();
        let slots = Arc::new(Semaphore::new(host.settings.slots.max(1)));
        let mut backoff = Backoff::up_to(Duration::from_secs(5));
        while !shutdown.is_cancelled() {
            match host.pull(&slots, &mut tasks, &shutdown).await {
                Ok(()) => break,
                Err(Interrupted::Pull(PullError::Reconnected)) => {
                    backoff = Backoff::up_to(Duration::from_secs(5));
                }
                Err(error) => {
                    tracing::warn!(step = step.durable(), error = %Chain(&error), "the commands of a step stopped coming; asking anew");
                    let mend = async {
                        backoff.wait().await;
                        if let Err(error) = topology::ensure(&host.deps.nats, &host.deps.topology).await {
                            tracing::warn!(error = %Chain(&error), "the broker is not ready");
                        }
                    };
                    tokio::select! { () = mend => {}, () = shutdown.cancelled() => {} }
                }
            }
        }
        if tokio::time::timeout(host.settings.grace, drain(&mut tasks)).await.is_err() {
            tracing::info!(step = step.durable(), left = tasks.len(), "the grace is over; handing commands back");
            host.halt.cancel();
            if tokio::time::timeout(LAST_WORDS, drain(&mut tasks)).await.is_err() {
                tasks.shutdown().await;
            }
        }
    }
}

async fn drain(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        report(ended);
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "the host of a stage panicked; its command will come again");
    }
}

/// Why commands stopped coming.
#[derive(Debug, thiserror::Error)]
enum Interrupted {
    #[error("the consumer cannot be reached")]
    Consumer(#[source] QueueError),
    #[error("pulling ended")]
    Pull(#[from] PullError),
}

impl<S: Stage> Host<S> {
    /// Pulls commands and puts them to work until `shutdown`.
    async fn pull(
        self: &Arc<Self>,
        slots: &Arc<Semaphore>,
        tasks: &mut JoinSet<()>,
        shutdown: &CancellationToken,
    ) -> Result<(), Interrupted> {
        let consumer = self.consumer().await.map_err(Interrupted::Consumer)?;
        let terms = Terms::of(&consumer.cached_info().config);
        let mut puller = Puller::open(&self.deps.nats, consumer).await?;
        loop {
            while let Some(ended) = tasks.try_join_next() {
                report(ended);
            }
            // While a store is away, commands would only come to wait here.
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                () = self.breakers.all_closed() => {}
            }
            let first = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                slot = Arc::clone(slots).acquire_owned() => slot,
            };
            // Slots are taken here only, so those that are free now stay free until the pull is over.
            let mut held = first.ok();
            puller.request(slots.available_permits() + 1).await?;
            loop {
                let next = tokio::select! {
                    biased;
                    () = shutdown.cancelled() => break,
                    next = puller.next() => next?,
                };
                let Pulled::Message(message) = next else {
                    break;
                };
                let slot = held.take().or_else(|| Arc::clone(slots).try_acquire_owned().ok());
                let host = Arc::clone(self);
                tasks.spawn(async move {
                    host.deliver(*message, terms).await;
                    drop(slot);
                });
            }
        }
        for message in puller.close().await {
            if let Err(error) = message.ack_with(AckKind::Nak(None)).await {
                tracing::debug!(%error, "a command could not be handed back");
            }
        }
        Ok(())
    }

    async fn consumer(&self) -> Result<PullConsumer, QueueError> {
        let act = || format!("find consumer {}", self.step.durable());
        self.deps
            .nats
            .jetstream()
            .get_consumer_from_stream::<pull::Config, _, _>(self.step.durable(), LOG_STREAM)
            .await
            .map_err(cannot(act()))
    }
}
