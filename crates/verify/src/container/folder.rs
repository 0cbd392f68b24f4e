//! A folder as `bundle download` writes it. What else lies there is not looked at.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::tree::Tree;
use super::{BUNDLE, plain_file, regular, whole};
use crate::error::{Problem, VerifyError};

/// The tar under a name that says it is compressed.
const COMPRESSED: &str = "bundle.tar.zst";
/// The folder that stands in place of the tar where a mirror is kept unpacked.
const UNPACKED: &str = "tree";

/// A folder, and which file in it is the tar.
pub(crate) struct Folder {
    bundle: PathBuf,
    folder: PathBuf,
}

impl Folder {
    /// A folder with a tar of the usual name, compressed or not.
    pub(super) fn of(folder: &Path) -> Self {
        let (plain, compressed) = (folder.join(BUNDLE), folder.join(COMPRESSED));
        let bundle = if !plain.exists() && compressed.is_file() { compressed } else { plain };
        Self { bundle, folder: folder.to_owned() }
    }

    /// The folder around a tar of any name.
    pub(super) fn around(bundle: &Path) -> Self {
        let folder = bundle.parent().map(Path::to_owned).unwrap_or_default();
        Self { bundle: bundle.to_owned(), folder }
    }

    /// The unpacked files, where there is no tar.
    fn tree(&self) -> Option<PathBuf> {
        let tree = self.folder.join(UNPACKED);
        (!self.bundle.exists() && tree.is_dir()).then_some(tree)
    }

    pub(super) fn bundle(&self) -> Result<Box<dyn Read>, VerifyError> {
        if let Some(tree) = self.tree() {
            return Ok(Box::new(Tree::walk(&tree)?.into_tar()?));
        }
        // Whoever unpacks a `.tar` expects a tar, so one that is compressed must not pass under that name.
        if self.bundle.extension().is_some_and(|extension| extension == "tar") {
            let (file, _) =
                regular(&self.bundle, BUNDLE)?.ok_or_else(|| VerifyError::FileMissing(BUNDLE.to_owned()))?;
            return Ok(Box::new(file));
        }
        plain_file(&self.bundle, BUNDLE)
    }

    pub(super) fn bundle_bytes(&self) -> Result<u64, VerifyError> {
        if let Some(tree) = self.tree() {
            return Tree::walk(&tree)?.tar_bytes();
        }
        let found = regular(&self.bundle, BUNDLE)?;
        found.map(|(_, bytes)| bytes).ok_or_else(|| VerifyError::FileMissing(BUNDLE.to_owned()))
    }

    pub(super) fn beside(&self, name: &'static str, limit: u64) -> Result<Option<Vec<u8>>, VerifyError> {
        let path = self.folder.join(name);
        let Some((file, bytes)) = regular(&path, name)? else { return Ok(None) };
        // One byte more than is accepted: the length that the file system tells may be out of date.
        let bytes_read = whole(file, limit + 1, &path)?;
        let bytes = bytes.max(bytes_read.len() as u64);
        if bytes > limit {
            return Err(VerifyError::malformed(name, Problem::TooLarge { bytes, limit }));
        }
        Ok(Some(bytes_read))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.folder.join(name).is_file()
    }
}
