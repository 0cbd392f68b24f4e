//! What the orchestrator looks at for its metrics.

use std::path::PathBuf;
use std::sync::Arc;

use export_blobs::folder::used_bytes;
use export_jetstream::{Nats, backlog};
use export_runs::RunStore;
use tokio::time::{Duration, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::run_metrics::RunMetrics;

/// Between two looks through the staging folder.
const STAGING_PACE: Duration = Duration::from_mins(5);
/// How often. Prometheus usually asks every 15 to 60 seconds.
const PACE: Duration = Duration::from_secs(5);

/// Keeps the gauges of runs and of the log until `stop`. What cannot be asked keeps its last value, and is told in the log.
pub(super) async fn keep(metrics: RunMetrics, ledger: Arc<dyn RunStore>, nats: Nats, stop: CancellationToken) {
    match ledger.last_successes().await {
        Ok(times) => times.into_iter().for_each(|(kind, at)| metrics.succeeded(kind, at.as_seconds())),
        Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "last successes not read"),
    }
    let mut look = interval(PACE);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(look.tick()).await.is_some() {
        match ledger.active().await {
            Ok(active) => metrics.active(&active),
            Err(error) => tracing::debug!(error = &error as &dyn std::error::Error, "active runs not counted"),
        }
        match backlog(&nats).await {
            Ok(backlog) => metrics.backlog(&backlog),
            Err(error) => tracing::debug!(error = &error as &dyn std::error::Error, "backlog not measured"),
        }
    }
}

/// Keeps the size of the staging folder until `stop`.
pub(super) async fn measure(metrics: RunMetrics, folder: PathBuf, stop: CancellationToken) {
    let mut look = interval(STAGING_PACE);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(look.tick()).await.is_some() {
        let folder = folder.clone();
        match tokio::task::spawn_blocking(move || used_bytes(&folder)).await {
            Ok(Ok(bytes)) => metrics.staged(bytes),
            Ok(Err(error)) => tracing::warn!(error = &error as &dyn std::error::Error, "staging not measured"),
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "staging not measured"),
        }
    }
}
