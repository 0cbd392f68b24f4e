//! Profiles and runs as stored state: the run ledger, which is the truth about every run (design D1).
//!
//! [`RunStore`] is the port; its drivers are [`SqliteRuns`] and [`MongoRuns`]. What a fact does to a run is decided in
//! one place for both, so a driver only keeps and finds.

mod base;
mod fold;
mod mongo;
mod retention;
mod revision;
mod sqlite;
pub mod store;
#[cfg(feature = "testing")]
pub mod suite;

pub use base::find_base;
pub use mongo::MongoRuns;
pub use retention::{RetentionStep, RetentionStore};
pub use sqlite::SqliteRuns;
pub use store::{
    Admission, CancelOutcome, CreateOutcome, NewEvent, RunFilter, RunPage, RunStore, RunStoreError, StepOutcome,
};
