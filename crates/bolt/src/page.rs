//! Pages of a bbolt file: how they look, and the file that they are appended to.

use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::BoltError;

/// Bytes of a page.
pub(crate) const PAGE: usize = 4096;
/// Bytes of the header of a page: id, flags, count, pages of overflow.
pub(crate) const HEADER: usize = 16;
/// Bytes of an element of a page, in front of its key: equal for leaves and branches.
pub(crate) const ELEMENT: usize = 16;

const BRANCH: u16 = 1;
const LEAF: u16 = 2;
const META: u16 = 4;
const FREELIST: u16 = 0x10;

/// Two metas and the freelist come before the data.
const RESERVED: u64 = 3;
const FREELIST_PAGE: u64 = 2;
const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;

/// Large enough that a system call costs nothing beside its bytes.
const BUFFER: usize = 1 << 20;

/// Whether a page is a leaf or a branch.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Branch,
    Leaf,
}

/// The header of a page and of the page image in an inline bucket, whose id and overflow are 0.
pub(crate) fn header(id: u64, kind: Kind, count: usize, overflow: u32) -> [u8; HEADER] {
    let flags = match kind {
        Kind::Branch => BRANCH,
        Kind::Leaf => LEAF,
    };
    raw_header(id, flags, count, overflow)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a page that is not one element alone is 4096 bytes: at most 240 elements"
)]
fn raw_header(id: u64, flags: u16, count: usize, overflow: u32) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..8].copy_from_slice(&id.to_le_bytes());
    bytes[8..10].copy_from_slice(&flags.to_le_bytes());
    bytes[10..12].copy_from_slice(&(count as u16).to_le_bytes());
    bytes[12..].copy_from_slice(&overflow.to_le_bytes());
    bytes
}

/// Sizes and offsets inside of a page.
///
/// Limits of keys and values hold a page below 4 GiB: one element of at most 32 KiB and 2 GiB, or 4 KiB of elements.
#[expect(clippy::cast_possible_truncation, reason = "keys and values were held to their limits before")]
pub(crate) fn narrow(size: usize) -> u32 {
    size as u32
}

/// The file: pages are appended in the order of their ids.
#[derive(Debug)]
pub(crate) struct Pages {
    path: PathBuf,
    file: BufWriter<NamedTempFile>,
    next: u64,
    /// Header and elements of the page that is being appended.
    head: Vec<u8>,
    spoiled: bool,
}

impl Pages {
    /// Makes a temporary file in the folder of `path`, with room for the first pages.
    pub(crate) fn create(path: &Path) -> Result<Self, BoltError> {
        let create = || -> io::Result<BufWriter<NamedTempFile>> {
            let folder = folder_of(path)?;
            let mut builder = tempfile::Builder::new();
            builder.prefix(".bolt-").suffix(".partial");
            #[cfg(unix)]
            builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
            let mut file = BufWriter::with_capacity(BUFFER, builder.tempfile_in(folder)?);
            for _ in 0..RESERVED {
                file.write_all(&[0; PAGE])?;
            }
            Ok(file)
        };
        match create() {
            Ok(file) => Ok(Self { path: path.to_owned(), file, next: RESERVED, head: Vec::new(), spoiled: false }),
            Err(cause) => Err(BoltError::Create { path: path.to_owned(), cause }),
        }
    }

    /// Appends a page of `elements` and their `data`, with as many pages of overflow as it needs, and gives its id.
    pub(crate) fn append(
        &mut self,
        kind: Kind,
        elements: impl ExactSizeIterator<Item = [u8; ELEMENT]>,
        data: &[u8],
    ) -> Result<u64, BoltError> {
        if self.spoiled {
            return Err(BoltError::Spoiled { path: self.path.clone() });
        }
        let id = self.next;
        let count = elements.len();
        let size = HEADER + count * ELEMENT + data.len();
        let pages = size.div_ceil(PAGE);
        self.head.clear();
        self.head.extend_from_slice(&header(id, kind, count, narrow(pages - 1)));
        self.head.extend(elements.flatten());
        let padding = pages * PAGE - size;
        let result = (self.file.write_all(&self.head))
            .and_then(|()| self.file.write_all(data))
            .and_then(|()| self.file.write_all(&[0; PAGE][..padding]));
        self.spoiled = result.is_err();
        result.map_err(|cause| BoltError::Write { path: self.path.clone(), cause })?;
        self.next += pages as u64;
        Ok(id)
    }

