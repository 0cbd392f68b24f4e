//! What a deployment tells of itself: traces, logs, health, and alerts at a real Prometheus.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod alerts;
mod health;
mod lines;
mod traces;
