//! Retention over a SQLite ledger, a staging folder and targets in memory: whatever happens, in whatever order, and wherever a pass is
//! killed, nothing goes that is needed, and everything else does.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "how much is tried is a setting of the tests")]

mod depot;
mod expected;
mod fuse;
mod history;
mod passes;
mod property;
mod world;
