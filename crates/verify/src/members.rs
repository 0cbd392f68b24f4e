//! Looking into a bundle without proving anything: whoever wants proof verifies first.

use std::io::{BufReader, Read};
use std::path::Path;

use export_canon::tar::{TarLimits, TarReader};
use export_contract::manifest::ExportManifest;

use crate::container::{BUNDLE, Container};
use crate::error::VerifyError;

/// Bytes read at a time.
const PIECE: usize = 256 << 10;

/// The files of a bundle in any container that can be read twice.
pub struct Members {
    container: Container<'static>,
    manifest: ExportManifest,
}

impl std::fmt::Debug for Members {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Members").field("profile", &self.manifest.profile).finish_non_exhaustive()
    }
}

impl Members {
    /// Opens the bundle in `path`, which may be all that [`verify`](crate::verify) takes.
    ///
    /// # Errors
    /// When there is none, or its `export.json` cannot be read.
    pub fn open(path: &Path) -> Result<Self, VerifyError> {
        let mut container = Container::open(path)?;
        let text = container.export_json()?;
        let manifest =
            serde_json::from_slice(&text.bytes).map_err(|cause| VerifyError::not_json("export.json", &cause))?;
        Ok(Self { container, manifest })
    }

    /// What `export.json` says.
    pub fn manifest(&self) -> &ExportManifest {
        &self.manifest
    }

    /// Gives the body of a file to `use_it`; `None` where the bundle does not hold it.
    ///
    /// # Errors
    /// When the bundle cannot be read.
    pub fn with<T>(&mut self, path: &str, use_it: impl FnOnce(&mut dyn Read) -> T) -> Result<Option<T>, VerifyError> {
        let reader = BufReader::with_capacity(PIECE, self.container.bundle()?);
        let mut archive = TarReader::new(reader, TarLimits::default());
        while let Some(mut entry) = archive.next_entry().map_err(|cause| VerifyError::archive(BUNDLE, cause))? {
            if entry.path() == path {
                return Ok(Some(use_it(&mut entry)));
            }
        }
        Ok(None)
    }
}
