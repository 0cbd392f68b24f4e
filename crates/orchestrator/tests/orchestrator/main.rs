//! The orchestrator over a SQLite ledger, a staging folder and a log in memory.
#![allow(clippy::unwrap_used, reason = "tests")]

mod admission;
mod desk;
mod healing;
mod log;
mod recording;
mod refreshing;
mod replaying;
mod scheduling;
mod stages;
mod telling;
mod webhooks;
