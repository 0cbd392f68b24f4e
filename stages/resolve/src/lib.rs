//! Resolve: cuts the selected evidence into parts.
//!
//! Takes a [`RunPlanned`](export_contract::message::RunPlanned) and gives
//! [`PartsResolved`](export_contract::message::PartsResolved). The cut follows the canonical order and depends on the
//! records alone, never on how many workers there are: that is what lets adapt run anywhere, in any order, to the same bytes.

mod error;
mod nothing;
mod stage;

pub use error::ResolveError;
pub use stage::Resolve;
