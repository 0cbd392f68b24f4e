//! The orchestrator: gives runs their slots, folds the log into the run ledger, and rebuilds what was lost.
//!
//! Pure logic over ports, with no broker in sight. The host (`export-jetstream`, or a test) hands log events to
//! [`Orchestrator::on_event`] and runs [`Orchestrator::run`]; everything may be called twice, by several orchestrators
//! at once, and stopped at any point: the next call goes on from what the ledger and staging say (design D1).

mod admission;
mod error;
mod orchestrator;
mod ports;
mod previous;
mod reconciler;
mod recorder;
mod replay;
mod retention;
mod schedules;
mod trail;
mod webhooks;

pub use admission::{Admitter, Caps};
pub use error::OrchestratorError;
pub use orchestrator::{Orchestrator, Pace};
pub use ports::{Clock, Ports, system_clock};
pub use reconciler::{Patience, Rebuilt, Reconciled, Reconciler};
pub use recorder::{Recorded, Recorder};
pub use retention::{Deed, Freed, Pass, Retention, Rules, Told};
pub use schedules::{Scheduled, Scheduler};
pub use webhooks::{Dispatched, Dispatcher};
