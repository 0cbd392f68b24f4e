//! Files of mode `aes-gcm`.
//!
//! ```text
//! file    = head(24) || chunk 0 || chunk 1 || … || last chunk
//! head    = "exsealed" || version(1) = 1 || algorithm(1) = 1 || 0(2) || chunk size(u32be) || prefix(7, random) || 0(1)
//! chunk i = AES-256-GCM(file key, nonce = prefix || i(u32be) || last(1), aad = "{runId}:{relativePath}", plain), tag behind
//! file key = HKDF-SHA256(ikm = run key, salt = head, info = "{runId}:{relativePath}", 32 bytes)
//! ```
//!
//! This is the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár, 2015) with a 32-bit counter. `last` is 1 for the last chunk and
//! else 0; only the last one may be shorter than the chunk size, and it is empty only where the whole file is. So a file that is cut,
//! goes on, or has its chunks in another order is refused, and so is the file of another path, another run or another key. The head is
//! part of every file key, so that no bit of it can be changed either.

use std::io::{self, Read, Write};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, rand};
use zeroize::Zeroizing;

use crate::open::OpenError;
use crate::seal::SealError;
use crate::secret::RunKey;
use crate::{CHUNK, TAG};

/// How each file begins.
pub const MAGIC: [u8; 8] = *b"exsealed";
/// Bytes of the head.
pub const HEAD: usize = 24;
/// Chunk sizes that are read: memory stays bounded whatever a head says.
const CHUNKS: std::ops::RangeInclusive<usize> = 1 << 10..=1 << 20;

/// What stands at the beginning of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Plain bytes of each chunk but the last, 1 KiB to 1 MiB.
    pub chunk: usize,
    /// The random part of every nonce.
    pub prefix: [u8; 7],
}

impl Head {
    fn random() -> Result<Self, SealError> {
        let mut prefix = [0; 7];
        rand::fill(&mut prefix).map_err(|_| SealError::Random)?;
        Ok(Self { chunk: CHUNK, prefix })
    }

    /// The head as it stands in a file.
    pub fn to_bytes(&self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        let size = u32::try_from(self.chunk).unwrap_or_default().to_be_bytes();
        let parts = [&MAGIC[..], &[1, 1, 0, 0], &size, &self.prefix, &[0]];
        for (byte, value) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
            *byte = *value;
        }
        bytes
    }

    /// Reads a head.
    ///
    /// # Errors
    /// When it is none, or of another version.
    pub fn parse(bytes: &[u8; HEAD]) -> Result<Self, OpenError> {
        let [
            m0,
            m1,
            m2,
            m3,
            m4,
            m5,
            m6,
            m7,
            version,
            algorithm,
            z0,
            z1,
            s0,
            s1,
            s2,
            s3,
            p0,
            p1,
            p2,
            p3,
            p4,
            p5,
            p6,
            z2,
        ] = *bytes;
        if [m0, m1, m2, m3, m4, m5, m6, m7] != MAGIC {
            return Err(OpenError::NotSealed("it does not begin with `exsealed`"));
        }
        if (version, algorithm) != (1, 1) {
            return Err(OpenError::NotSealed("it is of another version than this build reads"));
        }
        if [z0, z1, z2] != [0; 3] {
            return Err(OpenError::NotSealed("a reserved byte of its head is not zero"));
        }
        let chunk = usize::try_from(u32::from_be_bytes([s0, s1, s2, s3])).unwrap_or(usize::MAX);
        if !CHUNKS.contains(&chunk) {
            return Err(OpenError::NotSealed("its chunk size is not 1 KiB to 1 MiB"));
        }
        Ok(Self { chunk, prefix: [p0, p1, p2, p3, p4, p5, p6] })
    }
}

/// What a file is bound to.
pub(crate) fn bound(run: &str, path: &str) -> String {
    format!("{run}:{path}")
}

/// The key of one file and the number of its next chunk.
struct Cipher {
    key: LessSafeKey,
    prefix: [u8; 7],
    bound: String,
    next: Option<u32>,
}

impl Cipher {
    /// `None` where the run's key is not one of this mode.
    fn new(key: &RunKey, head: Head, bound: String) -> Option<Self> {
        if key.expose().len() != 32 {
            return None;
        }
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, &head.to_bytes()).extract(key.expose());
        let info = [bound.as_bytes()];
        let file_key = extracted.expand(&info, &AES_256_GCM).ok()?;
        let key = LessSafeKey::new(UnboundKey::from(file_key));
        Some(Self { key, prefix: head.prefix, bound, next: Some(0) })
    }

    /// The nonce of the next chunk; `None` after 2^32 of them or the last.
    fn nonce(&mut self, last: bool) -> Option<Nonce> {
        let number = self.next?;
        self.next = if last { None } else { number.checked_add(1) };
        let [p0, p1, p2, p3, p4, p5, p6] = self.prefix;
        let [n0, n1, n2, n3] = number.to_be_bytes();
        Some(Nonce::assume_unique_for_key([p0, p1, p2, p3, p4, p5, p6, n0, n1, n2, n3, u8::from(last)]))
    }

    fn seal(&mut self, chunk: &mut Vec<u8>, last: bool) -> io::Result<()> {
        let nonce = self.nonce(last).ok_or_else(|| io::Error::other("a file has at most 2^32 chunks"))?;
        let sealed = self.key.seal_in_place_append_tag(nonce, Aad::from(self.bound.as_bytes()), chunk);
        sealed.map_err(|_| io::Error::other("a chunk cannot be encrypted"))
    }

    /// Bytes of the plain chunk, which lies at the beginning of `chunk`.
    fn open(&mut self, chunk: &mut [u8], last: bool) -> Result<usize, OpenError> {
        let nonce = self.nonce(last).ok_or(OpenError::Tampered)?;
        let plain = self.key.open_in_place(nonce, Aad::from(self.bound.as_bytes()), chunk);
        plain.map(|plain| plain.len()).map_err(|_| OpenError::Tampered)
    }
}

