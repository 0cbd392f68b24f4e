//! Cuts a row of keys into parts: one rule for all drivers.

use export_canon::digesting::Digester;
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
    /// Where else a part closes.
    pub cut: Cut,
}

/// Where parts begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Where the part before is full.
    Full,
    /// Before each record whose key's digest is divisible by [`PartSize::records`], which then is the mean; a part holds at most
    /// [`LONGEST`] times as many. A record that comes or goes moves the bounds around it and no others, so that bundles made from ledgers that
    /// differ little differ little, too.
    Key,
}

/// How many times as many records as the mean a part holds that is cut by keys.
pub const LONGEST: u32 = 4;

impl PartSize {
    /// Parts of so many records, however long.
    pub const fn records(records: u32) -> Self {
        Self { records, bytes: u64::MAX, cut: Cut::Full }
    }

    fn most(&self) -> u64 {
        match self.cut {
            Cut::Full => u64::from(self.records),
            Cut::Key => u64::from(self.records) * u64::from(LONGEST),
        }
    }

    /// Whether a part begins with this record, whatever is before it.
    fn begins(&self, key: &RecordKey) -> bool {
        match self.cut {
            Cut::Full => false,
            Cut::Key => digest(key).is_multiple_of(u64::from(self.records.max(1))),
        }
    }
}

/// The first eight bytes of the SHA-256 of a key, whose three parts end in a zero byte each.
fn digest(key: &RecordKey) -> u64 {
    let mut digester = Digester::new();
    for text in [&key.subject, &key.document_id, &key.source] {
        digester.update(text.as_bytes());
        digester.update(&[0]);
    }
    let digest = digester.finish().sha256;
    digest.as_bytes().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// Takes keys in order. Two keys a part are held, however many there are.
#[derive(Debug)]
pub(crate) struct Cutter {
    size: PartSize,
    kind: RecordKind,
    first_index: u32,
    parts: Vec<Part>,
    bytes: u64,
    /// The key of the record at hand; its texts are used again for the next one.
    key: RecordKey,
}

impl Cutter {
    pub(crate) fn new(size: PartSize, kind: RecordKind, first_index: u32) -> Self {
        let key = RecordKey { subject: String::new(), document_id: String::new(), source: String::new() };
        Self { size, kind, first_index, parts: Vec::new(), bytes: 0, key }
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
        write(&mut self.key)?;
        match self.parts.last_mut() {
            Some(part)
                if part.records < self.size.most() && self.bytes < self.size.bytes && !self.size.begins(&self.key) =>
            {
                part.records += 1;
                self.bytes += plain_bytes;
                std::mem::swap(&mut part.last, &mut self.key);
            }
            _ => {
                let index = PartIndex(self.first_index + u32::try_from(self.parts.len()).unwrap_or(u32::MAX));
                let (first, last) = (self.key.clone(), self.key.clone());
                self.parts.push(Part { index, tenant: None, kind: self.kind, first, last, records: 1 });
                self.bytes = plain_bytes;
            }
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Vec<Part> {
        self.parts
    }
}
