//! The folder, its lock, and what is in it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use export_canon::digesting::sha256;
use export_contract::manifest::{ExportManifest, PATH};
use export_contract::{Digest, Sequence};

use crate::disk::Disk;
use crate::error::{SiteError, Tried as _};

/// A site that nobody else changes while this is held.
#[derive(Debug)]
pub struct Site {
    pub(crate) folder: PathBuf,
    pub(crate) disk: Disk,
    _lock: File,
}

/// A mirror in a site.
#[derive(Clone, Debug)]
pub struct State {
    /// Its folder, which `exportctl bundle verify` takes.
    pub folder: PathBuf,
    /// Digest of its `export.json`.
    pub digest: Digest,
    /// What `export.json` says.
    pub manifest: ExportManifest,
}

impl State {
    /// Reads the mirror in `folder`; nothing is verified.
    pub(crate) fn read(folder: &Path) -> Result<Self, SiteError> {
        let path = folder.join("tree").join(PATH);
        let text = fs::read(&path).tried("read", &path)?;
        let manifest =
            serde_json::from_slice(&text).map_err(|cause| SiteError::Document { path: path.clone(), cause })?;
        Ok(Self { folder: folder.to_owned(), digest: Digest::from_bytes(*sha256(&text).as_bytes()), manifest })
    }

    /// The ledger position that it was made at.
    pub fn watermark(&self) -> Sequence {
        watermark(&self.manifest)
    }

    /// The state that it took the place of.
    pub(crate) fn came_from(&self) -> Option<String> {
        let hex = fs::read_to_string(self.folder.join(CAME_FROM)).ok()?;
        (hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(hex)
    }
}

/// File that names the state before.
pub(crate) const CAME_FROM: &str = "came-from";

/// All sources of a run are read at one position.
pub(crate) fn watermark(manifest: &ExportManifest) -> Sequence {
    manifest.sources.iter().map(|source| source.watermark).max().unwrap_or_default()
}

impl Site {
    /// Opens a site, making it where there is none, waits until nobody else is at it, and removes what an interrupted call left.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn open(folder: &Path, disk: Disk) -> Result<Self, SiteError> {
        disk.make_folder(&folder.join("states")).tried("make", folder)?;
        let path = folder.join(".lock");
        let lock = File::options().create(true).append(true).open(&path).tried("open", &path)?;
        lock.lock().tried("lock", &path)?;
        let site = Self { folder: folder.to_owned(), disk, _lock: lock };
        site.disk.remove_folder(&site.incoming()).tried("remove", &site.incoming())?;
        Ok(site)
    }

    /// The mirror that is in use, where there is one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn current(&self) -> Result<Option<State>, SiteError> {
        let link = self.folder.join("current");
        match fs::read_link(&link) {
            Ok(target) => State::read(&self.folder.join(target)).map(Some),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(SiteError::Io { act: "read", path: link, cause }),
        }
    }

    pub(crate) fn incoming(&self) -> PathBuf {
        self.folder.join(".incoming")
    }

    pub(crate) fn state_folder(&self, hex: &str) -> PathBuf {
        self.folder.join("states").join(hex)
    }

    /// Makes `state` the one in use: the one moment at which the site changes.
    pub(crate) fn switch_to(&self, hex: &str) -> Result<(), SiteError> {
        let link = self.folder.join("current");
        self.disk.switch(&link, &Path::new("states").join(hex)).tried("switch", &link)
    }

    /// Removes every state but the one in use and the one before it.
    pub(crate) fn sweep(&self) -> Result<(), SiteError> {
        let Some(current) = self.current()? else { return Ok(()) };
        let kept = [Some(current.digest.hex().to_owned()), current.came_from()];
        let states = self.folder.join("states");
        for entry in fs::read_dir(&states).tried("read", &states)? {
            let entry = entry.tried("read", &states)?;
            let name = entry.file_name();
            if kept.iter().flatten().all(|hex| name.to_str() != Some(hex)) {
                self.disk.remove_folder(&entry.path()).tried("remove", &entry.path())?;
            }
        }
        Ok(())
    }
}