/// Encrypts what is written. Nothing is whole before [`Writer::finish`].
pub(crate) struct Writer<W> {
    cipher: Cipher,
    inner: W,
    /// Plain until it is full; the bytes of the last one are wiped.
    chunk: Zeroizing<Vec<u8>>,
}

impl<W: Write> Writer<W> {
    pub(crate) fn new(key: &RunKey, bound: String, mut inner: W) -> Result<Self, SealError> {
        let head = Head::random()?;
        let cipher = Cipher::new(key, head, bound).ok_or(SealError::Key)?;
        inner.write_all(&head.to_bytes()).map_err(SealError::Write)?;
        Ok(Self { cipher, inner, chunk: Zeroizing::new(Vec::with_capacity(CHUNK + TAG)) })
    }

    fn put(&mut self, last: bool) -> io::Result<()> {
        self.cipher.seal(&mut self.chunk, last)?;
        self.inner.write_all(&self.chunk)?;
        self.chunk.clear();
        Ok(())
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.put(true)
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full chunk waits for more to come, because it may be the last.
        if self.chunk.len() == CHUNK && !bytes.is_empty() {
            self.put(false)?;
        }
        let taken = bytes.get(..bytes.len().min(CHUNK - self.chunk.len())).unwrap_or_default();
        self.chunk.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The plain bytes of a file; each chunk is given out after it was found to be unchanged.
pub(crate) struct Reader<R> {
    cipher: Cipher,
    inner: R,
    size: usize,
    /// One encrypted chunk and the byte behind it, which tells whether it is the last.
    sealed: Zeroizing<Vec<u8>>,
    /// That byte, which belongs to the next chunk.
    carried: Option<u8>,
    plain: std::ops::Range<usize>,
    first: bool,
    last: bool,
}

impl<R: Read> Reader<R> {
    pub(crate) fn new(key: &RunKey, bound: String, mut inner: R) -> Result<Self, OpenError> {
        let mut bytes = [0; HEAD];
        if fill(&mut inner, &mut bytes).map_err(OpenError::Read)? < HEAD {
            return Err(OpenError::Cut);
        }
        let head = Head::parse(&bytes)?;
        let cipher = Cipher::new(key, head, bound).ok_or(OpenError::Tampered)?;
        let sealed = Zeroizing::new(vec![0; head.chunk + TAG + 1]);
        Ok(Self { cipher, inner, size: head.chunk, sealed, carried: None, plain: 0..0, first: true, last: false })
    }

    fn next_chunk(&mut self) -> Result<(), OpenError> {
        let whole = self.size + TAG;
        let mut begin = 0;
        if let (Some(byte), Some(front)) = (self.carried.take(), self.sealed.first_mut()) {
            *front = byte;
            begin = 1;
        }
        let room = self.sealed.get_mut(begin..).unwrap_or_default();
        let got = begin + fill(&mut self.inner, room).map_err(OpenError::Read)?;
        self.last = got <= whole;
        let (chunk, behind) = self.sealed.split_at_mut(got.min(whole));
        self.carried = if self.last { None } else { behind.first().copied() };
        if chunk.len() < TAG {
            return Err(OpenError::Cut);
        }
        let plain = self.cipher.open(chunk, self.last)?;
        if plain == 0 && !self.first {
            return Err(OpenError::NotSealed("its last chunk is empty"));
        }
        self.first = false;
        self.plain = 0..plain;
        Ok(())
    }

    /// Reads plain bytes; 0 at the end, which was proven to be one.
    pub(crate) fn read_plain(&mut self, buffer: &mut [u8]) -> Result<usize, OpenError> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while self.plain.is_empty() {
            if self.last {
                return Ok(0);
            }
            self.next_chunk()?;
        }
        let mut left = self.sealed.get(self.plain.clone()).unwrap_or_default();
        let given = left.read(buffer).map_err(OpenError::Read)?;
        self.plain.start += given;
        Ok(given)
    }
}

/// Reads until the buffer is full or there is no more.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
        match reader.read(room) {
            Ok(0) => break,
            Ok(got) => filled += got,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
    Ok(filled)
}
