//! Reading an archive that may be hostile.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};

use super::header::{self, BLOCK, Header};
use super::pax::{self, Extended};
use super::{Refusal, TarError, path};

/// Longest extended header. The longest of ours holds one path and one size.
const MAX_PAX: u64 = 16 << 10;
/// Most zero bytes after the end marker; `tar` pads to 10 KiB, some to 1 MiB.
const MAX_TRAILER: u64 = 1 << 20;

/// Bounds on an archive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TarLimits {
    /// Most entries. The reader keeps every path, so this bounds its memory.
    pub max_entries: u64,
    /// Most bytes of one file.
    pub max_entry_bytes: u64,
    /// Most bytes of all files together.
    pub max_total_bytes: u64,
    /// Refuse entries that are not in ascending order, as [`TarWriter`](super::TarWriter) writes them.
    pub require_sorted: bool,
}

impl Default for TarLimits {
    /// 100,000 entries, 64 GiB a file, 256 GiB in all, sorted.
    fn default() -> Self {
        Self { max_entries: 100_000, max_entry_bytes: 64 << 30, max_total_bytes: 256 << 30, require_sorted: true }
    }
}

/// Reads entries one after the other and refuses everything that a bundle of ours does not hold.
///
/// Refused are links, devices, folders and other kinds, unsafe paths, paths that occur twice or differ in case only, files that
/// are folders too, headers that readers understand differently, data in the padding and after the end, and a missing end
/// marker. Times, owners and modes are ignored. Whoever reads until `None` knows that the archive is whole.
pub struct TarReader<R> {
    inner: R,
    limits: TarLimits,
    offset: u64,
    /// Bytes of the current body still to come, and the padding after it.
    left: u64,
    padding: usize,
    entries: u64,
    total: u64,
    last: Option<String>,
    /// Lower-case path to path.
    seen: BTreeMap<String, String>,
    finished: bool,
}

/// A regular file; reading it gives its body. What is left unread is skipped, and checked to be there, by the next call.
pub struct TarEntry<'a, R> {
    reader: &'a mut TarReader<R>,
    path: String,
    size: u64,
}

impl<R: Read> TarReader<R> {
    /// Reads an archive, not compressed.
    pub fn new(inner: R, limits: TarLimits) -> Self {
        Self {
            inner,
            limits,
            offset: 0,
            left: 0,
            padding: 0,
            entries: 0,
            total: 0,
            last: None,
            seen: BTreeMap::new(),
            finished: false,
        }
    }

