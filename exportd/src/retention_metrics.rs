//! What retention did, as metrics.

use export_contract::Timestamp;
use export_contract::profile::DistributionKind;
use export_orchestrator::{Freed, Pass};
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// The metrics of the orchestrator's process. Each name is there from the start, at 0. A dry run counts for nothing but what it saw.
#[derive(Clone, Debug)]
pub(crate) struct RetentionMetrics {
    steps: IntCounterVec,
    objects: IntCounter,
    bytes: IntCounter,
    withdrawn: IntCounter,
    failures: IntCounterVec,
    seen: IntGaugeVec,
    last_pass: IntGauge,
}

impl RetentionMetrics {
    /// Makes the metrics and registers them.
    ///
    /// # Errors
    /// When `registry` has metrics of these names.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            steps: IntCounterVec::new(
                Opts::new("exporter_retention_runs_total", "Runs by the step that retention took with them."),
                &["step"],
            )?,
            objects: IntCounter::new("exporter_retention_freed_objects_total", "Objects removed from staging.")?,
            bytes: IntCounter::new("exporter_retention_freed_bytes_total", "Bytes removed from staging.")?,
            withdrawn: IntCounter::new(
                "exporter_retention_withdrawn_total",
                "Places of runs that did not succeed which targets have let go of.",
            )?,
            failures: IntCounterVec::new(
                Opts::new(
                    "exporter_retention_failures_total",
                    "What could not be removed, by kind of target; staging and ledger are kinds, too.",
                ),
                &["kind"],
            )?,
            seen: IntGaugeVec::new(
                Opts::new(
                    "exporter_retention_seen",
                    "What the last pass saw: runs kept and waiting for the end of the grace, locked distributions, orphans in staging.",
                ),
                &["what"],
            )?,
            last_pass: IntGauge::new(
                "exporter_retention_last_pass_timestamp_seconds",
                "When the last pass ended; 0 before the first.",
            )?,
        };
        registry.register(Box::new(metrics.steps.clone()))?;
        registry.register(Box::new(metrics.objects.clone()))?;
        registry.register(Box::new(metrics.bytes.clone()))?;
        registry.register(Box::new(metrics.withdrawn.clone()))?;
        registry.register(Box::new(metrics.failures.clone()))?;
        registry.register(Box::new(metrics.seen.clone()))?;
        registry.register(Box::new(metrics.last_pass.clone()))?;
        for kind in DistributionKind::ALL.map(DistributionKind::as_str).into_iter().chain(["staging", "ledger"]) {
            metrics.failures.with_label_values(&[kind]);
        }
        metrics.add(&Pass::default());
        Ok(metrics)
    }

    /// Adds what one pass did, which ended `at`.
    pub(crate) fn count(&self, pass: &Pass, at: Timestamp) {
        self.add(pass);
        self.last_pass.set(at.as_seconds());
    }

    fn add(&self, pass: &Pass) {
        let Pass { dry_run, kept, expiring, waiting, spared, pruned, withdrawn, freed, locked, orphans, failures } =
            pass;
        let done = |count: u64| if *dry_run { 0 } else { count };
        for (step, count) in [("expire", *expiring), ("spare", *spared), ("prune", *pruned)] {
            self.steps.with_label_values(&[step]).inc_by(done(count));
        }
        self.withdrawn.inc_by(done(*withdrawn));
        let Freed { objects, bytes } = *freed;
        self.objects.inc_by(objects);
        self.bytes.inc_by(bytes);
        for (kind, count) in failures {
            self.failures.with_label_values(&[kind]).inc_by(*count);
        }
        for (what, count) in [("kept", *kept), ("waiting", *waiting), ("locked", *locked), ("orphan", *orphans)] {
            self.seen.with_label_values(&[what]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use export_orchestrator::{Freed, Pass};
    use prometheus::{Encoder as _, Registry, TextEncoder};

    use super::RetentionMetrics;

    #[test]
    fn every_sum_of_a_pass_is_told_and_none_is_missing_before_the_first() {
        let registry = Registry::new();
        let metrics = RetentionMetrics::register(&registry).unwrap();
        let expect = |lines: &[String]| {
            let mut page = Vec::new();
            TextEncoder::new().encode(&registry.gather(), &mut page).unwrap();
            let page = String::from_utf8(page).unwrap();
            for line in lines {
                assert!(page.contains(&format!("exporter_retention_{line}\n")), "{line}\n{page}");
            }
        };
        let told = |steps: u64, freed: u64, failures: u64, seen: u64, last: u64| {
            let mut lines = vec![
                format!("freed_objects_total {freed}"),
                format!("freed_bytes_total {}", freed * 100),
                format!("withdrawn_total {steps}"),
                format!("last_pass_timestamp_seconds {last}"),
            ];
            lines.extend(["expire", "spare", "prune"].map(|step| format!("runs_total{{step=\"{step}\"}} {steps}")));
            lines.extend(["kept", "waiting", "locked", "orphan"].map(|what| format!("seen{{what=\"{what}\"}} {seen}")));
            lines.extend(
                ["http", "oci", "object", "directory", "staging", "ledger"].map(|kind| {
                    format!("failures_total{{kind=\"{kind}\"}} {}", if kind == "oci" { failures } else { 0 })
                }),
            );
            lines
        };
        expect(&told(0, 0, 0, 0, 0));
        let pass = Pass {
            dry_run: false,
            kept: 5,
            expiring: 3,
            waiting: 5,
            spared: 3,
            pruned: 3,
            withdrawn: 3,
            freed: Freed { objects: 2, bytes: 200 },
            locked: 5,
            orphans: 5,
            failures: BTreeMap::from([("oci", 4)]),
        };
        let at = |seconds: i64| export_contract::Timestamp::from(std::time::UNIX_EPOCH).plus_seconds(seconds);
        metrics.count(&pass, at(1_000));
        metrics.count(&pass, at(2_000));
        expect(&told(6, 4, 8, 5, 2_000));
        let dry = Pass { dry_run: true, freed: Freed::default(), failures: BTreeMap::new(), ..pass };
        metrics.count(&dry, at(3_000));
        expect(&told(6, 4, 8, 5, 3_000));
    }
}
