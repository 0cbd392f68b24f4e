//! Writes an encrypted bundle as a plain one, while it is verified.
//!
//! This is the one place where the verifier writes. It writes into a folder that has another name until everything was proven, so that
//! nothing of a bundle that does not pass is ever taken for good.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use export_canon::tar::{END_OF_ARCHIVE, header_bytes, padding};
use export_contract::manifest::{ExportManifest, PATH};

use crate::container::{BUNDLE, Container, EXPORT_JSON, ExportJson};
use crate::error::VerifyError;
use crate::policy::Policy;
use crate::report::Report;

/// Bytes written at a time.
const PIECE: usize = 256 << 10;

/// Verifies the bundle in `path` with the identities of `policy`, and writes it to the folder `out`, which must not exist, with a tar of
/// plain files. The files beside the tar are the same: signatures and provenance are about the encrypted bundle, and
/// [`verify`](crate::verify) says what that means for the plain one.
///
/// # Errors
/// The first fault found; then there is no `out`.
pub fn decrypt(path: &Path, policy: &Policy, out: &Path, progress: &dyn Fn(u64)) -> Result<Report, VerifyError> {
    let mut partial = out.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let unwritten = |path: &Path, cause| VerifyError::Write { path: path.to_owned(), cause };
    if out.exists() {
        return Err(unwritten(out, io::Error::from(io::ErrorKind::AlreadyExists)));
    }
    let container = Container::open(path)?;
    fs::create_dir_all(&partial).map_err(|cause| unwritten(&partial, cause))?;
    let done = crate::prove(container, policy, progress, Some(&partial))
        .and_then(|report| fs::rename(&partial, out).map(|()| report).map_err(|cause| unwritten(out, cause)));
    if done.is_err() {
        fs::remove_dir_all(&partial).map_err(|cause| unwritten(&partial, cause))?;
    }
    done
}

/// The plain tar on its way. Its files may come in another order than they stand in it, because a suffix can change the order of names;
/// where each belongs is known from the start.
pub(crate) struct PlainTar {
    path: PathBuf,
    file: BufWriter<File>,
    places: BTreeMap<String, u64>,
    end: u64,
}

impl PlainTar {
    pub(crate) fn new(folder: &Path, manifest: &ExportManifest, export_json: &ExportJson) -> Result<Self, VerifyError> {
        let path = folder.join(BUNDLE);
        let sizes = manifest.contents.iter().map(|content| (content.path.as_str(), content.bytes));
        let mut sizes: Vec<(&str, u64)> = sizes.chain([(PATH, export_json.bytes.len() as u64)]).collect();
        sizes.sort_unstable();
        let (mut places, mut end) = (BTreeMap::new(), 0);
        for (name, size) in sizes {
            let header = header_bytes(name, size).map_err(|cause| VerifyError::archive(name, cause))?;
            places.insert(name.to_owned(), end);
            end = [header.len() as u64, size, padding(size).len() as u64].into_iter().fold(end, u64::saturating_add);
        }
        let file = File::create_new(&path).map_err(|cause| VerifyError::Write { path: path.clone(), cause })?;
        Ok(Self { path, file: BufWriter::with_capacity(PIECE, file), places, end })
    }

    fn unwritten(&self, cause: io::Error) -> VerifyError {
        VerifyError::Write { path: self.path.clone(), cause }
    }

    /// Goes to the place of a file and writes its header.
    pub(crate) fn begin(&mut self, name: &str, size: u64) -> Result<(), VerifyError> {
        let place = self.places.get(name).copied().unwrap_or(self.end);
        let header = header_bytes(name, size).map_err(|cause| VerifyError::archive(name, cause))?;
        let done = self.file.seek(SeekFrom::Start(place)).and_then(|_| self.file.write_all(&header));
        done.map_err(|cause| self.unwritten(cause))
    }

    /// Ends the file that was begun.
    pub(crate) fn end(&mut self, size: u64) -> Result<(), VerifyError> {
        self.file.write_all(padding(size)).map_err(|cause| self.unwritten(cause))
    }

    /// Ends the tar, once every file was written.
    pub(crate) fn finish(mut self) -> Result<(), VerifyError> {
        let end = self.end;
        let done = self.file.seek(SeekFrom::Start(end)).and_then(|_| self.file.write_all(&END_OF_ARCHIVE));
        let done = done.and_then(|()| self.file.flush()).and_then(|()| self.file.get_ref().sync_all());
        done.map_err(|cause| self.unwritten(cause))
    }
}

/// Writes the files that travel with the tar.
pub(crate) fn write_beside(
    folder: &Path,
    container: &Container<'_>,
    export_json: &ExportJson,
) -> Result<(), VerifyError> {
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, bytes).map_err(|cause| VerifyError::Write { path, cause })
    };
    write(EXPORT_JSON, &export_json.bytes)?;
    for name in container.files_beside().into_iter().filter(|name| *name != EXPORT_JSON) {
        if let Some(bytes) = container.beside(name)? {
            write(name, &bytes)?;
        }
    }
    Ok(())
}

/// Where the plain bytes go while they are checked: to a tar, or nowhere.
#[derive(Default)]
pub(crate) struct Tee<'a>(pub(crate) Option<&'a mut PlainTar>);

impl<'a> Tee<'a> {
    /// Reads `inner` and passes on what was read.
    pub(crate) fn of<R: Read>(&mut self, inner: R) -> TeeReader<'_, 'a, R> {
        TeeReader { inner, tee: self }
    }
}

/// A reader whose bytes also go elsewhere.
pub(crate) struct TeeReader<'t, 'a, R> {
    inner: R,
    tee: &'t mut Tee<'a>,
}

impl<R: Read> Read for TeeReader<'_, '_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buffer)?;
        if let Some(tar) = &mut self.tee.0 {
            let written = tar.file.write_all(buffer.get(..got).unwrap_or_default());
            written.map_err(|cause| tar.unwritten(cause).inside())?;
        }
        Ok(got)
    }
}
