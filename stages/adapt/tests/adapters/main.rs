//! Every adapter over a ledger that misbehaves and staging that is real.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod json_policy;
mod json_raw;
mod mirror;
mod trivy;
mod world;
