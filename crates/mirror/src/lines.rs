//! Lines with keys, as they are read one by one from frames or from a stream.

use std::borrow::Cow;
use std::io::{BufRead, Read};

use export_canon::digesting::sha256;
use export_canon::zst::FrameDecoder;
use export_contract::{Digest, RecordKey};
use memchr::memchr;
use serde::{Deserialize, Serialize};

use crate::error::MirrorError;
use crate::index::FrameEntry;

/// Longest line that is read: the longest document that an import takes, and its envelope.
pub const MAX_LINE: usize = 272 << 20;

/// What the lines of a file are, and so where their keys stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LineForm {
    /// Records of evidence: subject, document id, source.
    Evidence,
    /// Policy findings: subject, advisory, finding id.
    Finding,
}

#[derive(Deserialize)]
struct EvidenceKey<'a> {
    #[serde(borrow)]
    subject: Cow<'a, str>,
    #[serde(borrow)]
    document_id: Cow<'a, str>,
    #[serde(borrow)]
    source: Cow<'a, str>,
}

#[derive(Deserialize)]
struct FindingKey<'a> {
    #[serde(borrow)]
    subject: Cow<'a, str>,
    /// This and the next are absent where the engine gives none.
    #[serde(borrow, default)]
    advisory: Cow<'a, str>,
    #[serde(borrow, default)]
    finding_id: Cow<'a, str>,
}

impl LineForm {
    /// The key of a line. The three parts of a finding's key stand in the places of a record's.
    fn key(self, line: &[u8]) -> Result<RecordKey, serde_json::Error> {
        let [subject, document_id, source] = match self {
            Self::Evidence => {
                let EvidenceKey { subject, document_id, source } = serde_json::from_slice(line)?;
                [subject, document_id, source]
            }
            Self::Finding => {
                let FindingKey { subject, advisory, finding_id } = serde_json::from_slice(line)?;
                [subject, advisory, finding_id]
            }
        };
        let [subject, document_id, source] = [subject, document_id, source].map(Cow::into_owned);
        Ok(RecordKey { subject, document_id, source })
    }
}

/// Lines in rising order of their keys. A source stands at a line, or behind the last one.
pub trait LineSource {
    /// Key of the line that the source stands at.
    fn key(&self) -> Option<&RecordKey>;

    /// That line, its line feed included; empty behind the last one.
    fn text(&self) -> &[u8];

    /// Goes to the next line.
    ///
    /// # Errors
    /// When there is something that is no line, or its key does not rise.
    fn advance(&mut self) -> Result<(), MirrorError>;
}

/// Where a source stands, and that its keys rise.
#[derive(Debug)]
struct Place {
    path: String,
    form: LineForm,
    number: u64,
    key: Option<RecordKey>,
}

impl Place {
    fn take(&mut self, line: &[u8]) -> Result<(), MirrorError> {
        self.number += 1;
        let number = self.number;
        let key = self.form.key(line).map_err(|cause| MirrorError::Line { path: self.path.clone(), number, cause })?;
        if self.key.as_ref().is_some_and(|before| *before >= key) {
            return Err(MirrorError::Order { path: self.path.clone(), number });
        }
        self.key = Some(key);
        Ok(())
    }
}

/// The lines of chosen frames of a file. One frame is held at a time.
pub struct FrameLines<F> {
    place: Place,
    frames: std::vec::IntoIter<FrameEntry>,
    fetch: F,
    decoder: FrameDecoder,
    plain: Vec<u8>,
    line: std::ops::Range<usize>,
    /// Lines of the open frame that are still to come.
    left: u64,
    ended: bool,
}

impl<F: FnMut(&FrameEntry) -> Result<Vec<u8>, MirrorError>> FrameLines<F> {
    /// Stands at the first line of `frames`, which are frames of `path` in rising order; `fetch` gives the compressed bytes of one.
    ///
    /// # Errors
    /// When the first line cannot be had.
    pub fn new(path: &str, form: LineForm, frames: Vec<FrameEntry>, fetch: F) -> Result<Self, MirrorError> {
        let decoder = FrameDecoder::new().map_err(|cause| MirrorError::Zstd { path: path.to_owned(), cause })?;
        let place = Place { path: path.to_owned(), form, number: 0, key: None };
        let frames = frames.into_iter();
        let mut lines = Self { place, frames, fetch, decoder, plain: Vec::new(), line: 0..0, left: 0, ended: false };
        lines.advance()?;
        Ok(lines)
    }

