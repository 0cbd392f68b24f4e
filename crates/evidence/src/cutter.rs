//! Cuts a row of keys into parts: one rule for all drivers.

use export_contract::message::Part;
use export_contract::{PartIndex, RecordKey, RecordKind};

/// When a part is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartSize {
    /// Most records of a part, at least 1.
    pub records: u32,
    /// Bytes of plain lines at which a part closes, at the end of a record: parts of a few large documents then take as long as
    /// parts of many small ones, and workers share them evenly.
    pub bytes: u64,
}

impl PartSize {
    /// Parts of so many records, however long.
    pub const fn records(records: u32) -> Self {
        Self { records, bytes: u64::MAX }
    }
}

/// Takes keys in order. Two keys a part are held, however many there are.
#[derive(Debug)]
pub(crate) struct Cutter {
    size: PartSize,
    kind: RecordKind,
    first_index: u32,
    parts: Vec<Part>,
    bytes: u64,
}

impl Cutter {
    pub(crate) fn new(size: PartSize, kind: RecordKind, first_index: u32) -> Self {
        Self { size, kind, first_index, parts: Vec::new(), bytes: 0 }
    }

    pub(crate) fn kind(&self) -> RecordKind {
        self.kind
    }

    /// Takes the next record, whose key `write` puts in the place of another.
    pub(crate) fn take<E>(
        &mut self,
        plain_bytes: u64,
        write: impl FnOnce(&mut RecordKey) -> Result<(), E>,
    ) -> Result<(), E> {
        match self.parts.last_mut() {
            Some(part) if part.records < u64::from(self.size.records) && self.bytes < self.size.bytes => {
                part.records += 1;
                self.bytes += plain_bytes;
                write(&mut part.last)
            }
            _ => {
                let mut key = RecordKey { subject: String::new(), document_id: String::new(), source: String::new() };
                write(&mut key)?;
                let index = PartIndex(self.first_index + u32::try_from(self.parts.len()).unwrap_or(u32::MAX));
                self.parts.push(Part { index, kind: self.kind, last: key.clone(), first: key, records: 1 });
                self.bytes = plain_bytes;
                Ok(())
            }
        }
    }

    pub(crate) fn finish(self) -> Vec<Part> {
        self.parts
    }
}
