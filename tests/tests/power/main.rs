//! A cut of the power at any write: staging, the run ledger and keys open again, what was confirmed is there and whole, and what was not is there
//! whole or not at all.
//!
//! A program is recorded while it works ([`tape`]), and what could lie on its disk after a cut is made from that ([`disk`]).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "tests")]
#![allow(clippy::indexing_slicing, reason = "tests")]

mod cuts;
mod disk;
mod keys;
mod ledger;
mod staging;
mod tape;
