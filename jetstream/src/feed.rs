//! The port through which the gateway follows a run.

use std::time::{Duration, SystemTime};

use async_nats::Subscriber;
use async_nats::jetstream::stream::DirectGetErrorKind;
use async_trait::async_trait;
use export_contract::event::{ProgressTick, Waiting};
use export_contract::{RunId, TenantId};
use export_pipeline::ports::FeedStream;
use export_pipeline::{FeedSignal, QueueError, RunFeed};
use futures::StreamExt;
use tokio::sync::watch;

use crate::connect::{Nats, cannot};
use crate::subjects;
use crate::topology::PROGRESS_STREAM;

/// A run of which it was not said for so long that it waits does not: its worker died, or somebody else has the command.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(1);

/// [`RunFeed`] on NATS: two core subscriptions a watcher, which cost the server next to nothing. Cheap to clone.
#[derive(Clone, Debug)]
pub struct NatsFeed {
    nats: Nats,
}

struct Following {
    recorded: Subscriber,
    progress: Subscriber,
    connects: watch::Receiver<u64>,
}

impl NatsFeed {
    /// The feed over `nats`.
    pub fn new(nats: Nats) -> Self {
        Self { nats }
    }
}

#[async_trait]
impl RunFeed for NatsFeed {
    async fn follow(&self, tenant: &TenantId, run: &RunId) -> Result<FeedStream, QueueError> {
        let act = || format!("follow run {run}");
        let connects = self.nats.connects();
        let recorded = self.nats.client().subscribe(subjects::recorded(tenant, run)).await.map_err(cannot(act()))?;
        let progress = self.nats.client().subscribe(subjects::progress_of(tenant, run)).await.map_err(cannot(act()))?;
        // The server knows the subscriptions before the caller reads the ledger, so no signal falls in between.
        self.nats.round_trip().await?;
        let following = Following { recorded, progress, connects };
        Ok(Box::pin(futures::stream::unfold(following, |mut following| async {
            let signal = following.next().await?;
            Some((signal, following))
        })))
    }

    async fn waiting(&self, tenant: &TenantId, run: &RunId) -> Result<Option<Waiting>, QueueError> {
        let act = || format!("ask what run {run} waits for");
        let stream = self.nats.jetstream().get_stream_no_info(PROGRESS_STREAM).await.map_err(cannot(act()))?;
        let last = match stream.direct_get_last_for_subject(subjects::waiting(tenant, run)).await {
            Ok(last) => last,
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(cannot(act())(error)),
        };
        let age = SystemTime::now().duration_since(last.time.into()).unwrap_or_default();
        let tick: Option<ProgressTick> = serde_json::from_slice(&last.payload).ok();
        Ok(tick.filter(|_| age < FORGOTTEN_AFTER).and_then(|tick| tick.waiting))
    }
}

impl Following {
    async fn next(&mut self) -> Option<FeedSignal> {
        loop {
            tokio::select! {
                biased;
                message = self.recorded.next() => return message.map(|_| FeedSignal::Recorded),
                // What was said while the connection was away is lost: the watcher looks for itself.
                again = self.connects.changed() => return again.ok().map(|()| FeedSignal::Recorded),
                message = self.progress.next() => {
                    if let Ok(tick) = serde_json::from_slice(&message?.payload) {
                        return Some(FeedSignal::Progress(tick));
                    }
                }
            }
        }
    }
}
