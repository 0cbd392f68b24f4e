//! Profiles and runs as stored state: the run ledger, which is the truth about every run (design D1).
//!
//! [`RunStore`] is the port; its drivers are [`SqliteRuns`] and [`MongoRuns`]. What a fact does to a run is decided in
//! one place for both, so a driver only keeps and finds.

mod audit;
mod base;
mod entries;
mod fold;
pub mod idempotency;
mod mongo;
pub mod quota;
mod retention;
mod revision;
pub mod schedule;
mod sqlite;
pub mod store;
pub mod submit;
#[cfg(feature = "testing")]
pub mod suite;
pub mod webhook;

pub use audit::{AuditFilter, AuditPage, AuditStore, MAX_AUDIT_PAGE};
pub use base::find_base;
pub use idempotency::IdempotencyStore;
pub use mongo::MongoRuns;
pub use quota::{Exceeded, QuotaName, QuotaRules, Quotas, SlotCaps, SubmitOutcome, Submitted, Usage};
pub use retention::{RetentionStep, RetentionStore};
pub use schedule::ScheduleStore;
pub use sqlite::SqliteRuns;
pub use store::{
    Admission, CancelOutcome, CreateOutcome, DeleteOutcome, NewEvent, ReplayOutcome, ReplayWanted, Replayed, RunFilter,
    RunPage, RunStore, RunStoreError, StepOutcome,
};
pub use webhook::{KeptWebhook, WebhookStore};