    fn open(&mut self, frame: &FrameEntry) -> Result<(), MirrorError> {
        let path = || self.place.path.clone();
        let compressed = (self.fetch)(frame)?;
        check_frame(&self.place.path, frame, &compressed)?;
        self.plain.clear();
        // A document of many megabytes must not stay resident behind its frame.
        self.plain.shrink_to(16 << 20);
        let plain = usize::try_from(frame.plain).unwrap_or(usize::MAX);
        let found = self
            .decoder
            .decode_into(&compressed, plain, &mut self.plain)
            .map_err(|cause| MirrorError::Zstd { path: path(), cause })?;
        if found != plain {
            return Err(MirrorError::Frame { path: path(), offset: frame.offset });
        }
        self.line = 0..0;
        self.left = frame.records;
        Ok(())
    }
}

impl<F: FnMut(&FrameEntry) -> Result<Vec<u8>, MirrorError>> LineSource for FrameLines<F> {
    fn key(&self) -> Option<&RecordKey> {
        if self.ended { None } else { self.place.key.as_ref() }
    }

    fn text(&self) -> &[u8] {
        if self.ended { &[] } else { self.plain.get(self.line.clone()).unwrap_or_default() }
    }

    fn advance(&mut self) -> Result<(), MirrorError> {
        let wrong_count = |path: &str| MirrorError::rule(path, "a frame does not have as many lines as its index says");
        while self.left == 0 {
            if self.line.end != self.plain.len() {
                return Err(wrong_count(&self.place.path));
            }
            let Some(frame) = self.frames.next() else {
                self.ended = true;
                return Ok(());
            };
            self.open(&frame)?;
        }
        let rest = self.plain.get(self.line.end..).unwrap_or_default();
        let end = memchr(b'\n', rest).ok_or_else(|| wrong_count(&self.place.path))?;
        self.line = self.line.end..self.line.end + end + 1;
        self.left -= 1;
        let line = self.plain.get(self.line.clone()).unwrap_or_default();
        self.place.take(line)
    }
}

/// Whether these are the bytes that an index names.
pub(crate) fn check_frame(path: &str, frame: &FrameEntry, compressed: &[u8]) -> Result<(), MirrorError> {
    let digest = Digest::from_bytes(*sha256(compressed).as_bytes());
    if compressed.len() as u64 == frame.bytes && digest == frame.digest {
        return Ok(());
    }
    Err(MirrorError::Frame { path: path.to_owned(), offset: frame.offset })
}

/// The lines of a text that passes by.
pub struct StreamLines<R> {
    place: Place,
    reader: R,
    line: Vec<u8>,
}

impl<R: BufRead> StreamLines<R> {
    /// Stands at the first line of `reader`, which is the plain text of `path`.
    ///
    /// # Errors
    /// When the first line cannot be had.
    pub fn new(path: &str, form: LineForm, reader: R) -> Result<Self, MirrorError> {
        let place = Place { path: path.to_owned(), form, number: 0, key: None };
        let mut lines = Self { place, reader, line: Vec::new() };
        lines.advance()?;
        Ok(lines)
    }
}

impl<R: BufRead> LineSource for StreamLines<R> {
    fn key(&self) -> Option<&RecordKey> {
        if self.line.is_empty() { None } else { self.place.key.as_ref() }
    }

    fn text(&self) -> &[u8] {
        &self.line
    }

    fn advance(&mut self) -> Result<(), MirrorError> {
        self.line.clear();
        self.line.shrink_to(1 << 20);
        let mut limited = (&mut self.reader).take(MAX_LINE as u64 + 1);
        limited.read_until(b'\n', &mut self.line).map_err(|cause| MirrorError::Io {
            act: "read",
            path: self.place.path.clone(),
            cause,
        })?;
        if self.line.is_empty() {
            return Ok(());
        }
        if self.line.len() > MAX_LINE || self.line.last() != Some(&b'\n') {
            return Err(MirrorError::rule(&self.place.path, "a line is too long, or the last one has no end"));
        }
        self.place.take(&self.line)
    }
}

/// No lines at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLines;

impl LineSource for NoLines {
    fn key(&self) -> Option<&RecordKey> {
        None
    }

    fn text(&self) -> &[u8] {
        &[]
    }

    fn advance(&mut self) -> Result<(), MirrorError> {
        Ok(())
    }
}

impl<F> std::fmt::Debug for FrameLines<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrameLines").field("place", &self.place).finish_non_exhaustive()
    }
}

impl<R> std::fmt::Debug for StreamLines<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamLines").field("place", &self.place).finish_non_exhaustive()
    }
}
