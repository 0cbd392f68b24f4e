//! What a delta says of itself: `manifests/manifest.diff.json`.

use std::collections::BTreeSet;

use export_contract::Digest;
use export_contract::manifest::{DIFF_PATH, ManifestDelta};
use export_contract::message::{Difference, FileChange};
use serde::{Deserialize, Serialize};

use crate::document::{self, Document};
use crate::error::MirrorError;
use crate::layout;

/// The value of [`DeltaManifest::schema`].
pub const SCHEMA: &str = "urn:export-center:delta";
/// The value of [`DeltaManifest::version`] that this build writes; readers take any `1.x`.
pub const VERSION: &str = "1.0";

/// How a base becomes the new mirror, file by file. What is neither listed nor removed is taken over as it is. Written as RFC 8785
/// canonical JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeltaManifest {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// `major.minor`.
    pub version: String,
    /// As in `export.json`; empty with `reset_baseline`.
    pub base_export_id: String,
    /// Digest of the base's `export.json`; absent with `reset_baseline`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_manifest_digest: Option<Digest>,
    /// Whether what was there before is dropped: the delta holds the new mirror whole.
    pub reset_baseline: bool,
    /// How many of each there are.
    pub counts: Counts,
    /// Files that are added or changed, sorted by path.
    pub files: Vec<FileChange>,
    /// Files that are gone, sorted.
    pub removed: Vec<String>,
}

/// Counts of a delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Files that the base does not have.
    pub files_added: u64,
    /// Files that are other ones in the base.
    pub files_changed: u64,
    /// Files that only the base has.
    pub files_removed: u64,
    /// Records that are new or other ones.
    pub records_put: u64,
    /// Records and files that are gone.
    pub tombstones: u64,
}

impl Document for DeltaManifest {
    const SCHEMA: &'static str = SCHEMA;

    fn says(&self) -> (&str, &str) {
        (&self.schema, &self.version)
    }
}

impl DeltaManifest {
    /// The manifest of a delta that does `difference` to the base whose `export.json` has this digest.
    pub fn new(base: Option<&Digest>, difference: &Difference) -> Self {
        let count = |list: &[String]| list.len() as u64;
        Self {
            schema: SCHEMA.to_owned(),
            version: VERSION.to_owned(),
            base_export_id: base.map(|digest| digest.hex().to_owned()).unwrap_or_default(),
            base_manifest_digest: base.cloned(),
            reset_baseline: base.is_none(),
            counts: Counts {
                files_added: count(&difference.added),
                files_changed: count(&difference.changed),
                files_removed: count(&difference.removed),
                records_put: difference.records_put,
                tombstones: difference.tombstones,
            },
            files: difference.files.clone(),
            removed: difference.removed.clone(),
        }
    }

    /// Reads the manifest and compares it with what `export.json` says of the delta.
    ///
    /// # Errors
    /// When it is none, of a later major version, or at odds with itself or with `export.json`.
    pub fn read(text: &[u8], delta: &ManifestDelta) -> Result<Self, MirrorError> {
        let manifest: Self = document::read(DIFF_PATH, text)?;
        manifest.check(delta)?;
        Ok(manifest)
    }

    fn check(&self, delta: &ManifestDelta) -> Result<(), MirrorError> {
        let rule = |rule| Err(MirrorError::rule(DIFF_PATH, rule));
        if self.base_manifest_digest != delta.base_manifest_digest
            || self.reset_baseline != delta.reset_baseline
            || self.reset_baseline != self.base_manifest_digest.is_none()
            || self.removed != delta.removed
        {
            return rule("it is at odds with export.json");
        }
        if !self.files.is_sorted_by(|before, after| before.path < after.path) {
            return rule("its files are not sorted by path, each path once");
        }
        let listed: BTreeSet<&String> = delta.added.iter().chain(&delta.changed).collect();
        if !self.files.iter().map(|file| &file.path).eq(listed) {
            return rule("its files are not those that export.json calls added and changed");
        }
        let merged = self.files.iter().filter(|file| file.merge);
        for file in merged {
            if delta.changed.binary_search(&file.path).is_err() || layout::index_of(&file.path).is_none() {
                return rule("it merges lines into a file that has none");
            }
        }
        Ok(())
    }
}
