//! The system as its users meet it: evidence in, requests over HTTP, verified bundles out.
//!
//! Every test starts a deployment of its own (see `export_tests`). Start reading at [`json_raw`].

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod approvals;
mod bad_input;
mod canary;
mod crash;
mod determinism;
mod evidence;
mod evidence_equality;
mod json_policy;
mod json_raw;
mod memory;
mod metrics;
mod recurring;
mod roles_apart;
