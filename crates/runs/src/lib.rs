//! Profiles and runs as stored state: the run ledger, which is the truth about every run (design D1).
//!
//! [`RunStore`] is the port; its driver is [`SqliteRuns`]. What a fact does to a run is decided in
//! one place for both, so a driver only keeps and finds.

mod fold;
mod revision;
mod sqlite;
pub mod store;
#[cfg(feature = "testing")]
pub mod suite;

pub use sqlite::SqliteRuns;
pub use store::{
    Admission, CancelOutcome, CreateOutcome, NewEvent, RunFilter, RunPage, RunStore, RunStoreError,
    StepOutcome,
};
