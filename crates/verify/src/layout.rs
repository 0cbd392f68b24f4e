//! Where the files of a bundle are.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::error::VerifyError;

/// Largest file beside the tar.
const MAX_SIDECAR: u64 = 256 << 20;
/// The names that may lie beside the tar.
const SIDECARS: [&str; 5] =
    ["export.json", "export.json.sig", "export.json.sigstore.json", "provenance.json", "provenance.sigstore.json"];

/// The tar and the folder that holds what lies beside it.
#[derive(Debug)]
pub(crate) struct Layout {
    tar: PathBuf,
    folder: PathBuf,
}

impl Layout {
    pub(crate) fn find(path: &Path) -> Result<Self, VerifyError> {
        let absent = || VerifyError::NotFound(path.to_owned());
        let (tar, folder) = if path.is_dir() {
            (path.join("bundle.tar"), path.to_owned())
        } else {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            (path.to_owned(), parent.unwrap_or_else(|| Path::new(".")).to_owned())
        };
        if tar.is_file() { Ok(Self { tar, folder }) } else { Err(absent()) }
    }

    /// Opens the tar.
    pub(crate) fn open(&self) -> Result<File, VerifyError> {
        File::open(&self.tar).map_err(|cause| VerifyError::Read { path: self.tar.clone(), cause })
    }

    /// A file beside the tar, `None` if there is none.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, VerifyError> {
        let path = self.folder.join(name);
        let failed = |cause| VerifyError::Read { path: path.clone(), cause };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(failed(cause)),
        };
        let mut bytes = Vec::new();
        file.take(MAX_SIDECAR + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > MAX_SIDECAR {
            return Err(VerifyError::Malformed(format!("{name} is larger than {MAX_SIDECAR} bytes")));
        }
        Ok(Some(bytes))
    }

    /// Which of the known files are there.
    pub(crate) fn present(&self) -> Vec<String> {
        SIDECARS.iter().filter(|name| self.folder.join(name).is_file()).map(|name| (*name).to_owned()).collect()
    }
}
