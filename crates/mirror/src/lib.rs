//! Mirrors and what changes them: the format, and the two computations that make each other undone.
//!
//! A mirror is a tree of files. Large ones are *lines files*: canonical lines sorted by key, in independent zstd frames, each with an
//! [`index`] that says which keys a frame holds. A delta carries of a lines file only the lines that differ ([`difference`] finds them)
//! and the keys that are gone; [`rebuild`] merges them into the base's file to exactly the bytes that a full export has. Both sides pass over frames
//! that base and new file share, so their work is that of the change, not that of the mirror.
//!
//! The crate is synchronous and opens no files: callers hand in frames and sinks. All input is taken for hostile.

pub mod delta;
pub mod difference;
mod document;
pub mod documents;
mod error;
pub mod index;
pub mod layout;
pub mod lines;
pub mod merge;
pub mod rebuild;
pub mod tombstones;

pub use delta::DeltaManifest;
pub use document::MAX_BYTES as MAX_DOCUMENT_BYTES;
pub use documents::{DocumentEntry, DocumentIndex};
pub use error::MirrorError;
pub use index::{FileIndex, FrameEntry};
pub use lines::{FrameLines, LineForm, LineSource, StreamLines};
pub use tombstones::{Tombstone, TombstoneLines};
