//! Where the files of a bundle are. Files are opened one by one by their known names; what else lies there is not looked at.

use std::fs::{self, File};
use std::io::{self, BufReader, Read as _};
use std::path::{Path, PathBuf};

use export_canon::digesting::sha256;
use export_canon::tar::{TarLimits, TarReader};
use export_contract::Digest;
use export_contract::manifest::PATH;

use crate::error::{Problem, VerifyError};

/// Name of the tar in a folder, and as a subject of provenance.
pub(crate) const BUNDLE: &str = "bundle.tar";
/// Name of the manifest beside the tar, and as a subject of provenance.
pub(crate) const EXPORT_JSON: &str = "export.json";
/// Largest `export.json` that is read; the sign stage signs no larger one.
const MAX_MANIFEST: u64 = 64 << 20;

/// A bundle's files.
#[derive(Debug)]
pub(crate) struct Container {
    bundle: PathBuf,
    folder: PathBuf,
}

/// The bytes of `export.json`.
#[derive(Debug)]
pub(crate) struct ExportJson {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: Digest,
}

impl Container {
    pub(crate) fn open(path: &Path) -> Result<Self, VerifyError> {
        let meta = match fs::metadata(path) {
            Ok(meta) => meta,
            Err(cause) if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(VerifyError::NotFound(path.to_owned()));
            }
            Err(cause) => return Err(VerifyError::Read { path: path.to_owned(), cause }),
        };
        if meta.is_dir() {
            return Ok(Self { bundle: path.join(BUNDLE), folder: path.to_owned() });
        }
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        Ok(Self { bundle: path.to_owned(), folder })
    }

    /// The tar, opened, and its length.
    pub(crate) fn bundle(&self) -> Result<(File, u64), VerifyError> {
        regular(&self.bundle, BUNDLE)?.ok_or_else(|| VerifyError::FileMissing(BUNDLE.to_owned()))
    }

    /// A file beside the tar, whole; `None` when there is none.
    pub(crate) fn beside(&self, name: &'static str, limit: u64) -> Result<Option<Vec<u8>>, VerifyError> {
        let path = self.folder.join(name);
        let Some((file, bytes)) = regular(&path, name)? else { return Ok(None) };
        let mut whole = Vec::new();
        file.take(limit + 1).read_to_end(&mut whole).map_err(|cause| VerifyError::Read { path, cause })?;
        let bytes = bytes.max(whole.len() as u64);
        if bytes > limit {
            return Err(VerifyError::malformed(name, Problem::TooLarge { bytes, limit }));
        }
        Ok(Some(whole))
    }

    /// `export.json`: the one beside the tar, else the one inside.
    pub(crate) fn export_json(&self) -> Result<ExportJson, VerifyError> {
        let bytes = match self.beside(EXPORT_JSON, MAX_MANIFEST)? {
            Some(bytes) => bytes,
            None => self.export_json_inside()?,
        };
        let digest = Digest::from_bytes(*sha256(&bytes).as_bytes());
        Ok(ExportJson { bytes, digest })
    }

    fn export_json_inside(&self) -> Result<Vec<u8>, VerifyError> {
        let (file, _) = self.bundle()?;
        let mut archive = TarReader::new(BufReader::with_capacity(256 << 10, file), TarLimits::default());
        while let Some(entry) = archive.next_entry().map_err(|cause| VerifyError::archive(BUNDLE, cause))? {
            if entry.path() != PATH {
                continue;
            }
            if entry.size() > MAX_MANIFEST {
                let problem = Problem::TooLarge { bytes: entry.size(), limit: MAX_MANIFEST };
                return Err(VerifyError::malformed(PATH, problem));
            }
            let mut bytes = Vec::new();
            entry.take(MAX_MANIFEST).read_to_end(&mut bytes).map_err(|cause| self.broken_body(cause))?;
            return Ok(bytes);
        }
        Err(VerifyError::FileMissing(PATH.to_owned()))
    }

    /// What it means that a body in the tar cannot be read.
    pub(crate) fn broken_body(&self, cause: io::Error) -> VerifyError {
        match cause.downcast() {
            Ok(refused) => VerifyError::archive(BUNDLE, refused),
            Err(cause) => VerifyError::Read { path: self.bundle.clone(), cause },
        }
    }

    /// Which of the files that travel with a bundle are there, in the order of their names.
    pub(crate) fn files_beside(&self) -> Vec<&'static str> {
        const NAMES: [&str; 6] = [
            "cosign.pub",
            EXPORT_JSON,
            "export.json.sig",
            "export.json.sigstore.json",
            "provenance.json",
            "provenance.sigstore.json",
        ];
        NAMES.into_iter().filter(|name| self.folder.join(name).is_file()).collect()
    }
}

/// Opens a regular file. Pipes and devices would make a reader wait or read for ever.
fn regular(path: &Path, name: &str) -> Result<Option<(File, u64)>, VerifyError> {
    let read = |cause| VerifyError::Read { path: path.to_owned(), cause };
    match fs::metadata(path) {
        Ok(meta) if meta.is_file() => File::open(path).map(|file| Some((file, meta.len()))).map_err(read),
        Ok(_) => Err(VerifyError::malformed(name, Problem::NotAFile)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(read(cause)),
    }
}
