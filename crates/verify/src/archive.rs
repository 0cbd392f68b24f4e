//! The tar against the manifest: the files listed and no others, byte for byte, in the one form that the writer makes of them.

use std::cell::RefCell;
use std::io::{self, BufReader, Read, Write};

use export_canon::digesting::DigestingReader;
use export_canon::tar::{END_OF_ARCHIVE, TarLimits, TarReader, header_bytes, padding};
use export_contract::Digest;
use export_contract::manifest::{ExportManifest, ManifestContent, PATH, TARGET_PATH};

use crate::container::{BUNDLE, Container, ExportJson, MAX_MANIFEST};
use crate::content::{self, Counted};
use crate::error::{VerifyError, shown};
use crate::policy::Policy;
use crate::unpack::{Tee, Unpack};

/// Bytes read at a time.
const PIECE: usize = 256 << 10;

/// What was found in the tar.
#[derive(Debug)]
pub(crate) struct Archive {
    pub(crate) digest: Digest,
    pub(crate) bytes: u64,
    /// The manifest is not counted.
    pub(crate) files: u64,
    /// Records that were decompressed and counted.
    pub(crate) records: u64,
    /// Files with records that could not be counted.
    pub(crate) uncounted: Vec<String>,
    /// The manifest of the mirror that a delta leads to; empty where there is none.
    pub(crate) target: Vec<u8>,
}

/// Keeps a small file in memory while it is copied.
struct Kept<'a> {
    bytes: &'a mut Vec<u8>,
    copy: Option<Box<dyn Write + 'a>>,
}

impl Write for Kept<'_> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let taken = match &mut self.copy {
            Some(copy) => copy.write(piece)?,
            None => piece.len(),
        };
        self.bytes.extend_from_slice(piece.get(..taken).unwrap_or_default());
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.copy.as_mut().map_or(Ok(()), Write::flush)
    }
}

/// A file that the tar must hold.
enum Expected<'a> {
    Content(&'a ManifestContent),
    ExportJson(&'a ExportJson),
}

impl Expected<'_> {
    fn path(&self) -> &str {
        match self {
            Self::Content(content) => &content.path,
            Self::ExportJson(_) => PATH,
        }
    }
}

/// Streams the tar once and compares it with the manifest.
pub(crate) fn check(
    container: &mut Container<'_>,
    manifest: &ExportManifest,
    export_json: &ExportJson,
    policy: &Policy,
    progress: &dyn Fn(u64),
    mut copies: Option<&mut dyn Unpack>,
) -> Result<Archive, VerifyError> {
    let mut expected: Vec<Expected<'_>> = manifest.contents.iter().map(Expected::Content).collect();
    expected.push(Expected::ExportJson(export_json));
    expected.sort_by(|a, b| a.path().cmp(b.path()));

    let told = Told { inner: container.bundle()?, bytes: 0, progress };
    let mut reader = BufReader::with_capacity(PIECE, DigestingReader::new(told));
    let framing = Framing::default();
    let mut archive = TarReader::new(Tap { inner: &mut reader, framing: &framing }, TarLimits::default());
    let mut expected = expected.into_iter();
    let (mut files, mut records, mut uncounted, mut target) = (0, 0, Vec::new(), Vec::new());
    while let Some(mut entry) =
        framing.noting(|| archive.next_entry()).map_err(|cause| VerifyError::archive(BUNDLE, cause))?
    {
        let (path, size) = (entry.path().to_owned(), entry.size());
        let next = match in_turn(expected.next(), &path) {
            Ok(next) => next,
            Err(fault) => return Err(worse(archive, fault)),
        };
        framing.entry(&path, size)?;
        let mut copy: Option<Box<dyn Write + '_>> = match &mut copies {
            Some(copies) => Some(copies.file(&path).map_err(|cause| VerifyError::Write { path: path.clone(), cause })?),
            None => None,
        };
        if path == TARGET_PATH && size <= MAX_MANIFEST {
            copy = Some(Box::new(Kept { bytes: &mut target, copy }));
        }
        let mut entry = Tee::new(&mut entry, copy.map(|copy| (path.clone(), copy)));
        match next {
            Expected::Content(content) => {
                files += 1;
                match content::check(content, size, &mut entry, policy)? {
                    Counted::Records(found) => records += found,
                    Counted::Unknown => uncounted.push(path),
                    Counted::NoRecords => {}
                }
            }
            Expected::ExportJson(ExportJson { bytes, digest }) => {
                content::check_bytes(PATH, digest, bytes.len() as u64, size, &mut entry)?;
            }
        }
        entry.finish()?;
    }
    if let Some(missing) = expected.next() {
        return Err(VerifyError::FileMissing(shown(missing.path())));
    }
    framing.end()?;
    let (_, digested) = reader.into_inner().finish();
    let digest = Digest::from_bytes(*digested.sha256.as_bytes());
    Ok(Archive { digest, bytes: digested.bytes, files, records, uncounted, target })
}

