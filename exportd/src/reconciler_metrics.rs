//! What the reconciler did, as counters.

use export_orchestrator::Reconciled;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// The counters of the orchestrator's process. Each action is there from the start, at 0.
#[derive(Clone, Debug)]
pub(crate) struct ReconcilerMetrics {
    repairs: IntCounterVec,
    errors: IntCounter,
}

impl ReconcilerMetrics {
    /// Makes the counters and registers them.
    ///
    /// # Errors
    /// When `registry` has metrics of these names.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let repairs = IntCounterVec::new(
            Opts::new("exporter_reconciler_repairs_total", "What the reconciler did for silent and waiting runs."),
            &["action"],
        )?;
        let errors = IntCounter::new(
            "exporter_reconciler_errors_total",
            "What the reconciler could not look after: runs, admission, the run ledger.",
        )?;
        registry.register(Box::new(repairs.clone()))?;
        registry.register(Box::new(errors.clone()))?;
        let metrics = Self { repairs, errors };
        metrics.count(Reconciled::default());
        Ok(metrics)
    }

    /// Adds what one pass did.
    pub(crate) fn count(&self, pass: Reconciled) {
        let Reconciled { admitted, silent: _, recorded, republished, retried, ended, given_up, errors } = pass;
        let actions = [
            ("admit", admitted),
            ("record", recorded),
            ("republish", republished),
            ("retry", retried),
            ("end", ended),
            ("give_up", given_up),
        ];
        for (action, count) in actions {
            self.repairs.with_label_values(&[action]).inc_by(count.into());
        }
        self.errors.inc_by(errors.into());
    }
}

#[cfg(test)]
mod tests {
    use export_orchestrator::Reconciled;
    use prometheus::{Encoder as _, Registry, TextEncoder};

    use super::ReconcilerMetrics;

    #[test]
    fn every_outcome_of_a_pass_is_counted_and_none_is_missing_before_the_first() {
        let registry = Registry::new();
        let metrics = ReconcilerMetrics::register(&registry).unwrap();
        let page = || {
            let mut page = Vec::new();
            TextEncoder::new().encode(&registry.gather(), &mut page).unwrap();
            String::from_utf8(page).unwrap()
        };
        for action in ["admit", "record", "republish", "retry", "end", "give_up"] {
            assert!(
                page().contains(&format!("exporter_reconciler_repairs_total{{action=\"{action}\"}} 0\n")),
                "{action}"
            );
        }
        assert!(page().contains("exporter_reconciler_errors_total 0\n"));
        let pass = Reconciled {
            admitted: 1,
            silent: 9,
            recorded: 2,
            republished: 3,
            retried: 4,
            ended: 5,
            given_up: 6,
            errors: 7,
        };
        metrics.count(pass);
        metrics.count(pass);
        for (action, count) in
            [("admit", 2), ("record", 4), ("republish", 6), ("retry", 8), ("end", 10), ("give_up", 12)]
        {
            let line = format!("exporter_reconciler_repairs_total{{action=\"{action}\"}} {count}\n");
            assert!(page().contains(&line), "{action}");
        }
        assert!(page().contains("exporter_reconciler_errors_total 14\n"));
    }
}
