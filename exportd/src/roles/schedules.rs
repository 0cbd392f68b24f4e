//! The scheduler, a part of the orchestrator.

use std::sync::Arc;

use anyhow::Context as _;
use export_adapt::adapter::{FAN_IN, Tools};
use export_evidence::policy::NoPolicy;
use export_orchestrator::{Ports, Scheduled, Scheduler};
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use tokio::task::JoinSet;
use tokio::time::Duration;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::stores;

/// Lets a scheduler work until `stop` fires.
pub(super) async fn add(
    config: &Config,
    ports: Ports,
    registry: &Registry,
    stop: CancellationToken,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    // It only says which adapters there are.
    let tools = Tools {
        ledger: stores::evidence(config).await?,
        threads: std::num::NonZeroUsize::MIN,
        scratch: std::path::PathBuf::new(),
        fan_in: FAN_IN,
        policy: Arc::new(NoPolicy),
    };
    let supported = export_adapt::Registry::new(&tools, &config.allow.profiles).kinds();
    let scheduler = Scheduler::new(ports, stores::schedules(config).await?, supported).within(config.limits.quotas());
    let metrics = ScheduleMetrics::register(registry).context("cannot register metrics")?;
    let pace = Duration::from_secs(config.schedules.check_seconds);
    tasks.spawn(async move { scheduler.run(pace, stop, |pass| metrics.count(pass)).await });
    Ok(())
}

/// What came of due times, as counters. Each outcome is there from the start, at 0.
#[derive(Clone, Debug)]
struct ScheduleMetrics {
    due: IntCounterVec,
    errors: IntCounter,
}

impl ScheduleMetrics {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let due = IntCounterVec::new(
            Opts::new("exporter_schedule_due_total", "Due times of schedules, by outcome."),
            &["outcome"],
        )?;
        let errors = IntCounter::new(
            "exporter_schedule_errors_total",
            "Due times that could not be looked after and wait for the next look.",
        )?;
        registry.register(Box::new(due.clone()))?;
        registry.register(Box::new(errors.clone()))?;
        let metrics = Self { due, errors };
        metrics.count(Scheduled::default());
        Ok(metrics)
    }

    fn count(&self, pass: Scheduled) {
        let Scheduled { started, skipped, missed, failed, errors } = pass;
        for (outcome, count) in [("started", started), ("skipped", skipped), ("missed", missed), ("failed", failed)] {
            self.due.with_label_values(&[outcome]).inc_by(count.into());
        }
        self.errors.inc_by(errors.into());
    }
}

#[cfg(test)]
mod tests {
    use export_orchestrator::Scheduled;
    use prometheus::{Encoder as _, Registry, TextEncoder};

    use super::ScheduleMetrics;

    #[test]
    fn every_outcome_of_a_due_time_is_counted_and_none_is_missing_before_the_first() {
        let registry = Registry::new();
        let metrics = ScheduleMetrics::register(&registry).unwrap();
        let page = || {
            let mut page = Vec::new();
            TextEncoder::new().encode(&registry.gather(), &mut page).unwrap();
            String::from_utf8(page).unwrap()
        };
        for outcome in ["started", "skipped", "missed", "failed"] {
            assert!(page().contains(&format!("exporter_schedule_due_total{{outcome=\"{outcome}\"}} 0\n")), "{outcome}");
        }
        metrics.count(Scheduled { started: 1, skipped: 2, missed: 3, failed: 4, errors: 5 });
        for (outcome, count) in [("started", 1), ("skipped", 2), ("missed", 3), ("failed", 4)] {
            let line = format!("exporter_schedule_due_total{{outcome=\"{outcome}\"}} {count}\n");
            assert!(page().contains(&line), "{outcome}");
        }
        assert!(page().contains("exporter_schedule_errors_total 5\n"));
    }
}
