//! Counting and hashing of what passes through.

use std::fmt;
use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256};

/// A SHA-256 digest (FIPS 180-4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256Digest([u8; 32]);

impl Sha256Digest {
    /// The 64 lower-case hex digits.
    pub fn hex(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = String::with_capacity(64);
        for byte in self.0 {
            hex.push(char::from(DIGITS[usize::from(byte >> 4)]));
            hex.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        hex
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Sha256Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// Prints `sha256:` and the hex digits, the form of OCI descriptors.
impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The digest of a byte string.
pub fn sha256(bytes: &[u8]) -> Sha256Digest {
    Sha256Digest(Sha256::digest(bytes).into())
}

/// How much went through, and its digest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Digested {
    /// SHA-256 over all of it.
    pub sha256: Sha256Digest,
    /// Its length.
    pub bytes: u64,
}

/// Counts and hashes slices; for callers that write by other means (an async sink, say).
#[derive(Clone, Default)]
pub struct Digester {
    hasher: Sha256,
    bytes: u64,
}

impl Digester {
    /// Starts with nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// Bytes taken so far.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Count and digest of all bytes taken.
    pub fn finish(self) -> Digested {
        Digested { sha256: Sha256Digest(self.hasher.finalize().into()), bytes: self.bytes }
    }
}

impl fmt::Debug for Digester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Digester").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// Counts and hashes what is written through it. Only bytes that the inner writer took are counted.
#[derive(Debug)]
pub struct DigestingWriter<W> {
    inner: W,
    digester: Digester,
}

impl<W: Write> DigestingWriter<W> {
    /// Wraps a writer.
    pub fn new(inner: W) -> Self {
        Self { inner, digester: Digester::new() }
    }

    /// Bytes written so far.
    pub const fn bytes(&self) -> u64 {
        self.digester.bytes()
    }

    /// Gives the writer back (not flushed) with count and digest.
    pub fn finish(self) -> (W, Digested) {
        (self.inner, self.digester.finish())
    }
}

impl<W: Write> Write for DigestingWriter<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let taken = self.inner.write(buf)?;
        self.digester.update(buf.get(..taken).unwrap_or(buf));
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Counts and hashes what is read through it.
#[derive(Debug)]
pub struct DigestingReader<R> {
    inner: R,
    digester: Digester,
}

impl<R: Read> DigestingReader<R> {
    /// Wraps a reader.
    pub fn new(inner: R) -> Self {
        Self { inner, digester: Digester::new() }
    }

    /// Bytes read so far.
    pub const fn bytes(&self) -> u64 {
        self.digester.bytes()
    }

    /// Gives the reader back with count and digest of what was read, which is not all of it unless the end was reached.
    pub fn finish(self) -> (R, Digested) {
        (self.inner, self.digester.finish())
    }
}

impl<R: Read> Read for DigestingReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buf)?;
        self.digester.update(buf.get(..got).unwrap_or(buf));
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // FIPS 180-4 example vectors.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn digest_prints_as_hex_and_as_oci_reference() {
        assert_eq!(sha256(b"abc").hex(), ABC);
        assert_eq!(sha256(b"").to_string(), format!("sha256:{NOTHING}"));
    }

    /// Takes at most two bytes a call, as a socket may.
    struct Slow(Vec<u8>);

    impl Write for Slow {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            let taken = buf.len().min(2);
            self.0.extend_from_slice(&buf[..taken]);
            Ok(taken)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn writer_counts_only_what_the_inner_writer_took() {
        let mut writer = DigestingWriter::new(Slow(Vec::new()));
        assert_eq!(writer.write(b"abc").unwrap(), 2);
        assert_eq!(writer.bytes(), 2);
        writer.write_all(b"c").unwrap();
        let (inner, digested) = writer.finish();
        assert_eq!((inner.0.as_slice(), digested.bytes, digested.sha256.hex().as_str()), (&b"abc"[..], 3, ABC));
    }

    #[test]
    fn reader_hashes_what_was_read() {
        let mut reader = DigestingReader::new(&b"abc"[..]);
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        let (_, digested) = reader.finish();
        assert_eq!((all.as_slice(), digested.bytes, digested.sha256), (&b"abc"[..], 3, sha256(b"abc")));
    }
}
