//! How long an import may be silent before another one may take its place.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use export_contract::Timestamp;

/// Tells the time. Tests bring their own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The terms of an import lease. It is renewed by each put and, while the session lives, by a timer.
#[derive(Clone)]
pub struct LeaseTerms {
    /// How long the lease lasts from its last renewal.
    pub length: Duration,
    /// Whose time counts. Machines that import into one ledger need clocks that agree to well within `length`.
    pub clock: Clock,
}

impl Default for LeaseTerms {
    /// One minute by the system's clock.
    fn default() -> Self {
        Self { length: Duration::from_mins(1), clock: Arc::new(|| SystemTime::now().into()) }
    }
}

impl fmt::Debug for LeaseTerms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseTerms").field("length", &self.length).finish_non_exhaustive()
    }
}

impl LeaseTerms {
    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// When a lease that is taken or renewed now ends.
    pub(crate) fn end(&self) -> Timestamp {
        self.now().plus_seconds(i64::try_from(self.length.as_secs()).unwrap_or(i64::MAX))
    }

    /// How often the timer renews: often enough that one renewal may fail.
    pub(crate) fn renewal_interval(&self) -> Duration {
        (self.length / 4).max(Duration::from_millis(100))
    }
}
