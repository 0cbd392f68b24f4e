//! Distribute: hands the bundle over and ends the run.
//!
//! Takes [`RunSigned`](export_contract::message::RunSigned) and gives
//! [`RunDistributed`](export_contract::message::RunDistributed). Each way of handing over is an
//! [`export_targets::Target`]; they are registered once, at start, from the configuration.

mod error;
mod stage;

pub use error::DistributeError;
pub use stage::Distribute;
