//! The bytes of an export: same records in, same bytes out.
//!
//! This crate knows no exports, no broker and no store. It is synchronous and does no I/O of its own: callers hand in readers,
//! writers and slices. Everything that reads treats its input as hostile: sizes, depths and counts are capped, and nothing recurses.
//!
//! - [`json`]: canonical form of a raw document; number literals and string escapes stay as written.
//! - [`jcs`]: RFC 8785 form of our own documents.
//! - [`jsonl`]: one document per line, with a cap on the line.
//! - [`chunk`]: where a file of records is cut into frames.
//! - [`zst`]: independent zstd frames, the seek table, capped decoding, compression on several threads.
//! - [`tar`]: a deterministic archive writer and a strict reader.
//! - [`digesting`]: counting and hashing of what passes through.

pub mod json;

pub mod jcs;

pub mod jsonl;

pub mod chunk;

pub mod zst;

pub mod tar;

pub mod digesting;

mod error;

pub use digesting::Sha256Digest;
pub use error::CanonError;
