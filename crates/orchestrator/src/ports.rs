//! What the orchestrator works on.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use export_blobs::{BlobStore, Workspace};
use export_contract::Timestamp;
use export_contract::run::RunRef;
use export_pipeline::RunQueue;
use export_runs::{AuditStore, RunStore};

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The clock of the machine.
pub fn system_clock() -> Clock {
    Arc::new(|| Timestamp::from(SystemTime::now()))
}

/// The ledger, the log, staging and the time. Cheap to clone.
#[derive(Clone)]
pub struct Ports {
    /// The run ledger.
    pub ledger: Arc<dyn RunStore>,
    /// The log.
    pub queue: Arc<dyn RunQueue>,
    /// Staging.
    pub staging: Arc<dyn BlobStore>,
    /// The time.
    pub clock: Clock,
    /// The audit log, where one is kept.
    pub audit: Option<Arc<dyn AuditStore>>,
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ports").field("ledger", &self.ledger).field("staging", &self.staging).finish_non_exhaustive()
    }
}

impl Ports {
    pub(crate) fn workspace(&self, run: &RunRef) -> Workspace {
        Workspace::new(Arc::clone(&self.staging), run.clone())
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }
}
