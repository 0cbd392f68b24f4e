//! What became of runs, and what waits, as metrics of the orchestrator (`docs/metrics.md`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use export_contract::TenantId;
use export_contract::profile::ProfileKind;
use export_contract::run::{Run, RunStatus};
use export_jetstream::Backlog;
use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// The label of all tenants that have none of their own.
const OTHERS: &str = "(other)";
/// From a small export to one of hours, seconds.
const SECONDS: [f64; 12] = [1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 7_200.0];

/// The metrics. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct RunMetrics {
    ended: IntCounterVec,
    failures: IntCounterVec,
    seconds: HistogramVec,
    bytes: IntCounterVec,
    last_success: IntGaugeVec,
    active: IntGaugeVec,
    queue_age: GaugeVec,
    queue_pending: IntGaugeVec,
    log_bytes: IntGauge,
    log_limit: IntGauge,
    staging: IntGauge,
    /// Tenants with a label of their own, and how many there may be.
    named: Arc<Mutex<BTreeSet<TenantId>>>,
    most_named: usize,
}

impl RunMetrics {
    /// Makes the metrics and registers them; at most `tenants` tenants get a label of their own.
    ///
    /// # Errors
    /// When `registry` has metrics of these names.
    pub(crate) fn register(registry: &Registry, tenants: usize) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            ended: IntCounterVec::new(
                Opts::new("exporter_runs_total", "Runs that ended, each once."),
                &["profile", "status"],
            )?,
            failures: IntCounterVec::new(
                Opts::new("exporter_run_failures_total", "Runs that failed, by the code of the reason."),
                &["profile", "error_code"],
            )?,
            seconds: HistogramVec::new(
                HistogramOpts::new("exporter_run_duration_seconds", "Seconds from the admission of a run to its end.")
                    .buckets(SECONDS.to_vec()),
                &["profile", "status"],
            )?,
            bytes: IntCounterVec::new(
                Opts::new("exporter_run_bytes_total", "Bytes of the bundles that runs made."),
                &["profile"],
            )?,
            last_success: IntGaugeVec::new(
                Opts::new(
                    "exporter_last_success_timestamp_seconds",
                    "When the newest run that succeeded ended; absent while there is none.",
                ),
                &["profile"],
            )?,
            active: IntGaugeVec::new(Opts::new("exporter_active_runs", "Runs at work."), &["tenant"])?,
            queue_age: GaugeVec::new(
                Opts::new("exporter_queue_age_seconds", "Age of the oldest command of a step that is not done."),
                &["step"],
            )?,
            queue_pending: IntGaugeVec::new(
                Opts::new("exporter_queue_pending", "Commands of a step that are not done, those at work among them."),
                &["step"],
            )?,
            log_bytes: IntGauge::new("exporter_log_bytes", "Size of the log.")?,
            log_limit: IntGauge::new("exporter_log_limit_bytes", "Size at which the log takes no further commands.")?,
            staging: IntGauge::new(
                "exporter_staging_bytes",
                "Bytes in the staging folder; 0 where staging is a bucket, which has metrics of its own.",
            )?,
            named: Arc::default(),
            most_named: tenants,
        };
        registry.register(Box::new(metrics.ended.clone()))?;
        registry.register(Box::new(metrics.failures.clone()))?;
        registry.register(Box::new(metrics.seconds.clone()))?;
        registry.register(Box::new(metrics.bytes.clone()))?;
        registry.register(Box::new(metrics.last_success.clone()))?;
        registry.register(Box::new(metrics.active.clone()))?;
        registry.register(Box::new(metrics.queue_age.clone()))?;
        registry.register(Box::new(metrics.queue_pending.clone()))?;
        registry.register(Box::new(metrics.log_bytes.clone()))?;
        registry.register(Box::new(metrics.log_limit.clone()))?;
        registry.register(Box::new(metrics.staging.clone()))?;
        for kind in ProfileKind::ALL {
            metrics.bytes.with_label_values(&[kind.as_str()]);
            for status in [RunStatus::Succeeded, RunStatus::Failed, RunStatus::Aborted] {
                metrics.ended.with_label_values(&[kind.as_str(), status.as_str()]);
            }
        }
        Ok(metrics)
    }

    /// Counts a run that ended.
    pub(crate) fn ended(&self, run: &Run) {
        let (kind, status) = (run.profile_kind.as_str(), run.status.as_str());
        self.ended.with_label_values(&[kind, status]).inc();
        if let Some(millis) = run.duration_ms {
            // Exact up to thousands of years.
            #[expect(clippy::cast_precision_loss, reason = "a histogram of seconds")]
            self.seconds.with_label_values(&[kind, status]).observe(millis as f64 / 1_000.0);
        }
        match run.status {
            RunStatus::Failed => {
                let code = run.error_code.map_or("(none)", |code| code.as_str());
                self.failures.with_label_values(&[kind, code]).inc();
            }
            RunStatus::Succeeded => {
                // A run that only confirmed a bundle made none.
                if let Some(made) = run.bundle.as_ref().filter(|bundle| bundle.refreshes.is_none()) {
                    self.bytes.with_label_values(&[kind]).inc_by(made.bytes);
                }
                if let Some(at) = run.completed_at {
                    self.succeeded(run.profile_kind, at.as_seconds());
                }
            }
            _ => {}
        }
    }

    /// Takes the time of a success; an older one changes nothing.
    pub(crate) fn succeeded(&self, kind: ProfileKind, at: i64) {
        let gauge = self.last_success.with_label_values(&[kind.as_str()]);
        gauge.set(gauge.get().max(at));
    }

    /// Shows how many runs of which tenant are at work.
    pub(crate) fn active(&self, active: &BTreeMap<TenantId, u32>) {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        for tenant in active.keys() {
            if named.len() < self.most_named {
                named.insert(tenant.clone());
            }
        }
        let of = |tenant: &TenantId| i64::from(active.get(tenant).copied().unwrap_or(0));
        for tenant in named.iter() {
            self.active.with_label_values(&[tenant.as_str()]).set(of(tenant));
        }
        let others = active.keys().filter(|tenant| !named.contains(*tenant)).map(of).sum();
        self.active.with_label_values(&[OTHERS]).set(others);
    }

    /// Shows how much lies in staging.
    pub(crate) fn staged(&self, bytes: u64) {
        self.staging.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Shows what waits on the log.
    pub(crate) fn backlog(&self, backlog: &Backlog) {
        for waiting in &backlog.steps {
            let step = waiting.step.durable();
            self.queue_age.with_label_values(&[step]).set(waiting.age.as_secs_f64());
            self.queue_pending.with_label_values(&[step]).set(i64::try_from(waiting.pending).unwrap_or(i64::MAX));
        }
        self.log_bytes.set(i64::try_from(backlog.log.bytes).unwrap_or(i64::MAX));
        self.log_limit.set(i64::try_from(backlog.log.limit).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use export_contract::TenantId;
    use export_contract::profile::ProfileKind;
    use prometheus::{Encoder as _, Registry, TextEncoder};

    use super::RunMetrics;

    fn page(registry: &Registry) -> String {
        let mut page = Vec::new();
        TextEncoder::new().encode(&registry.gather(), &mut page).unwrap();
        String::from_utf8(page).unwrap()
    }

    #[test]
    fn tenants_beyond_the_cap_are_counted_together_and_a_label_stays() {
        let registry = Registry::new();
        let metrics = RunMetrics::register(&registry, 2).unwrap();
        let tenant = |name: &str| name.parse::<TenantId>().unwrap();
        metrics.active(&BTreeMap::from([(tenant("b"), 2), (tenant("c"), 3)]));
        metrics.active(&BTreeMap::from([(tenant("a"), 4), (tenant("c"), 1), (tenant("d"), 5)]));
        let page = page(&registry);
        for line in ["{tenant=\"(other)\"} 9", "{tenant=\"b\"} 0", "{tenant=\"c\"} 1"] {
            assert!(page.contains(&format!("exporter_active_runs{line}\n")), "{line}\n{page}");
        }
        assert!(!page.contains("tenant=\"a\""));
    }

    #[test]
    fn the_time_of_the_last_success_does_not_go_back() {
        let registry = Registry::new();
        let metrics = RunMetrics::register(&registry, 2).unwrap();
        assert!(!page(&registry).contains("exporter_last_success_timestamp_seconds{"));
        metrics.succeeded(ProfileKind::TrivyDb, 200);
        metrics.succeeded(ProfileKind::TrivyDb, 100);
        let line = "exporter_last_success_timestamp_seconds{profile=\"trivy:db\"} 200\n";
        assert!(page(&registry).contains(line), "{}", page(&registry));
    }
}
