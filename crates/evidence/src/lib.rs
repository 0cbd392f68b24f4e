//! The evidence ledger: the port that stages read through, its drivers, the meaning of selectors, and import.

pub mod ledger;
pub mod predicate;

pub use ledger::{
    EvidenceLedger, ImportSession, LedgerError, LineStream, NewRecord, PutRecord, ReadRange, Selection, StoredLine,
    Watermark,
};
