//! The rules of a stage, with no broker in sight.
//!
//! A stage is a [`Stage`]: a small library that turns the result of the stage before into its own. The host
//! (`export-jetstream`) owns everything else: delivery, heartbeats, retries, dead letters, metrics, tracing, and the
//! order of effects *artefacts, result record, `done` event, acknowledgement*. A stage's own tests need no broker:
//! with feature `testing`, `contract_check` holds a stage to its contract.

pub mod context;
#[cfg(feature = "testing")]
pub mod contract_check;
pub mod ports;
pub mod stage;
pub mod verdict;

pub use context::{Cancelled, ProgressSink, StageContext};
pub use ports::{DeadLetters, FeedSignal, QueueError, RunFeed, RunQueue};
pub use stage::{Done, Stage, StageInput, UnreadableInput};
pub use verdict::{Judged, Verdict};
