//! The dispatcher of webhooks, a part of the orchestrator.

use std::sync::Arc;

use anyhow::Context as _;
use export_orchestrator::{Clock, Dispatched, Dispatcher};
use export_webhooks::{HttpCourier, SystemLookup};
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use tokio::task::JoinSet;
use tokio::time::Duration;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::run_metrics::RunMetrics;
use crate::{run_log, stores};

/// What a lease is longer than an attempt: time to write what became of it, on a busy store.
const LEASE_MARGIN: Duration = Duration::from_secs(20);

/// Lets a dispatcher work until `stop` fires.
pub(super) async fn add(
    config: &Config,
    clock: Clock,
    registry: &Registry,
    runs: RunMetrics,
    stop: CancellationToken,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    let settings = &config.webhooks;
    let timeout = Duration::from_secs(settings.timeout_seconds);
    let courier = HttpCourier::new(
        settings.rules(config.offline),
        stores::webhook_secrets(config)?,
        Arc::new(SystemLookup),
        timeout,
    )
    .context("cannot send to webhooks")?;
    let dispatcher = Dispatcher::new(stores::webhooks(config).await?, Arc::new(courier), clock, timeout + LEASE_MARGIN)
        .observed_by(move |run| {
            runs.ended(run);
            run_log::ended(run);
        });
    let metrics = WebhookMetrics::register(registry).context("cannot register metrics")?;
    let pace = Duration::from_secs(settings.check_seconds);
    tasks.spawn(async move { dispatcher.run(pace, stop, |pass| metrics.count(pass)).await });
    Ok(())
}

/// What became of messages. Each outcome is there from the start, at 0.
#[derive(Clone, Debug)]
struct WebhookMetrics {
    messages: IntCounterVec,
    errors: IntCounter,
    age: IntGauge,
}

impl WebhookMetrics {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let messages = IntCounterVec::new(
            Opts::new(
                "exporter_webhook_deliveries_total",
                "Attempts to send to webhooks, by what became of the message.",
            ),
            &["outcome"],
        )?;
        let errors = IntCounter::new(
            "exporter_webhook_errors_total",
            "Runs and messages that could not be seen to and wait for the next look.",
        )?;
        let age = IntGauge::new(
            "exporter_webhook_outbox_age_seconds",
            "Age of the oldest end of a run that no webhook has been written for yet; 0 when there is none.",
        )?;
        registry.register(Box::new(messages.clone()))?;
        registry.register(Box::new(errors.clone()))?;
        registry.register(Box::new(age.clone()))?;
        let metrics = Self { messages, errors, age };
        metrics.count(Dispatched::default());
        Ok(metrics)
    }

    fn count(&self, pass: Dispatched) {
        let Dispatched { announced: _, delivered, retried, failed, removed: _, errors, outbox_age_seconds } = pass;
        for (outcome, count) in [("delivered", delivered), ("retried", retried), ("failed", failed)] {
            self.messages.with_label_values(&[outcome]).inc_by(count.into());
        }
        self.errors.inc_by(errors.into());
        self.age.set(i64::try_from(outbox_age_seconds).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use export_orchestrator::Dispatched;
    use prometheus::{Encoder as _, Registry, TextEncoder};

    use super::WebhookMetrics;

    #[test]
    fn every_outcome_of_a_message_is_counted_and_none_is_missing_before_the_first() {
        let registry = Registry::new();
        let metrics = WebhookMetrics::register(&registry).unwrap();
        let page = || {
            let mut page = Vec::new();
            TextEncoder::new().encode(&registry.gather(), &mut page).unwrap();
            String::from_utf8(page).unwrap()
        };
        for outcome in ["delivered", "retried", "failed"] {
            let line = format!("exporter_webhook_deliveries_total{{outcome=\"{outcome}\"}} 0\n");
            assert!(page().contains(&line), "{outcome}");
        }
        let pass = Dispatched {
            delivered: 1,
            retried: 2,
            failed: 3,
            errors: 4,
            outbox_age_seconds: 5,
            ..Dispatched::default()
        };
        metrics.count(pass);
        for (outcome, count) in [("delivered", 1), ("retried", 2), ("failed", 3)] {
            let line = format!("exporter_webhook_deliveries_total{{outcome=\"{outcome}\"}} {count}\n");
            assert!(page().contains(&line), "{outcome}");
        }
        assert!(page().contains("exporter_webhook_errors_total 4\n"));
        assert!(page().contains("exporter_webhook_outbox_age_seconds 5\n"));
        metrics.count(Dispatched::default());
        assert!(page().contains("exporter_webhook_outbox_age_seconds 0\n"));
    }
}
