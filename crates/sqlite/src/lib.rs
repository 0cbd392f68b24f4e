//! SQLite as this project uses it: one file, write-ahead log, one writer per process and some readers (design D12, D24).
//!
//! The calls are async; SQLite itself runs on blocking threads. Several processes may open the same file at once:
//! they wait for each other at most [`BUSY_TIMEOUT`], and schema changes happen once.

mod connection;
mod database;
mod error;

pub use connection::BUSY_TIMEOUT;
pub use database::Database;
pub use error::{SqliteError, undecodable};
pub use rusqlite;
