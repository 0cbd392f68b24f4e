//! Profiles and runs as stored state: the run ledger, which is the truth about every run (design D1).

pub mod store;

pub use store::{
    Admission, CancelOutcome, CreateOutcome, NewEvent, RunFilter, RunPage, RunStore, RunStoreError, StepOutcome,
};
