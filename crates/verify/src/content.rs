//! One file of the bundle: its digest, its length and, where it is compressed, what is inside.

use std::io::{self, Read};

use export_canon::digesting::Digester;
use export_canon::zst::BoundedDecoder;
use export_contract::Digest;
use export_contract::manifest::ManifestContent;

use crate::container::BUNDLE;
use crate::error::{Problem, VerifyError, shown};
use crate::frames::FrameWalker;
use crate::policy::Policy;

/// Bytes read at a time.
const PIECE: usize = 256 << 10;

/// What is known of a file's records.
pub(crate) enum Counted {
    /// So many, as the manifest says.
    Records(u64),
    /// It has some, but not as lines.
    Unknown,
    /// It holds no records.
    NoRecords,
}

/// Checks a body of `size` bytes against its line in the manifest.
pub(crate) fn check(
    content: &ManifestContent,
    size: u64,
    body: &mut impl Read,
    policy: &Policy,
) -> Result<Counted, VerifyError> {
    let path = content.path.as_str();
    let Some(plain) = content.plain_bytes.filter(|_| has_extension(path, ".zst")) else {
        check_bytes(path, &content.digest, content.bytes, size, body)?;
        return Ok(if content.records.is_some() { Counted::Unknown } else { Counted::NoRecords });
    };
    check_size(path, content.bytes, size)?;
    if policy.max_plain_bytes.is_some_and(|most| plain > most) {
        return Err(VerifyError::rule(path, "it decompresses to more than the policy allows"));
    }
    let mut body = Watched::new(body, content.frames);
    let read = read_plain(&mut body, plain);
    // Damage shows as a wrong digest first of all: whoever reads the message should not suspect the exporter of a bad frame.
    let digest = body.finish().map_err(|cause| VerifyError::of_read(BUNDLE.as_ref(), cause))?;
    check_digest(path, &content.digest, &digest)?;
    let lines = read.map_err(|cause| of_decoder(path, cause))?;
    body.frames.finish().map_err(|problem| VerifyError::rule(path, problem))?;

    expect(path, "plain bytes", plain, lines.bytes)?;
    if let Some(frames) = content.frames {
        expect(path, "frames", frames, body.frames.frames())?;
        if frames > 1 && !body.frames.has_table() {
            return Err(VerifyError::rule(path, "it has many frames but no seek table"));
        }
    }
    let Some(records) = content.records else { return Ok(Counted::NoRecords) };
    if !has_extension(path, ".jsonl.zst") {
        return Ok(Counted::Unknown);
    }
    expect(path, "records", records, lines.count)?;
    if lines.open {
        return Err(VerifyError::rule(path, "its last line has no end"));
    }
    if lines.blank {
        return Err(VerifyError::rule(path, "it has a blank line"));
    }
    Ok(Counted::Records(records))
}

/// Checks a body against digest and length alone.
pub(crate) fn check_bytes(
    path: &str,
    digest: &Digest,
    bytes: u64,
    size: u64,
    body: &mut impl Read,
) -> Result<(), VerifyError> {
    check_size(path, bytes, size)?;
    let mut body = Watched::new(body, None);
    let found = body.finish().map_err(|cause| VerifyError::of_read(BUNDLE.as_ref(), cause))?;
    check_digest(path, digest, &found)
}

fn check_size(path: &str, expected: u64, found: u64) -> Result<(), VerifyError> {
    if expected == found {
        return Ok(());
    }
    let bytes = |count| format!("{count} bytes long");
    Err(VerifyError::DigestMismatch { what: shown(path), expected: bytes(expected), found: bytes(found) })
}

fn check_digest(path: &str, expected: &Digest, found: &Digest) -> Result<(), VerifyError> {
    if expected == found {
        return Ok(());
    }
    Err(VerifyError::DigestMismatch { what: shown(path), expected: expected.to_string(), found: found.to_string() })
}

fn expect(path: &str, counted: &'static str, expected: u64, found: u64) -> Result<(), VerifyError> {
    if expected == found {
        return Ok(());
    }
    Err(VerifyError::CountMismatch { what: shown(path), counted, expected, found })
}

fn has_extension(path: &str, extension: &str) -> bool {
    path.strip_suffix(extension).is_some_and(|stem| !stem.is_empty())
}

/// The bytes are those that were signed, and yet they do not decompress.
fn of_decoder(path: &str, cause: io::Error) -> VerifyError {
    VerifyError::malformed(path, Problem::Compressed(cause))
}

/// Lines of a text that is not kept.
struct Lines {
    bytes: u64,
    count: u64,
    /// The text does not end with a line feed.
    open: bool,
    /// A line is empty.
    blank: bool,
}

fn read_plain(body: &mut impl Read, limit: u64) -> io::Result<Lines> {
    let mut decoder = BoundedDecoder::new(body, limit).map_err(io::Error::other)?;
    let mut lines = Lines { bytes: 0, count: 0, open: false, blank: false };
    let mut piece = vec![0; PIECE];
    let mut last = b'\n';
    loop {
        let got = match decoder.read(&mut piece) {
            Ok(0) => break,
            Ok(got) => got,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
            Err(cause) => return Err(cause),
        };
        let text = piece.get(..got).unwrap_or_default();
        lines.bytes += got as u64;
        lines.count += memchr::memchr_iter(b'\n', text).count() as u64;
        lines.blank |= last == b'\n' && text.first() == Some(&b'\n') || memchr::memmem::find(text, b"\n\n").is_some();
        last = text.last().copied().unwrap_or(last);
    }
    lines.open = last != b'\n';
    Ok(lines)
}

/// Hashes a body and follows its frames while somebody else reads it.
struct Watched<R> {
    inner: R,
    digester: Digester,
    frames: FrameWalker,
}

impl<R: Read> Watched<R> {
    fn new(inner: R, frames: Option<u64>) -> Self {
        let frames = frames.map_or_else(FrameWalker::idle, FrameWalker::expecting);
        Self { inner, digester: Digester::new(), frames }
    }

    /// Reads what is left and gives the digest of all of it.
    fn finish(&mut self) -> io::Result<Digest> {
        let mut piece = vec![0; PIECE];
        loop {
            match self.read(&mut piece) {
                Ok(0) => break,
                Ok(_) => {}
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
            }
        }
        Ok(Digest::from_bytes(*std::mem::take(&mut self.digester).finish().sha256.as_bytes()))
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buffer)?;
        let piece = buffer.get(..got).unwrap_or_default();
        self.digester.update(piece);
        self.frames.push(piece);
        Ok(got)
    }
}
