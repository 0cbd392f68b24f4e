//! Bytes that may be compressed with zstd.

use std::cell::Cell;
use std::io::{self, Cursor, Read};
use std::rc::Rc;

use export_canon::zst::BoundedDecoder;

use crate::error::{Problem, VerifyError, shown};

/// How a zstd frame begins (RFC 8878, section 3.1.1).
const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();
/// Plain bytes allowed before anything is known of what compresses to so little.
const FREE: u64 = 1 << 30;
/// Plain bytes allowed for each compressed byte beyond [`FREE`]. A bundle is mostly compressed already, so its tar hardly shrinks.
const RATIO: u64 = 512;
/// Plain bytes allowed in any case.
const MOST: u64 = 512 << 30;

/// `reader` as it is, or decompressed when it begins as zstd does.
pub(super) fn decoded<'a>(mut reader: impl Read + 'a, what: &str) -> Result<Box<dyn Read + 'a>, VerifyError> {
    let mut start = Vec::new();
    reader
        .by_ref()
        .take(MAGIC.len() as u64)
        .read_to_end(&mut start)
        .map_err(|cause| VerifyError::Read { path: what.into(), cause })?;
    let compressed = start == MAGIC;
    let reader = Cursor::new(start).chain(reader);
    if compressed { Ok(Box::new(Plain::new(reader, what)?)) } else { Ok(Box::new(reader)) }
}

/// Decompresses with bounds that hold before any signature was seen.
struct Plain<R: Read> {
    decoder: BoundedDecoder<Counted<R>>,
    compressed: Rc<Cell<u64>>,
    what: String,
    fault: Option<Fault>,
}

/// What went wrong, kept because a decoder need not say the same twice.
#[derive(Clone, Copy)]
enum Fault {
    Cut,
    Damaged(&'static str),
}

struct Counted<R> {
    inner: R,
    bytes: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buffer)?;
        self.bytes.set(self.bytes.get() + got as u64);
        Ok(got)
    }
}

impl<R: Read> Plain<R> {
    fn new(inner: R, what: &str) -> Result<Self, VerifyError> {
        let compressed = Rc::new(Cell::new(0));
        let decoder = BoundedDecoder::new(Counted { inner, bytes: Rc::clone(&compressed) }, MOST)
            .map_err(|cause| VerifyError::malformed(what, Problem::Compressed(io::Error::other(cause))))?;
        Ok(Self { decoder, compressed, what: shown(what), fault: None })
    }

    fn told(&self, fault: Fault) -> io::Error {
        let within = match fault {
            Fault::Cut => VerifyError::CutOff(self.what.clone()),
            Fault::Damaged(problem) => VerifyError::rule(&self.what, problem),
        };
        within.inside()
    }
}

impl<R: Read> Read for Plain<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(fault) = self.fault {
            return Err(self.told(fault));
        }
        let fault = match self.decoder.read(buffer) {
            Ok(_)
                if BoundedDecoder::bytes(&self.decoder)
                    > FREE.saturating_add(self.compressed.get().saturating_mul(RATIO)) =>
            {
                Fault::Damaged("it decompresses to far more than any bundle does")
            }
            Ok(got) => return Ok(got),
            Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => Fault::Cut,
            // The system's own faults have a number; the decoder's have none.
            Err(cause) if cause.raw_os_error().is_some() || cause.kind() == io::ErrorKind::Interrupted => {
                return Err(cause);
            }
            Err(_) => Fault::Damaged("its compressed data is damaged"),
        };
        self.fault = Some(fault);
        Err(self.told(fault))
    }
}
