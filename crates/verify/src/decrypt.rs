//! Writes an encrypted bundle as a plain one, while it is verified.
//!
//! It is written into a folder that has another name until everything was proven, so that nothing of a bundle that does not pass is ever
//! taken for good.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use export_canon::tar::{END_OF_ARCHIVE, header_bytes, padding};
use export_contract::manifest::{ExportManifest, PATH};

use crate::Copies;
use crate::container::{BUNDLE, Container, ExportJson};
use crate::error::VerifyError;
use crate::policy::Policy;
use crate::report::Report;
use crate::unpack::Unpack;

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
    if out.exists() {
        return Err(unwritten(out, io::Error::from(io::ErrorKind::AlreadyExists)));
    }
    let container = Container::open(path)?;
    fs::create_dir_all(&partial).map_err(|cause| unwritten(&partial, cause))?;
    let done = crate::prove(container, policy, progress, Copies::PlainTar(&partial)).and_then(|report| {
        let tar = partial.join(BUNDLE);
        let kept = File::open(&tar).and_then(|file| file.sync_all()).and_then(|()| fs::rename(&partial, out));
        kept.map(|()| report).map_err(|cause| unwritten(out, cause))
    });
    if done.is_err() {
        fs::remove_dir_all(&partial).map_err(|cause| unwritten(&partial, cause))?;
    }
    done
}

fn unwritten(path: &Path, cause: io::Error) -> VerifyError {
    VerifyError::Write { path: path.display().to_string(), cause }
}

/// The plain tar on its way. Its files may come in another order than they stand in it, because a suffix can change the order of names;
/// where each belongs is known from the start. What lies between them, padding and end marker, are zeros, as a file has them that was
/// made so long.
pub(crate) struct PlainTar {
    folder: PathBuf,
    file: File,
    /// Where each file begins, and its header.
    places: BTreeMap<String, (u64, Vec<u8>)>,
}

impl PlainTar {
    pub(crate) fn new(folder: &Path, manifest: &ExportManifest, export_json: &ExportJson) -> Result<Self, VerifyError> {
        let sizes = manifest.contents.iter().map(|content| (content.path.as_str(), content.bytes));
        let mut sizes: Vec<(&str, u64)> = sizes.chain([(PATH, export_json.bytes.len() as u64)]).collect();
        sizes.sort_unstable();
        let (mut places, mut end) = (BTreeMap::new(), 0);
        for (name, size) in sizes {
            let header = header_bytes(name, size).map_err(|cause| VerifyError::archive(name, cause))?;
            let length = header.len() as u64;
            places.insert(name.to_owned(), (end, header));
            end = [length, size, padding(size).len() as u64].into_iter().fold(end, u64::saturating_add);
        }
        let path = folder.join(BUNDLE);
        let file = File::create_new(&path).and_then(|file| {
            file.set_len(end.saturating_add(END_OF_ARCHIVE.len() as u64))?;
            Ok(file)
        });
        Ok(Self { folder: folder.to_owned(), file: file.map_err(|cause| unwritten(&path, cause))?, places })
    }
}

impl Unpack for PlainTar {
    fn file(&mut self, path: &str) -> io::Result<Box<dyn Write>> {
        let (place, header) = self.places.get(path).ok_or(io::ErrorKind::NotFound)?;
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(*place))?;
        file.write_all(header)?;
        Ok(Box::new(BufWriter::with_capacity(PIECE, file)))
    }

    fn beside(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        fs::write(self.folder.join(name), bytes)
    }
}
