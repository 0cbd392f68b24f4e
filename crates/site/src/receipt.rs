//! Receipts: what a site says it applied, for whoever made the bundles.

use std::fs;

use export_contract::Timestamp;
use serde_json::{Value, json};

use crate::apply::Applied;
use crate::error::{SiteError, Tried as _};
use crate::quarantine::numbered;
use crate::site::Site;

/// Predicate of a receipt.
pub const PREDICATE: &str = "urn:export-center:receipt:v1";

/// The in-toto statement of a receipt: its subject is the mirror that the site has now.
pub fn statement(applied: &Applied, at: Timestamp) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": "export.json", "digest": { "sha256": applied.mirror.hex() } }],
        "predicateType": PREDICATE,
        "predicate": { "appliedAt": at, "applied": applied },
    })
}

impl Site {
    /// Keeps a receipt, signed by whoever holds the site's key. They are numbered as they come.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_receipt(&self, applied: &Applied, signed: &[u8]) -> Result<(), SiteError> {
        let folder = self.folder.join("receipts");
        self.disk.make_folder(&folder).tried("make", &folder)?;
        let number = numbered(&folder)?.last().copied().unwrap_or(0) + 1;
        let short = applied.mirror.hex().get(..16).unwrap_or_default();
        let next = folder.join(".next");
        if next.is_file() {
            fs::remove_file(&next).tried("remove", &next)?;
        }
        self.disk.write(&next, signed).tried("write", &next)?;
        self.disk.sync(&next).tried("sync", &next)?;
        let path = folder.join(format!("{number:06}-{short}.sigstore.json"));
        self.disk.rename(&next, &path).tried("rename", &path)?;
        self.disk.sync(&folder).tried("sync", &folder)
    }

    /// Whether the mirror in use has a receipt: a call that was killed behind its switch has kept none.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn has_receipt(&self) -> Result<bool, SiteError> {
        let Some(current) = self.current()? else { return Ok(true) };
        let folder = self.folder.join("receipts");
        let Some(short) = current.digest.hex().get(..16) else { return Ok(true) };
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(cause) => return Err(SiteError::Io { act: "read", path: folder, cause }),
        };
        let named = |name: &std::ffi::OsStr| name.to_str().is_some_and(|name| name.contains(short));
        Ok(entries.flatten().any(|entry| named(&entry.file_name())))
    }
}