    /// The next file, or `None` after the end marker and all that follows were checked.
    ///
    /// # Errors
    /// [`TarError::Refused`] and [`TarError::Read`]. After an error the archive must not be read further.
    pub fn next_entry(&mut self) -> Result<Option<TarEntry<'_, R>>, TarError> {
        if self.finished {
            return Ok(None);
        }
        self.skip_body()?;
        let start = self.offset;
        let mut extended = None;
        let header = loop {
            let at = self.offset;
            let block = self.read_block()?;
            if block == [0; BLOCK] {
                if extended.is_some() {
                    return Err(refused(at, Refusal::Pax("no entry follows it")));
                }
                self.read_trailer()?;
                self.finished = true;
                return Ok(None);
            }
            let header = header::parse(&block).map_err(|refusal| refused(at, refusal))?;
            if header.kind != b'x' {
                break header;
            }
            if extended.is_some() {
                return Err(refused(at, Refusal::Pax("two in a row")));
            }
            extended = Some(self.read_extended(header.size)?);
        };
        let (path, size) =
            self.admit(header, extended.unwrap_or_default()).map_err(|refusal| refused(start, refusal))?;
        self.left = size;
        self.padding = header::padding(size).len();
        Ok(Some(TarEntry { reader: self, path, size }))
    }

    /// Judges an entry and notes its path.
    fn admit(&mut self, header: Header, extended: Extended) -> Result<(String, u64), Refusal> {
        let bytes = extended.path.unwrap_or(header.path);
        if let Some(kind) = forbidden_kind(header.kind) {
            return Err(Refusal::Kind { path: path::shown(&bytes), kind });
        }
        let unfit = |bytes: &[u8], problem| Refusal::Path { path: path::shown(bytes), problem };
        let path = String::from_utf8(bytes).map_err(|error| unfit(error.as_bytes(), "it is not UTF-8"))?;
        path::check(&path).map_err(|problem| unfit(path.as_bytes(), problem))?;
        self.admit_place(&path)?;

        let size = extended.size.unwrap_or(header.size);
        if size > self.limits.max_entry_bytes {
            return Err(Refusal::Limit { what: "bytes in one file", limit: self.limits.max_entry_bytes });
        }
        self.entries += 1;
        if self.entries > self.limits.max_entries {
            return Err(Refusal::Limit { what: "entries", limit: self.limits.max_entries });
        }
        self.total = self.total.saturating_add(size);
        if self.total > self.limits.max_total_bytes {
            return Err(Refusal::Limit { what: "bytes in all files", limit: self.limits.max_total_bytes });
        }
        Ok((path, size))
    }

    /// Judges a path against those before it, on systems that ignore case too.
    fn admit_place(&mut self, path: &str) -> Result<(), Refusal> {
        let folded = path.to_lowercase();
        if let Some(other) = self.seen.get(&folded) {
            return Err(if other == path {
                Refusal::Duplicate(path.to_owned())
            } else {
                Refusal::CaseCollision { path: path.to_owned(), other: other.clone() }
            });
        }
        for (at, _) in folded.match_indices('/') {
            if let Some(file) = folded.get(..at).and_then(|folder| self.seen.get(folder)) {
                return Err(Refusal::FileIsFolder { file: file.clone(), inside: path.to_owned() });
            }
        }
        let as_folder = format!("{folded}/");
        if let Some((inside, original)) = self.seen.range(as_folder.clone()..).next()
            && inside.starts_with(&as_folder)
        {
            return Err(Refusal::FileIsFolder { file: path.to_owned(), inside: original.clone() });
        }
        if self.limits.require_sorted
            && let Some(before) = self.last.as_deref().filter(|before| *before >= path)
        {
            return Err(Refusal::Unsorted { path: path.to_owned(), before: before.to_owned() });
        }
        self.last = Some(path.to_owned());
        self.seen.insert(folded, path.to_owned());
        Ok(())
    }

    fn read_extended(&mut self, size: u64) -> Result<Extended, TarError> {
        let at = self.offset;
        if size > MAX_PAX {
            return Err(refused(at, Refusal::Limit { what: "bytes in an extended header", limit: MAX_PAX }));
        }
        let mut records = vec![0; usize::try_from(size).unwrap_or_default()];
        self.read_exact(&mut records)?;
        self.padding = header::padding(size).len();
        self.read_padding()?;
        pax::parse(&records).map_err(|refusal| refused(at, refusal))
    }

    /// Checks that a second zero block and then nothing but zeros follow.
    fn read_trailer(&mut self) -> Result<(), TarError> {
        if self.read_block()? != [0; BLOCK] {
            return Err(refused(self.offset - BLOCK as u64, Refusal::Header("one zero block stands alone")));
        }
        let end = self.offset;
        let mut buffer = [0; BLOCK];
        loop {
            let got = self.read_some(&mut buffer)?;
            let (read, _) = buffer.split_at(got);
            if got == 0 {
                return Ok(());
            }
            if read.iter().any(|byte| *byte != 0) {
                return Err(refused(end, Refusal::HiddenData("after the end")));
            }
            if self.offset - end > MAX_TRAILER {
                return Err(refused(end, Refusal::Limit { what: "zero bytes after the end", limit: MAX_TRAILER }));
            }
        }
    }

    fn skip_body(&mut self) -> Result<(), TarError> {
        let mut buffer = [0; 8 << 10];
        while self.left > 0 {
            let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
            let got = self.read_some(&mut buffer[..most])?;
            if got == 0 {
                return Err(refused(self.offset, Refusal::Truncated));
            }
            self.left -= got as u64;
        }
        self.read_padding()
    }

    fn read_padding(&mut self) -> Result<(), TarError> {
        let mut buffer = [0; BLOCK];
        let length = std::mem::take(&mut self.padding);
        let padding = &mut buffer[..length];
        let at = self.offset;
        self.read_exact(padding)?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(refused(at, Refusal::HiddenData("in the padding of an entry")));
        }
        Ok(())
    }

    fn read_block(&mut self) -> Result<[u8; BLOCK], TarError> {
        let mut block = [0; BLOCK];
        self.read_exact(&mut block)?;
        Ok(block)
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), TarError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read_some(&mut buffer[filled..])? {
                0 => return Err(refused(self.offset, Refusal::Truncated)),
                got => filled += got,
            }
        }
        Ok(())
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        loop {
            match self.inner.read(buffer) {
                Ok(got) => {
                    self.offset += got as u64;
                    return Ok(got);
                }
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => {
                    return Err(TarError::Read { offset: self.offset, cause });
                }
            }
        }
    }
}

impl<R> TarEntry<'_, R> {
    /// The path, checked to be relative and safe.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Length of the body.
    pub const fn size(&self) -> u64 {
        self.size
    }
}

/// A cut-off archive is an error here, never a short body; the [`TarError`] is inside.
impl<R: Read> Read for TarEntry<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.reader.left).unwrap_or(usize::MAX).min(buf.len());
        if most == 0 {
            return Ok(0);
        }
        let got = self.reader.read_some(&mut buf[..most]).map_err(|error| match error {
            TarError::Read { cause, .. } => cause,
            other => io::Error::other(other),
        })?;
        if got == 0 {
            let cut = refused(self.reader.offset, Refusal::Truncated);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, cut));
        }
        self.reader.left -= got as u64;
        Ok(got)
    }
}

impl<R> fmt::Debug for TarReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TarReader")
            .field("offset", &self.offset)
            .field("entries", &self.entries)
            .finish_non_exhaustive()
    }
}

impl<R> fmt::Debug for TarEntry<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TarEntry").field("path", &self.path).field("size", &self.size).finish_non_exhaustive()
    }
}

fn refused(offset: u64, refusal: Refusal) -> TarError {
    TarError::Refused { offset, refusal }
}

/// What an entry is called that is no regular file.
fn forbidden_kind(kind: u8) -> Option<&'static str> {
    match kind {
        b'0' | 0 => None,
        b'1' => Some("a hard link"),
        b'2' => Some("a symbolic link"),
        b'3' => Some("a character device"),
        b'4' => Some("a block device"),
        b'5' => Some("a folder"),
        b'6' => Some("a named pipe"),
        b'7' => Some("a contiguous file"),
        b'g' => Some("a global extended header"),
        b'L' | b'K' => Some("a GNU long name"),
        b'S' => Some("a sparse file"),
        _ => Some("an entry of unknown kind"),
    }
}
