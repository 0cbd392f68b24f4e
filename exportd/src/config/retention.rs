//! How long runs are kept beside what their profiles say.

use std::time::Duration;

use export_contract::Timestamp;
use export_orchestrator::Rules;
use serde::{Deserialize, Serialize};

/// Retention.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Retention {
    /// Whether the orchestrator prunes; `exportd retention run` does in any case.
    pub(crate) enabled: bool,
    /// Minutes between two passes, 1 to 10080.
    pub(crate) interval_minutes: u64,
    /// Minutes that a run is no longer offered before its bytes go, 0 to 10080.
    pub(crate) grace_minutes: u64,
    /// Days that runs are kept that failed or were cancelled, 0 to 3650.
    pub(crate) failed_days: u64,
    /// Days that bundles are kept whose profile says nothing of retention, up to 3650; 0: for ever.
    pub(crate) default_days: u32,
    /// Days that entries of the audit log are kept, up to 36500; 0: for ever.
    pub(crate) audit_days: u32,
    /// Whether what lies in staging without a run in the ledger is removed.
    pub(crate) remove_orphans: bool,
    /// Whether nothing is changed, and passes only say what they would do.
    pub(crate) dry_run: bool,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            enabled: true,
            interval_minutes: 60,
            grace_minutes: 60,
            failed_days: 7,
            default_days: 0,
            audit_days: 365,
            remove_orphans: false,
            dry_run: false,
        }
    }
}

impl Retention {
    pub(super) fn faults(&self) -> Vec<String> {
        let limits = [
            ((1..=10_080).contains(&self.interval_minutes), "interval_minutes: use 1 to 10080"),
            (self.grace_minutes <= 10_080, "grace_minutes: use 0 to 10080"),
            (self.failed_days <= 3_650, "failed_days: use 0 to 3650"),
            (self.default_days <= 3_650, "default_days: use 0 to 3650"),
            (self.audit_days <= 36_500, "audit_days: use 0 to 36500"),
        ];
        limits.into_iter().filter(|(good, _)| !good).map(|(_, text)| format!("retention.{text}")).collect()
    }

    /// What the pruner goes by.
    pub(crate) fn rules(&self) -> Rules {
        Rules {
            grace: Duration::from_mins(self.grace_minutes),
            failed_for: Duration::from_hours(self.failed_days * 24),
            remove_orphans: self.remove_orphans,
        }
    }

    /// Time between two passes.
    pub(crate) fn interval(&self) -> Duration {
        Duration::from_mins(self.interval_minutes)
    }

    /// Before which time entries of the audit log go.
    pub(crate) fn audit_until(&self, now: Timestamp) -> Option<Timestamp> {
        (self.audit_days > 0).then(|| now.plus_seconds(-86_400 * i64::from(self.audit_days)))
    }

    /// How long bundles are kept whose profile says nothing.
    pub(crate) fn default_days(&self) -> Option<u32> {
        Some(self.default_days).filter(|days| *days > 0)
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::load;

    #[test]
    fn what_is_out_of_bounds_is_named() {
        let text = "[retention]\ninterval_minutes = 0\ngrace_minutes = 10081\nfailed_days = 3651\ndefault_days = 3651\naudit_days = 36501\n";
        let error = load(text, &[]).unwrap_err();
        for name in ["interval_minutes", "grace_minutes", "failed_days", "default_days", "audit_days"] {
            assert!(error.contains(&format!("retention.{name}: use ")), "{name}: {error}");
        }
    }

    #[test]
    fn no_default_means_for_ever() {
        let now = "2026-05-01T00:00:00Z".parse().unwrap();
        let until = |days| load("", &[("EXPORT_RETENTION_AUDIT_DAYS", days)]).unwrap().retention.audit_until(now);
        assert_eq!((until("0"), until("1")), (None, Some(now.plus_seconds(-86_400))));
        assert_eq!(load("", &[]).unwrap().retention.default_days(), None);
        let config = load("", &[("EXPORT_RETENTION_DEFAULT_DAYS", "30")]).unwrap();
        assert_eq!(config.retention.default_days(), Some(30));
    }
}
