//! Recurring runs.

use serde::{Deserialize, Serialize};

/// Recurring runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Schedules {
    /// Seconds between two looks for due times, 1 to 60.
    pub(crate) check_seconds: u64,
}

impl Default for Schedules {
    fn default() -> Self {
        Self { check_seconds: 5 }
    }
}

impl Schedules {
    pub(super) fn faults(&self) -> Vec<String> {
        if (1..=60).contains(&self.check_seconds) {
            Vec::new()
        } else {
            vec!["schedules.check_seconds: use 1 to 60".to_owned()]
        }
    }
}
