//! Pull from end to end: a peer's documents in a MongoDB in, export lines out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "tests")]

mod bench;
mod interrupted;
mod lines;
mod order;
mod real_evidence;
mod refused;
