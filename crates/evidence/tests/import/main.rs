//! Import from end to end: files in, records, summary and reject file out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests")]

mod bench;
mod containers;
mod formats;
mod hostile;
mod memory;
mod policy;
mod real_evidence;
mod twice;
