//! Staging: where a run's artefacts and result records lie until they are handed over.
//!
//! [`BlobStore`] is the port; drivers are [`folder`] and [`s3`]; feature `testing` brings the suite that holds them to it. [`Workspace`] is what a stage sees of it: one
//! run of one tenant, artefacts named by content, result records named by stage and part.

pub mod access;
pub mod folder;
mod handover;
pub mod s3;
#[cfg(feature = "testing")]
pub mod seaweed;
pub mod store;
#[cfg(feature = "testing")]
pub mod suite;
pub mod sums;
pub mod workspace;

pub use access::{AccessKey, AccessKeySource};
pub use store::{BlobError, BlobKey, BlobMeta, BlobStore, BlobWriter, ByteStream, PutOutcome};
pub use workspace::{ResultError, Workspace};
