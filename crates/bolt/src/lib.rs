//! Writes bbolt databases from sorted input in one pass (design D3).
//!
//! Buckets and keys come in ascending byte order and every page is written once, from the front of the file to its end: full
//! leaves, then the branches above them. So the same input always gives the same bytes, the file has no holes, and memory holds
//! only what is open: for each bucket that was entered and not left, one leaf and one branch page per level of its tree.
//!
//! The format is that of bbolt's version 2, which has no document of its own but its source
//! (<https://github.com/etcd-io/bbolt>, `internal/common`). The page size is 4096 everywhere; bbolt reads it from the file.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("trivy.db");
//! let mut writer = export_bolt::BoltWriter::create(&path)?;
//! writer.enter(b"vulnerability")?;
//! writer.put(b"CVE-2024-0001", br#"{"Severity":"HIGH"}"#)?;
//! writer.leave()?;
//! let written = writer.finish()?;
//! assert_eq!(std::fs::metadata(&path)?.len(), written.bytes);
//! # Ok(())
//! # }
//! ```

mod bucket;
mod error;
mod page;
mod writer;

pub use error::BoltError;
pub use writer::{BoltWriter, MAX_KEY, MAX_VALUE, Written};
