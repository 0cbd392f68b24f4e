//! `json:raw`: the same bytes whatever the threads, batches, crashes and repeats.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod damage;
mod files;
mod interruptions;
mod memory;
mod readers;
mod world;
