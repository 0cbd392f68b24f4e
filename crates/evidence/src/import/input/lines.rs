//! Files with one document a line, and the list of upstream paths beside a pack.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use export_canon::jsonl::{JsonlError, LineReader};
use export_canon::zst::BoundedDecoder;

use super::{FileReader, GivenUp};
use crate::import::ImportLimits;

/// Longest upstream path in bytes; a longer one counts as absent.
const MAX_PATH_BYTES: usize = 4_096;

impl FileReader<'_> {
    /// Reads lines to the end; `entry` names the archive entry they stand in. Blank lines are none. A line
    /// that is too long is refused and the next one read.
    pub(super) fn read_lines(&mut self, reader: impl BufRead, entry: Option<&str>) -> Result<(), GivenUp> {
        let limit = usize::try_from(self.limits.document_bytes).unwrap_or(usize::MAX);
        let mut lines = LineReader::new(reader, limit);
        let mut paths = UpstreamPaths::open(self.file.paths_file.as_deref().filter(|_| entry.is_none()), self.limits);
        loop {
            let mut position = self.position();
            position.entry = entry.map(str::to_owned);
            let line = match lines.next_line() {
                Ok(None) => return Ok(()),
                Ok(Some(line)) => line,
                Err(JsonlError::LineTooLong { line, .. }) => {
                    position.line = Some(line);
                    position.upstream_path = paths.next();
                    self.refuse_too_large(position)?;
                    continue;
                }
                Err(JsonlError::Read { line, cause }) => {
                    position.line = Some(line);
                    return self.refuse_unreadable(position, &cause);
                }
                Err(other) => {
                    return self.refuse_unreadable(position, &std::io::Error::other(other));
                }
            };
            position.line = Some(line.number);
            position.upstream_path = paths.next();
            if line.number > self.limits.entries {
                return self.refuse_limit("more lines than the limit allows");
            }
            if line.bytes.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let path = position.upstream_path.clone().or_else(|| position.entry.clone()).unwrap_or_default();
            let bytes = line.bytes.to_vec();
            self.found(position, path, bytes)?;
        }
    }
}

/// Line `n` of the list names the upstream path of document `n`. A list that ends early, or is absent or
/// unreadable, names nothing: documents are then told apart by their own ids.
struct UpstreamPaths {
    lines: Option<LineReader<Box<dyn BufRead>>>,
}

impl UpstreamPaths {
    fn open(file: Option<&Path>, limits: &ImportLimits) -> Self {
        let open = |path: &Path| -> Option<Box<dyn BufRead>> {
            let file = File::open(path).ok()?;
            if path.extension().is_none_or(|extension| extension != "zst") {
                return Some(Box::new(BufReader::new(file)));
            }
            let bytes = file.metadata().ok()?.len();
            let decoder = BoundedDecoder::new(file, limits.plain_bytes_of(bytes)).ok()?;
            Some(Box::new(BufReader::new(decoder)))
        };
        Self { lines: file.and_then(open).map(|reader| LineReader::new(reader, MAX_PATH_BYTES)) }
    }

    fn next(&mut self) -> Option<String> {
        let path = match self.lines.as_mut()?.next_line() {
            Ok(Some(line)) => std::str::from_utf8(line.bytes).ok().map(|path| path.trim().to_owned()),
            Err(JsonlError::LineTooLong { .. }) => None,
            Ok(None) | Err(_) => {
                self.lines = None;
                None
            }
        };
        path.filter(|path| !path.is_empty())
    }
}
