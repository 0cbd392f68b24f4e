//! Distribute: hands the bundle over and ends the run.
//!
//! Takes [`RunSigned`](export_contract::message::RunSigned) and gives
//! [`RunDistributed`](export_contract::message::RunDistributed). Each way of handing over is a [`Target`]; they are registered once, at
//! start, from one list and the configuration's allowlist.

mod download;
mod error;
mod stage;
mod target;

pub use error::DistributeError;
pub use stage::{Clock, Distribute};
pub use target::{Target, TargetError, registered};
