//! The rules of a stage, with no broker in sight.
//!
//! A stage is a [`Stage`]: a small library that turns the result of the stage before into its own. The host
//! (`export-jetstream`, or [`memory`] in tests) owns everything else: delivery, heartbeats, retries, dead letters,
//! metrics, tracing, and the order of effects *artefacts, result record, `done` event, acknowledgement*.

pub mod context;
pub mod ports;
pub mod stage;
pub mod verdict;

pub use context::{Cancelled, ProgressSink, StageContext};
pub use ports::{FeedSignal, RunFeed, RunQueue, QueueError};
pub use stage::{Done, Stage, StageInput, UnreadableInput};
pub use verdict::{Judged, Verdict};
