//! MongoDB and servers that speak its protocol, as this project uses them (design D12, D24).
//!
//! There are no transactions: FerretDB has none, so every atomic step of a store is one conditional write of one document.

mod client;
mod error;
#[cfg(feature = "testing")]
pub mod ferretdb;

pub use client::{connect, ensure_indexes, perform, perform_again, perform_within, ping, servers};
pub use error::MongoError;
pub use mongodb;
pub use mongodb::bson;
