//! `export.json`: the signed manifest of a bundle, a pure function of the run's inputs (design D2).

use serde::{Deserialize, Serialize};

use crate::encryption::ManifestEncryption;
use crate::message::{AdapterRef, PolicySnapshotRef};
use crate::profile::{DistributionKind, Frames};
use crate::selectors::Selectors;
use crate::{Digest, RecordKind, Sequence, TenantId, Timestamp};

/// The value of [`ExportManifest::schema`].
pub const SCHEMA: &str = "urn:export-center:manifest";
/// The value of [`ExportManifest::version`] that this build writes; readers take any `1.x`.
pub const VERSION: &str = "1.0";
/// Path of the manifest inside a bundle.
pub const PATH: &str = "manifests/export.json";
/// Path of the new mirror's manifest inside a delta.
pub const TARGET_PATH: &str = "manifests/target/export.json";
/// Path of what a delta does, file by file.
pub const DIFF_PATH: &str = "manifests/manifest.diff.json";
/// Path of what a delta takes away.
pub const TOMBSTONES_PATH: &str = "data/tombstones.jsonl.zst";

/// The manifest. Written as RFC 8785 canonical JSON; holds no run id and no wall-clock time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportManifest {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// `major.minor`; a reader refuses another major.
    pub version: String,
    /// Whose evidence.
    pub tenant: TenantId,
    /// Which profile revision.
    pub profile: ManifestProfile,
    /// What was selected.
    pub selectors: Selectors,
    /// Newest observation of the ledger at the watermark; absent when it was empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
    /// Until when the profile calls this fresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh_until: Option<Timestamp>,
    /// Every source of the ledger, exported or not, sorted by kind and name (design D11).
    pub sources: Vec<ManifestSource>,
    /// The policy snapshot inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_snapshot: Option<PolicySnapshotRef>,
    /// What wrote the contents.
    pub adapter: AdapterRef,
    /// How `.zst` files are compressed.
    pub compression: ManifestCompression,
    /// How and which files are encrypted in the tar; everything else here is about the plain ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<ManifestEncryption>,
    /// Every other file of the bundle, sorted by path.
    pub contents: Vec<ManifestContent>,
    /// The planned ways of handing over.
    pub distribution: Vec<DistributionKind>,
    /// What a delta builds upon, and what it leads to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta: Option<ManifestDelta>,
    /// sha256 of the sorted content digests joined by newline.
    pub rerun_hash: Digest,
}

/// The place of a delta in the chain of mirrors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestDelta {
    /// The hex digits of `base_manifest_digest`: an export is named by its contents, never by a run (design D2). Empty with `reset_baseline`.
    pub base_export_id: String,
    /// Digest of the base's `export.json`; absent with `reset_baseline`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_manifest_digest: Option<Digest>,
    /// Digest of the new mirror's `export.json`, which lies at [`TARGET_PATH`].
    pub target_manifest_digest: Digest,
    /// Whether the delta holds the new mirror whole and builds upon nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reset_baseline: bool,
    /// Files that the base does not have, sorted.
    pub added: Vec<String>,
    /// Files that are other ones in the base, sorted.
    pub changed: Vec<String>,
    /// Files that only the base has, sorted.
    pub removed: Vec<String>,
    /// Lines of [`TOMBSTONES_PATH`]: at least one for each file in `removed`.
    pub tombstones: u64,
}

/// The profile in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestProfile {
    /// `json`, `trivy` or `mirror`.
    pub kind: String,
    /// `raw`, `policy`, `db`, `java-db`, `full` or `delta`.
    pub variant: String,
    /// Its name.
    pub name: String,
    /// `r1` and so on.
    pub revision: String,
    /// Digest of the canonical text of its configuration.
    pub config_digest: Digest,
}

/// A source in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestSource {
    /// Whose records, where the bundle has evidence of several tenants; absent means the manifest's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// Publisher or pack.
    pub name: String,
    /// Kind of its records.
    pub kind: RecordKind,
    /// The ledger position that was read.
    pub watermark: Sequence,
    /// Records exported.
    pub records: u64,
    /// Whether and how it is in the bundle.
    pub state: SourceState,
}

/// Whether a source is in the bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceState {
    /// Everything that was selected is there.
    Complete,
    /// The source was looked at and had nothing for these selectors.
    Empty,
    /// Profile or selectors leave the source out.
    Excluded,
    /// The source could not be read to its end.
    Failed,
}

/// Compression in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestCompression {
    /// `zstd`.
    pub codec: String,
    /// Level.
    pub level: i32,
    /// One frame or many; readers that stop at the first frame need `single` (design D14).
    pub frames: Frames,
}

/// A file in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestContent {
    /// Path inside the bundle.
    pub path: String,
    /// Digest of the file.
    pub digest: Digest,
    /// Its bytes.
    pub bytes: u64,
    /// Media type.
    pub content_type: String,
    /// Records inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
    /// Plain bytes inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain_bytes: Option<u64>,
    /// zstd frames inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<u64>,
}
