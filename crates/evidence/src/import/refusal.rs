//! Documents that were not taken, each with its place and the reason.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Why a document was refused; stable words for scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// It does not parse as strict UTF-8 JSON (RFC 8259).
    Malformed,
    /// It is well-formed JSON of no known shape.
    UnknownFormat,
    /// It is of a known format that is no JSON; the reason names what converts it.
    UnsupportedFormat,
    /// A Git LFS pointer stands where the document should be.
    GitLfsPointer,
    /// It is larger or nested deeper than the limits allow.
    TooLarge,
    /// The file or entry cannot be read, decompressed or unpacked.
    Unreadable,
    /// Reading the rest of the file would go past a limit on hostile input.
    LimitReached,
    /// An archive inside an archive; not opened.
    NestedArchive,
    /// Of a peer: its record carries members that conclude instead of observing, see [`crate::aoc`].
    AocViolation,
    /// Of a peer: it holds a value that has no form in JSON, such as binary.
    UnsupportedValue,
    /// Of a peer: it and others supersede each other, so that none is the last.
    BrokenChain,
    /// A policy finding that does not say to which snapshot it belongs.
    NoSnapshot,
}

impl RefusalCode {
    /// The word in the reject file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownFormat => "unknown_format",
            Self::UnsupportedFormat => "unsupported_format",
            Self::GitLfsPointer => "git_lfs_pointer",
            Self::TooLarge => "too_large",
            Self::Unreadable => "unreadable",
            Self::LimitReached => "limit_reached",
            Self::NestedArchive => "nested_archive",
            Self::AocViolation => "aoc_violation",
            Self::UnsupportedValue => "unsupported_value",
            Self::BrokenChain => "broken_chain",
            Self::NoSnapshot => "no_snapshot",
        }
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a document stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    /// The file, as found from the path given.
    pub path: String,
    /// The entry, where the file is an archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// The line from 1, where the file holds one document a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The upstream path that the pack gives for the document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_path: Option<String>,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        if let Some(entry) = &self.entry {
            write!(f, " entry {entry}")?;
        }
        if let Some(line) = self.line {
            write!(f, " line {line}")?;
        }
        Ok(())
    }
}

/// A refused document: one line of the reject file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Where it stands.
    #[serde(flatten)]
    pub position: Position,
    /// Why, for scripts.
    pub code: RefusalCode,
    /// Why, for people.
    pub reason: String,
    /// The source it would have counted for.
    pub source: String,
}

/// The reject file: one refusal a line, in reading order. Written from the start, so that an import without
/// refusals leaves an empty file and not that of the last one.
#[derive(Debug)]
pub(crate) struct RejectFile {
    out: Option<BufWriter<File>>,
}

impl RejectFile {
    pub(crate) fn create(path: Option<&Path>) -> io::Result<Self> {
        let out = path.map(File::create).transpose()?.map(BufWriter::new);
        Ok(Self { out })
    }

    pub(crate) fn write(&mut self, refusal: &Refusal) -> io::Result<()> {
        let Some(out) = &mut self.out else {
            return Ok(());
        };
        serde_json::to_writer(&mut *out, refusal)?;
        out.write_all(b"\n")
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.out.as_mut().map_or(Ok(()), BufWriter::flush)
    }
}
