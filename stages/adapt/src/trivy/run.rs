//! Sorted runs: rows in zstd frames, each of whole rows, a row being two lengths, the key and the value.

use export_canon::zst::{FrameDecoder, FrameEncoder};
use export_contract::message::Frame;
use export_trivy::{Key, Row};

use super::error::TrivyError;

/// Plain bytes at which a frame closes. Of every run that is merged, one frame is in memory.
const FRAME_BYTES: usize = 128 << 10;
/// Fast, as what is staged is read once and thrown away.
const LEVEL: i32 = 1;
/// Longest frame that is read: one row may be as long as a document allows.
const MAX_FRAME: usize = 512 << 20;

/// A row with its key as bytes, which sort as keys do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Encoded {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

impl From<Row> for Encoded {
    fn from(row: Row) -> Self {
        Self { key: row.key.encode(), value: row.value }
    }
}

impl Encoded {
    pub(crate) fn len(&self) -> usize {
        8 + self.key.len() + self.value.len()
    }

    pub(crate) fn decode(self) -> Result<Row, TrivyError> {
        Ok(Row { key: Key::decode(&self.key)?, value: self.value })
    }
}

/// Writes rows as frames.
pub(crate) struct FrameWriter {
    encoder: FrameEncoder,
    plain: Vec<u8>,
    rows: u32,
}

impl FrameWriter {
    pub(crate) fn new() -> Result<Self, TrivyError> {
        let encoder = FrameEncoder::new(LEVEL).map_err(|cause| TrivyError::Frame { act: "write", cause })?;
        Ok(Self { encoder, plain: Vec::with_capacity(2 * FRAME_BYTES), rows: 0 })
    }

    /// Takes a row, and gives a frame once that is full.
    pub(crate) fn push(&mut self, row: &Encoded) -> Result<Option<(Vec<u8>, Frame)>, TrivyError> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).map(u32::to_le_bytes).map_err(|_| TrivyError::Cut);
        self.plain.extend(length(&row.key)?);
        self.plain.extend(length(&row.value)?);
        self.plain.extend(&row.key);
        self.plain.extend(&row.value);
        self.rows += 1;
        if self.plain.len() < FRAME_BYTES { Ok(None) } else { self.close() }
    }

    /// Gives what is left.
    pub(crate) fn close(&mut self) -> Result<Option<(Vec<u8>, Frame)>, TrivyError> {
        if self.plain.is_empty() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let info = self.encoder.encode(&self.plain, &mut bytes);
        let info = info.map_err(|cause| TrivyError::Frame { act: "write", cause })?;
        let frame = Frame { bytes: info.compressed, plain: info.plain, records: std::mem::take(&mut self.rows) };
        self.plain.clear();
        self.plain.shrink_to(8 * FRAME_BYTES);
        Ok(Some((bytes, frame)))
    }
}

/// Rows of one frame.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    plain: Vec<u8>,
    at: usize,
}

impl Rows {
    /// Reads a frame in the place of the one before.
    pub(crate) fn load(&mut self, decoder: &mut FrameDecoder, frame: &[u8]) -> Result<(), TrivyError> {
        self.plain.clear();
        self.at = 0;
        let read = decoder.decode_into(frame, MAX_FRAME, &mut self.plain);
        read.map(drop).map_err(|cause| TrivyError::Frame { act: "read", cause })
    }

    pub(crate) fn next(&mut self) -> Result<Option<Encoded>, TrivyError> {
        if self.at == self.plain.len() {
            return Ok(None);
        }
        let key = self.length()?;
        let value = self.length()?;
        Ok(Some(Encoded { key: self.take(key)?.to_vec(), value: self.take(value)?.to_vec() }))
    }

    fn length(&mut self) -> Result<usize, TrivyError> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes(bytes.try_into().map_err(|_| TrivyError::Cut)?) as usize)
    }

    fn take(&mut self, length: usize) -> Result<&[u8], TrivyError> {
        let end = self.at.checked_add(length).ok_or(TrivyError::Cut)?;
        let taken = self.plain.get(self.at..end).ok_or(TrivyError::Cut)?;
        self.at = end;
        Ok(taken)
    }
}
