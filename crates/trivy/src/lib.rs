//! What Trivy's databases hold, and how evidence becomes it.
//!
//! Adapt parts turn records into [`Row`]s with a [`Mapper`], sort them and stage them; assemble merges the sorted runs of all
//! parts and feeds them to a [`Merger`], which gives the entries of the database in the order in which the bolt writer takes them.

mod row;

pub use row::{BadRow, Key, Row, Table};
