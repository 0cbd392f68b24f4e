//! The evidence ledger: the port that stages read through, its drivers, the meaning of selectors, and import.
//!
//! - [`ledger`]: the port. [`SqliteLedger`] and [`MongoLedger`] keep it; `suite` holds them to it.
//! - [`import`] and [`pull`]: how evidence comes in, from files and from the ledgers of others.
//! - [`predicate`]: what selectors mean. The drivers compile them; a property test holds the three equal.

pub mod aoc;
pub mod generate;
pub mod import;
pub mod ledger;
pub mod policy;
pub mod predicate;
pub mod pull;
pub mod remote;

mod batch;
mod compile;
mod cutter;
pub mod lease;
mod line;
mod mongo;
mod sqlite;
#[cfg(feature = "testing")]
pub mod suite;

pub use cutter::{Cut, LONGEST, PartSize};
pub use ledger::{
    EvidenceLedger, ImportSession, LedgerError, LineStream, NewRecord, PutRecord, ReadRange, Selection, StoredLine,
    Watermark,
};
pub use mongo::MongoLedger;
pub use sqlite::SqliteLedger;
