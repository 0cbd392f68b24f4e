//! How long hand-overs take, as metrics of distribute.

use std::sync::Arc;

use async_trait::async_trait;
use export_contract::message::Distribution;
use export_contract::profile::DistributionKind;
use export_contract::run::RunRef;
use export_targets::{Delivery, Removal, Target, TargetError};
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};
use tokio::time::Instant;

/// The metrics. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct TargetMetrics {
    seconds: HistogramVec,
    failures: IntCounterVec,
}

impl TargetMetrics {
    /// Makes the metrics and registers them.
    ///
    /// # Errors
    /// When `registry` has metrics of these names.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            seconds: HistogramVec::new(
                HistogramOpts::new(
                    "exporter_distribution_push_seconds",
                    "Seconds that a bundle was under way to where it was handed over, hand-overs that failed left out.",
                )
                .buckets(vec![0.05, 0.2, 1.0, 5.0, 15.0, 60.0, 180.0, 600.0, 1_800.0]),
                &["type"],
            )?,
            failures: IntCounterVec::new(
                Opts::new("exporter_distribution_failures_total", "Attempts to hand a bundle over that failed."),
                &["type"],
            )?,
        };
        registry.register(Box::new(metrics.seconds.clone()))?;
        registry.register(Box::new(metrics.failures.clone()))?;
        Ok(metrics)
    }

    /// The same target, measured.
    pub(crate) fn measured(&self, target: Arc<dyn Target>) -> Arc<dyn Target> {
        let kind = target.kind().as_str();
        self.failures.with_label_values(&[kind]);
        Arc::new(Measured { target, metrics: self.clone() })
    }
}

#[derive(Debug)]
struct Measured {
    target: Arc<dyn Target>,
    metrics: TargetMetrics,
}

#[async_trait]
impl Target for Measured {
    fn kind(&self) -> DistributionKind {
        self.target.kind()
    }

    async fn place(&self, delivery: &Delivery<'_>) -> Result<Option<Distribution>, TargetError> {
        self.target.place(delivery).await
    }

    async fn distribute(&self, delivery: &Delivery<'_>) -> Result<Distribution, TargetError> {
        let began = Instant::now();
        let outcome = self.target.distribute(delivery).await;
        let kind = self.kind().as_str();
        match &outcome {
            Ok(_) => self.metrics.seconds.with_label_values(&[kind]).observe(began.elapsed().as_secs_f64()),
            Err(_) => self.metrics.failures.with_label_values(&[kind]).inc(),
        }
        outcome
    }

    async fn remove(&self, run: &RunRef, distribution: &Distribution) -> Result<Removal, TargetError> {
        self.target.remove(run, distribution).await
    }
}
