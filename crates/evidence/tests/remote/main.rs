//! Policy Engine and Findings Ledger over HTTP, against a small server that keeps the documented subset of both, and that lies when it is
//! told to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "tests")]

mod ledger;
mod policy;
mod server;
