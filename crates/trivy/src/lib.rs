//! What Trivy's databases hold, and how evidence becomes it.
//!
//! Adapt parts turn records into [`Row`]s with a [`Mapper`], sort them and stage them; assemble merges the sorted runs of all
//! parts and feeds them to a [`Merger`], which gives the entries of the database, those of each bucket in the order in which the
//! bolt writer takes them. [`java`] is the same for the index of Java archives.

#[cfg(test)]
mod corpus;
mod cve5;
mod ecosystem;
mod entry;
mod interval;
pub mod java;
mod mapper;
mod merge;
pub mod metadata;
mod names;
mod node;
mod osv;
mod php;
mod project_kb;
mod ranges;
mod report;
mod requirement;
mod row;
mod rows;
mod ruby;
mod severity;
mod versions;

pub use mapper::{Mapper, Record};
pub use merge::{Entry, Merger, VULNERABILITY};
pub use report::{EcosystemSummary, Example, Reason, Report, Summary};
pub use row::{BadRow, Key, Row, Table};

/// Schema of the vulnerability database that this crate writes.
pub const DB_SCHEMA: u32 = 2;
/// Schema of the Java index that this crate writes.
pub const JAVA_SCHEMA: u32 = 1;
