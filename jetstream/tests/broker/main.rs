//! The broker side of the pipeline against a real `nats-server`: redelivery, crashes and concurrency are the main case.
//!
//! Each test starts its own server. The program comes from the search path or from `.tools/bin`, where `make tools`
//! puts it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod cancelling;
mod crashing;
mod fairness;
mod hosting;
mod joining;
mod judging;
mod laying_out;
mod publishing;
mod registering;
mod retrying;
mod rig;
mod serving;
mod sharing;
mod tailing;
mod waiting;
mod watching;