    /// Writes the first pages, makes the file durable and moves it to its place. Gives the number of pages.
    pub(crate) fn finish(self, root: u64) -> Result<u64, BoltError> {
        let Self { path, mut file, next, spoiled, .. } = self;
        if spoiled {
            return Err(BoltError::Spoiled { path });
        }
        let mut front = Vec::with_capacity(PAGE * 3);
        for id in 0..2 {
            front.extend_from_slice(&raw_header(id, META, 0, 0));
            front.extend_from_slice(&meta(root, next, id));
            front.resize(front.len().next_multiple_of(PAGE), 0);
        }
        // Without a freelist, even an empty one, bbolt writes to the file when it opens it for writing.
        front.extend_from_slice(&raw_header(FREELIST_PAGE, FREELIST, 0, 0));
        front.resize(front.len().next_multiple_of(PAGE), 0);
        let result = file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(&front)).and_then(|()| file.flush());
        let file = match result.map(|()| file.into_inner()) {
            Ok(Ok(file)) => file,
            Ok(Err(unflushed)) => return Err(BoltError::Write { path, cause: unflushed.into_error() }),
            Err(cause) => return Err(BoltError::Write { path, cause }),
        };
        if let Err(cause) = file.as_file().sync_all() {
            return Err(BoltError::Sync { path, cause });
        }
        if let Err(failed) = file.persist(&path) {
            return Err(BoltError::Rename { path, cause: failed.error });
        }
        match sync_folder(&path) {
            Ok(()) => Ok(next),
            Err(cause) => Err(BoltError::Sync { path, cause }),
        }
    }
}

/// The folder that holds `path`, whether or not `path` names it.
fn folder_of(path: &Path) -> io::Result<&Path> {
    match path.parent() {
        None => Err(io::Error::new(io::ErrorKind::InvalidInput, "not the path of a file")),
        Some(folder) if folder.as_os_str().is_empty() => Ok(Path::new(".")),
        Some(folder) => Ok(folder),
    }
}

/// A rename outlasts a crash of the host only when its folder was synced; folders cannot be opened on Windows.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) { std::fs::File::open(folder_of(path)?)?.sync_all() } else { Ok(()) }
}

/// A meta: where the root bucket and the freelist are, how many pages there are, and a checksum of that.
///
/// Both metas say the same but for the transaction, of which bbolt takes the higher.
fn meta(root: u64, pages: u64, transaction: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    for word in [MAGIC, VERSION, narrow(PAGE), 0] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    for word in [root, 0, FREELIST_PAGE, pages, transaction] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    let checksum = fnv1a(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// The 64-bit FNV-1a hash (RFC 9923, section 2).
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first values of the test vectors of RFC 9923.
    #[test]
    fn fnv1a_gives_the_published_values() {
        assert_eq!(fnv1a(b""), 0xCBF2_9CE4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xAF63_DC4C_8601_EC8C);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_F739_67E8);
    }

    #[test]
    fn nothing_is_finished_after_a_failed_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let mut pages = Pages::create(&path).unwrap();
        let (_, name) = NamedTempFile::new_in(folder.path()).unwrap().into_parts();
        let read_only = std::fs::File::open(&name).unwrap();
        pages.file = BufWriter::with_capacity(0, NamedTempFile::from_parts(read_only, name));
        let none = || std::iter::empty::<[u8; ELEMENT]>();
        assert!(matches!(pages.append(Kind::Leaf, none(), b"x"), Err(BoltError::Write { .. })));
        assert!(matches!(pages.append(Kind::Leaf, none(), b"x"), Err(BoltError::Spoiled { .. })));
        assert!(matches!(pages.finish(3), Err(BoltError::Spoiled { .. })));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
