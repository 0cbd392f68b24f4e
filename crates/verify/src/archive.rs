//! The tar against the manifest: the files listed and no others, byte for byte, in the one form that the writer makes of them.

use std::cell::RefCell;
use std::io::{self, BufReader, Read, Write};

use export_canon::digesting::DigestingReader;
use export_canon::tar::{END_OF_ARCHIVE, TarLimits, TarReader, header_bytes, padding};
use export_contract::Digest;
use export_contract::encryption::EncryptedFile;
use export_contract::manifest::{ExportManifest, PATH, TARGET_PATH};

use crate::container::{BUNDLE, Container, ExportJson, MAX_MANIFEST};
use crate::content::{self, Counted};
use crate::error::{VerifyError, shown};
use crate::policy::Policy;
use crate::sealed::{Form, Unsealing};
use crate::turns::{Turns, What};
use crate::unpack::{Copy, Tee, Unpack};

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
    /// In which form its files are.
    pub(crate) form: Form,
    /// The encrypted ones.
    pub(crate) sealed: Vec<EncryptedFile>,
    /// Whether they were decrypted and what is in them checked.
    pub(crate) opened: bool,
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

/// What the tar is compared with.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) manifest: &'a ExportManifest,
    pub(crate) export_json: &'a ExportJson,
    /// There where files are encrypted.
    pub(crate) unsealing: Option<&'a Unsealing>,
}

/// Streams the tar once and compares it with the manifest.
pub(crate) fn check(
    container: &mut Container<'_>,
    wanted: &Wanted<'_>,
    policy: &Policy,
    progress: &dyn Fn(u64),
    mut copies: Option<&mut dyn Unpack>,
) -> Result<Archive, VerifyError> {
    let mut turns = Turns::new(wanted);
    let told = Told { inner: container.bundle()?, bytes: 0, progress };
    let mut reader = BufReader::with_capacity(PIECE, DigestingReader::new(told));
    let framing = Framing::default();
    let mut archive = TarReader::new(Tap { inner: &mut reader, framing: &framing }, TarLimits::default());
    let (mut files, mut records, mut uncounted, mut sealed, mut target) = (0, 0, Vec::new(), Vec::new(), Vec::new());
    while let Some(mut entry) =
        framing.noting(|| archive.next_entry()).map_err(|cause| VerifyError::archive(BUNDLE, cause))?
    {
        let (path, size) = (entry.path().to_owned(), entry.size());
        let next = match turns.next(&path) {
            Ok(next) => next,
            Err(fault) => return Err(worse(archive, fault)),
        };
        framing.entry(&path, size)?;
        // What is copied is the plain file under its own path, in whatever form it lies in the tar.
        let name = next.what.path();
        if let Some(unsealing) =
            wanted.unsealing.filter(|unsealing| next.sealed && copies.is_some() && !unsealing.opens())
        {
            return Err(unsealing.why_closed(&path));
        }
        let mut copy: Option<Box<dyn Write + '_>> = match &mut copies {
            Some(copies) => {
                Some(copies.file(name).map_err(|cause| VerifyError::Write { path: name.to_owned(), cause })?)
            }
            None => None,
        };
        if name == TARGET_PATH && next.what.bytes() <= MAX_MANIFEST {
            copy = Some(Box::new(Kept { bytes: &mut target, copy }));
        }
        let copy: Option<Copy<'_>> = copy.map(|copy| (name.to_owned(), copy));
        match next.what {
            What::Content(content) => {
                files += 1;
                let counted = match wanted.unsealing.filter(|_| next.sealed) {
                    None => {
                        let mut entry = Tee::new(&mut entry, copy);
                        let counted = content::check(content, size, &mut entry, policy)?;
                        entry.finish()?;
                        Some(counted)
                    }
                    Some(unsealing) => {
                        let (found, counted) = unsealing.check(content, &path, &mut entry, policy, copy)?;
                        sealed.push(found);
                        counted
                    }
                };
                match counted {
                    Some(Counted::Records(found)) => records += found,
                    Some(Counted::Unknown) => uncounted.push(shown(&content.path)),
                    Some(Counted::NoRecords) | None => {}
                }
            }
            What::ExportJson(ExportJson { bytes, digest }) => {
                let mut entry = Tee::new(&mut entry, copy);
                content::check_bytes(PATH, digest, bytes.len() as u64, size, &mut entry)?;
                entry.finish()?;
            }
        }
    }
    if let Some(missing) = turns.missing() {
        return Err(VerifyError::FileMissing(shown(&missing)));
    }
    framing.end()?;
    let (_, digested) = reader.into_inner().finish();
    let digest = Digest::from_bytes(*digested.sha256.as_bytes());
    let form = turns.form();
    let opened = form == Form::Decrypted || wanted.unsealing.is_some_and(Unsealing::opens);
    Ok(Archive { digest, bytes: digested.bytes, files, records, uncounted, form, sealed, opened, target })
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
