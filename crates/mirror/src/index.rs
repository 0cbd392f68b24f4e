//! The index of a lines file: which frame holds which keys, so that one record is read by reading one frame.

use std::io::Read;

use export_contract::{Digest, RecordKey};
use serde::{Deserialize, Serialize};

use crate::document::{self, Document};
use crate::error::MirrorError;
use crate::lines::LineForm;

/// The value of [`FileIndex::schema`].
pub const SCHEMA: &str = "urn:export-center:index";
/// The value of [`FileIndex::version`] that this build writes; readers take any `1.x`.
pub const VERSION: &str = "1.0";
/// An index. Written as RFC 8785 canonical JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileIndex {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// `major.minor`.
    pub version: String,
    /// The file, by its path in the mirror.
    pub path: String,
    /// What its lines are.
    pub form: LineForm,
    /// Lines in the file.
    pub records: u64,
    /// Its frames, in order; the seek table is not one.
    pub frames: Vec<FrameEntry>,
}

/// One frame of a lines file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FrameEntry {
    /// Where it begins in the file.
    pub offset: u64,
    /// Bytes compressed.
    pub bytes: u64,
    /// Bytes plain.
    pub plain: u64,
    /// Lines inside.
    pub records: u64,
    /// Key of its first line.
    pub first: RecordKey,
    /// Digest of its compressed bytes.
    pub digest: Digest,
}

impl Document for FileIndex {
    const SCHEMA: &'static str = SCHEMA;

    fn says(&self) -> (&str, &str) {
        (&self.schema, &self.version)
    }
}

impl FileIndex {
    /// An index of `frames`, whose offsets are counted here.
    pub fn new(path: String, form: LineForm, mut frames: Vec<FrameEntry>) -> Self {
        let mut offset = 0;
        for frame in &mut frames {
            frame.offset = offset;
            offset += frame.bytes;
        }
        let records = frames.iter().map(|frame| frame.records).sum();
        Self { schema: SCHEMA.to_owned(), version: VERSION.to_owned(), path, form, records, frames }
    }

    /// Reads an index of the file `path`; `name` is what the index itself is called.
    ///
    /// # Errors
    /// When it is none, of a later major version, of another file, or at odds with itself.
    pub fn read(name: &str, text: impl Read, path: &str) -> Result<Self, MirrorError> {
        let index: Self = document::read(name, text)?;
        index.check(name, path)?;
        Ok(index)
    }

    fn check(&self, name: &str, path: &str) -> Result<(), MirrorError> {
        if self.path != path {
            return Err(MirrorError::rule(name, "it is the index of another file"));
        }
        let (mut offset, mut records) = (0_u64, 0_u64);
        for frame in &self.frames {
            if frame.offset != offset || frame.bytes == 0 || frame.records == 0 {
                return Err(MirrorError::rule(name, "its frames do not follow one another"));
            }
            let sums = offset.checked_add(frame.bytes).zip(records.checked_add(frame.records));
            (offset, records) = sums.ok_or_else(|| MirrorError::rule(name, "its frames are too large"))?;
        }
        if records != self.records {
            return Err(MirrorError::rule(name, "its frames do not add up to its records"));
        }
        if !self.frames.is_sorted_by(|before, after| before.first < after.first) {
            return Err(MirrorError::rule(name, "its keys do not rise"));
        }
        Ok(())
    }

    /// The frames that may hold lines of `subject`: most often one.
    pub fn frames_of<'a>(&'a self, subject: &'a str) -> impl Iterator<Item = &'a FrameEntry> {
        // The last frame that begins before the subject's first line may end behind it.
        let begin = self.frames.partition_point(|frame| frame.first.subject.as_str() < subject).saturating_sub(1);
        let end = self.frames.partition_point(|frame| frame.first.subject.as_str() <= subject);
        self.frames.get(begin..end).unwrap_or_default().iter()
    }
}

#[cfg(test)]
mod tests {
    use super::{FileIndex, FrameEntry};
    use crate::lines::LineForm;
    use export_contract::{Digest, RecordKey};

    fn frame(subject: &str) -> FrameEntry {
        let first = RecordKey { subject: subject.into(), document_id: String::new(), source: String::new() };
        FrameEntry { offset: 0, bytes: 10, plain: 20, records: 2, first, digest: Digest::from_bytes([0; 32]) }
    }

    fn index() -> FileIndex {
        FileIndex::new("f".into(), LineForm::Evidence, ["b", "d", "f"].map(frame).into())
    }

    fn found(subject: &str) -> Vec<u64> {
        index().frames_of(subject).map(|frame| frame.offset).collect()
    }

    #[test]
    fn a_subject_is_looked_for_where_it_may_be_and_nowhere_else() {
        assert_eq!(found("a"), [0; 0]);
        assert_eq!(found("b"), [0]);
        assert_eq!(found("c"), [0]);
        // Lines of `d` may begin in the frame before the one that begins with it.
        assert_eq!(found("d"), [0, 10]);
        assert_eq!(found("z"), [20]);
    }

    #[test]
    fn an_index_at_odds_with_itself_is_refused() {
        let good = serde_json::to_string(&index()).unwrap();
        assert!(FileIndex::read("i", good.as_bytes(), "f").is_ok());
        for (from, to) in [
            ("\"records\":6", "\"records\":7"),
            ("\"offset\":10", "\"offset\":11"),
            ("\"version\":\"1.0\"", "\"version\":\"2.0\""),
            ("\"path\":\"f\"", "\"path\":\"g\""),
            ("\"subject\":\"b\"", "\"subject\":\"e\""),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good);
            assert!(FileIndex::read("i", bad.as_bytes(), "f").is_err(), "{to}");
        }
    }
}
