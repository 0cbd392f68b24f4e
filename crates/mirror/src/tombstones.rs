//! What a delta takes away: the lines of `data/tombstones.jsonl.zst`.

use std::io::{BufRead, Read as _};

use export_contract::RecordKey;
use export_contract::manifest::TOMBSTONES_PATH;
use serde::{Deserialize, Serialize};

use crate::error::MirrorError;
use crate::lines::LineSource;

/// Longest tombstone: three parts of a key, of which each byte may need six to be written.
const MAX_LINE: u64 = 1 << 20;

/// Something that is gone, so that nobody keeps it by mistake. Sorted by file, then key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tombstone {
    /// The lines file that the record was in, or the file itself that is gone.
    pub file: String,
    /// The record. Of a file that holds no single record, its three parts are empty.
    pub key: RecordKey,
}

/// The keys that are gone from one lines file.
#[derive(Debug)]
pub struct TombstoneLines<R> {
    file: String,
    reader: R,
    last: Option<Tombstone>,
    /// The source stands behind the file's last key.
    ended: bool,
}

impl<R: BufRead> TombstoneLines<R> {
    /// Stands at the first key of `file` in `reader`, the plain text of all tombstones.
    ///
    /// # Errors
    /// When a line is no tombstone, or lines do not rise.
    pub fn new(file: &str, reader: R) -> Result<Self, MirrorError> {
        let mut lines = Self { file: file.to_owned(), reader, last: None, ended: false };
        lines.advance()?;
        Ok(lines)
    }

    fn next_line(&mut self) -> Result<Option<Tombstone>, MirrorError> {
        let mut line = Vec::new();
        let read = (&mut self.reader).take(MAX_LINE).read_until(b'\n', &mut line);
        read.map_err(|cause| MirrorError::Io { act: "read", path: TOMBSTONES_PATH.to_owned(), cause })?;
        if line.is_empty() {
            return Ok(None);
        }
        let tombstone = serde_json::from_slice(&line)
            .map_err(|cause| MirrorError::Document { path: TOMBSTONES_PATH.to_owned(), cause })?;
        Ok(Some(tombstone))
    }
}

impl<R: BufRead> LineSource for TombstoneLines<R> {
    fn key(&self) -> Option<&RecordKey> {
        if self.ended { None } else { self.last.as_ref().map(|tombstone| &tombstone.key) }
    }

    /// Tombstones are keys and nothing else.
    fn text(&self) -> &[u8] {
        &[]
    }

    fn advance(&mut self) -> Result<(), MirrorError> {
        while !self.ended {
            let Some(next) = self.next_line()? else {
                self.ended = true;
                break;
            };
            if self.last.as_ref().is_some_and(|last| *last >= next) {
                return Err(MirrorError::rule(TOMBSTONES_PATH, "its lines do not rise"));
            }
            let found = next.file.cmp(&self.file);
            self.last = Some(next);
            match found {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => break,
                std::cmp::Ordering::Greater => self.ended = true,
            }
        }
        Ok(())
    }
}