/// Tells somebody how many bytes were read.
struct Told<'a> {
    inner: Box<dyn Read + 'a>,
    bytes: u64,
    progress: &'a dyn Fn(u64),
}

impl Read for Told<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buffer)?;
        self.bytes += got as u64;
        (self.progress)(self.bytes);
        Ok(got)
    }
}

/// Both lists are in ascending order, so the first difference tells which of the two has a file too many.
fn in_turn<'a>(expected: Option<Expected<'a>>, path: &str) -> Result<Expected<'a>, VerifyError> {
    match expected {
        Some(expected) if expected.path() == path => Ok(expected),
        Some(expected) if expected.path() < path => Err(VerifyError::FileMissing(shown(expected.path()))),
        _ => Err(VerifyError::rule(path, "it is in the bundle, but export.json does not list it")),
    }
}

/// A file that seems to be missing may stand later in the archive, out of order: what the reader says of the rest is the truer story.
fn worse(mut archive: TarReader<impl Read>, fault: VerifyError) -> VerifyError {
    loop {
        match archive.next_entry() {
            Ok(Some(_)) => {}
            Ok(None) => return fault,
            Err(cause) => return VerifyError::archive(BUNDLE, cause),
        }
    }
}

/// Compares headers, padding and end marker with what the writer makes of the same files. Owners, times, modes, superfluous headers
/// and bytes after the end would otherwise be free to hold anything. What lies between two bodies is noted while it passes by,
/// because a stream does not come back.
#[derive(Default)]
struct Framing {
    noted: RefCell<Noted>,
}

#[derive(Default)]
struct Noted {
    on: bool,
    bytes: Vec<u8>,
    /// What fills up the body before.
    padding: &'static [u8],
}

/// Most bytes noted: padding, an extended header of the longest path, its padding, a header. More is never in the form of ours.
const MAX_NOTED: usize = 16 << 10;

impl Framing {
    /// Notes what `act` reads.
    fn noting<T>(&self, act: impl FnOnce() -> T) -> T {
        let mut noted = self.noted.borrow_mut();
        noted.bytes.clear();
        noted.on = true;
        drop(noted);
        let done = act();
        self.noted.borrow_mut().on = false;
        done
    }

    fn entry(&self, path: &str, size: u64) -> Result<(), VerifyError> {
        let header = header_bytes(path, size).map_err(|cause| VerifyError::archive(path, cause))?;
        let mut noted = self.noted.borrow_mut();
        if noted.bytes.strip_prefix(noted.padding) != Some(header.as_slice()) {
            return Err(VerifyError::rule(path, "its header in the archive is not in the deterministic form"));
        }
        noted.padding = padding(size);
        Ok(())
    }

    /// The end marker, and nothing after it.
    fn end(&self) -> Result<(), VerifyError> {
        let noted = self.noted.borrow();
        if noted.bytes.strip_prefix(noted.padding) == Some(&END_OF_ARCHIVE) {
            Ok(())
        } else {
            Err(VerifyError::rule(BUNDLE, "it goes on after its end marker"))
        }
    }
}

/// Lets the framing see what is read.
struct Tap<'a, R> {
    inner: R,
    framing: &'a Framing,
}

impl<R: Read> Read for Tap<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buffer)?;
        let mut noted = self.framing.noted.borrow_mut();
        if noted.on && noted.bytes.len() <= MAX_NOTED {
            noted.bytes.extend_from_slice(buffer.get(..got).unwrap_or_default());
        }
        Ok(got)
    }
}
