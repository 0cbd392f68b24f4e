//! Plan: pins everything that a run's bytes depend on.
//!
//! Takes what was decided at submit ([`RunAdmitted`](export_contract::message::RunAdmitted)), looks once at the evidence
//! ledger and at the policy source, and gives a [`RunPlanned`](export_contract::message::RunPlanned): profile revision, absolute
//! selectors, ledger watermark, sources, policy snapshot, base of a delta, adapter. Every later stage reads the plan and nothing that can
//! change. What cannot be exported fails here, fast and with a code. Where the profile asks for it and nothing changed, the plan names the
//! earlier bundle that does.

mod across;
mod base;
mod error;
mod refresh;
mod snapshot;
mod stage;
mod ways;

pub use error::PlanError;
pub use stage::Plan;
pub use ways::{Destination, Ways};
