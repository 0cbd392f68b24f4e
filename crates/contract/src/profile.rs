//! Profiles: what kind of bundle a tenant wants, in numbered revisions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::encryption::{Encryption, EncryptionScope};
use crate::{ProfileId, RecordKind, TenantId, Timestamp, Version};

/// The six bundles of the specification: kind and variant in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ProfileKind {
    /// Canonical JSON lines of raw evidence.
    #[serde(rename = "json:raw")]
    JsonRaw,
    /// The same with a policy snapshot and evaluated findings.
    #[serde(rename = "json:policy")]
    JsonPolicy,
    /// The vulnerability database that Trivy loads.
    #[serde(rename = "trivy:db")]
    TrivyDb,
    /// The Java index that Trivy loads.
    #[serde(rename = "trivy:java-db")]
    TrivyJavaDb,
    /// A self-contained mirror.
    #[serde(rename = "mirror:full")]
    MirrorFull,
    /// What changed against a base export.
    #[serde(rename = "mirror:delta")]
    MirrorDelta,
}

impl ProfileKind {
    /// Every kind, in the order of the specification. Each tenant has one built-in profile of each.
    pub const ALL: [Self; 6] =
        [Self::JsonRaw, Self::JsonPolicy, Self::TrivyDb, Self::TrivyJavaDb, Self::MirrorFull, Self::MirrorDelta];

    /// `json:raw` and so on.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JsonRaw => "json:raw",
            Self::JsonPolicy => "json:policy",
            Self::TrivyDb => "trivy:db",
            Self::TrivyJavaDb => "trivy:java-db",
            Self::MirrorFull => "mirror:full",
            Self::MirrorDelta => "mirror:delta",
        }
    }

    /// `json`, `trivy` or `mirror`.
    pub fn family(self) -> &'static str {
        self.as_str().split_once(':').map_or("", |(family, _)| family)
    }

    /// `raw`, `policy`, `db`, `java-db`, `full` or `delta`.
    pub fn variant(self) -> &'static str {
        self.as_str().split_once(':').map_or("", |(_, variant)| variant)
    }

    /// The kinds of records that such a bundle is made of.
    pub fn record_kinds(self) -> BTreeSet<RecordKind> {
        match self {
            Self::TrivyDb => BTreeSet::from([RecordKind::Advisory]),
            Self::TrivyJavaDb => BTreeSet::from([RecordKind::Sbom]),
            Self::JsonRaw | Self::JsonPolicy | Self::MirrorFull | Self::MirrorDelta => {
                RecordKind::ALL.into_iter().collect()
            }
        }
    }

    /// Whether such a bundle can hold a policy snapshot with its findings.
    pub fn takes_policy_snapshot(self) -> bool {
        match self {
            Self::JsonPolicy | Self::MirrorFull | Self::MirrorDelta => true,
            Self::JsonRaw | Self::TrivyDb | Self::TrivyJavaDb => false,
        }
    }

    /// The schema version of the database that such a bundle holds, where it holds one.
    pub fn schema_version(self) -> Option<u32> {
        match self {
            Self::TrivyDb => Some(2),
            Self::TrivyJavaDb => Some(1),
            Self::JsonRaw | Self::JsonPolicy | Self::MirrorFull | Self::MirrorDelta => None,
        }
    }

    /// The id of the built-in profile: `json-raw` and so on.
    ///
    /// # Panics
    /// Never: every name above is a slug, which a test asserts.
    pub fn built_in_id(self) -> ProfileId {
        #[expect(clippy::expect_used, reason = "the six names are constants, checked by a test")]
        self.as_str().parse().expect("built-in names are slugs")
    }
}

impl fmt::Display for ProfileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a finished bundle is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DistributionKind {
    /// The gateway's download endpoint.
    Http,
    /// An OCI registry.
    Oci,
    /// Object storage.
    Object,
    /// A folder that others read, such as a mounted share.
    Directory,
}

impl DistributionKind {
    /// Every way.
    pub const ALL: [Self; 4] = [Self::Http, Self::Oci, Self::Object, Self::Directory];

    /// `http`, `oci`, `object` or `directory`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Oci => "oci",
            Self::Object => "object",
            Self::Directory => "directory",
        }
    }
}

/// How the lines of a bundle are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "lowercase")]
pub enum Frames {
    /// Many independent zstd frames with a seek table: parallel, resumable, seekable.
    #[default]
    Multi,
    /// One frame, for readers that stop at the first (design D14).
    Single,
}

/// Compression of `.jsonl.zst` files. The codec is always zstd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Compression {
    /// zstd level, 1 to 22.
    #[schemars(range(min = 1, max = 22))]
    pub level: i32,
    /// One frame or many.
    pub frames: Frames,
    /// Plain bytes at which a frame closes, at the end of a record; 64 KiB to 64 MiB.
    #[schemars(range(min = 65_536, max = 67_108_864))]
    pub chunk_bytes: u32,
}

impl Default for Compression {
    fn default() -> Self {
        Self { level: 3, frames: Frames::Multi, chunk_bytes: 4 << 20 }
    }
}

/// Whether a run needs a policy snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PolicySnapshotMode {
    /// A run without one fails in plan.
    Required,
    /// Taken when there is one.
    Optional,
    /// Never taken.
    None,
}

/// The configuration of a profile revision: everything that can change a bundle's bytes. Never edited in place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct ProfileConfig {
    /// The record kinds to export.
    #[schemars(length(min = 1))]
    pub include: BTreeSet<RecordKind>,
    /// How lines are compressed.
    pub compression: Compression,
    /// How the bundle is handed over.
    #[schemars(length(min = 1))]
    pub distribution: BTreeSet<DistributionKind>,
    /// Whether a run that selects nothing succeeds (design D11).
    pub allow_empty: bool,
    /// Records of one part; the cut depends on data alone, so that bytes do not depend on workers. 1 to 100,000.
    #[schemars(range(min = 1, max = 100_000))]
    pub partition_records: u32,
    /// Whether a policy snapshot is taken.
    pub policy_snapshot_mode: PolicySnapshotMode,
    /// How the SBOMs of a mirror lie in it; other kinds do not look at it.
    #[serde(skip_serializing_if = "is_default_sboms")]
    pub mirror_sboms: MirrorSboms,
    /// The schema of the database that the profile's consumers read; a run fails in plan where another one would be made. Only
    /// `trivy:db` (2) and `trivy:java-db` (1) have one; absent takes what is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema_version: Option<u32>,
    /// Whether a database comes with `trivy/summary.json`: packages by ecosystem, vulnerabilities by severity.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub package_summary: bool,
    /// Whether the provenance is signed. Without, a run has `provenance.json` and no `provenance.sigstore.json`, and a verifier that
    /// requires an attestation refuses its bundle.
    #[serde(skip_serializing_if = "is_default_attestation")]
    pub attestation: bool,
    /// Days that distributions are kept; absent means for ever, unless `keepLast` is set. 1 to 3,650.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3_650))]
    pub retention_days: Option<u32>,
    /// Bundles of the profile that are kept, counted from the newest, whatever their age. Alone, older ones go when a newer one is
    /// made; with `retentionDays`, a bundle goes once both let go of it. 1 to 1,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000))]
    pub keep_last: Option<u32>,
    /// Whether object storage keeps what it is given locked until `retentionDays` are over, against whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_lock: Option<ObjectLock>,
    /// Host of the OCI registry, with its port, that bundles are pushed to; absent takes the deployment's first. Only registries that
    /// the deployment lists are taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[A-Za-z0-9.:\[\]-]+$"))]
    pub oci_registry: Option<String>,
    /// Hours behind `asOf` for which a bundle calls itself fresh; a verifier refuses it later. Absent makes no such promise. 1 to 87,600.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 87_600))]
    pub fresh_for_hours: Option<u32>,
    /// Whether a run that finds nothing changed since an earlier one of the profile confirms that one's bundle in a small signed
    /// statement, which extends its freshness, instead of making the same bundle again. Needs `freshForHours`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub refresh_when_unchanged: bool,
    /// What the provenance tells of the builder.
    #[serde(skip_serializing_if = "is_default_provenance")]
    pub provenance: ProvenanceDetail,
    /// Whether and how the files are encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
}

/// How SBOMs lie in a mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "lowercase")]
pub enum MirrorSboms {
    /// Each document is a file of its own, by subject; at most 50,000.
    #[default]
    Documents,
    /// As lines of one file, like advisories; however many.
    Lines,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_default_sboms(sboms: &MirrorSboms) -> bool {
    *sboms == MirrorSboms::default()
}

/// Object Lock (S3): against whom an object is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ObjectLock {
    /// Whoever has the right to bypass governance may delete it earlier.
    Governance,
    /// Nobody may delete it earlier.
    Compliance,
}

/// What the provenance tells of the builder (design D28: fields, never a level as a claim about ourselves).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "lowercase")]
pub enum ProvenanceDetail {
    /// What SLSA level 2 asks for.
    #[default]
    Standard,
    /// And what a verifier of SLSA level 3 wants to see: the builder's own id, the builder's program by digest, the by-products. The
    /// deployment must name its builder (`signing.builder_id`), else a run fails when it is signed.
    Full,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_default_provenance(detail: &ProvenanceDetail) -> bool {
    *detail == ProvenanceDetail::default()
}

/// The digest of a configuration from before there was the member stays what it was.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_default_attestation(attestation: &bool) -> bool {
    *attestation
}

impl Default for ProfileConfig {
    fn default() -> Self {
        Self {
            include: RecordKind::ALL.into_iter().collect(),
            compression: Compression::default(),
            distribution: BTreeSet::from([DistributionKind::Http]),
            allow_empty: false,
            partition_records: 4_096,
            policy_snapshot_mode: PolicySnapshotMode::None,
            mirror_sboms: MirrorSboms::Documents,
            schema_version: None,
            package_summary: false,
            attestation: true,
            retention_days: None,
            keep_last: None,
            object_lock: None,
            oci_registry: None,
            fresh_for_hours: None,
            refresh_when_unchanged: false,
            provenance: ProvenanceDetail::Standard,
            encryption: None,
        }
    }
}

/// Why a profile was refused; `path` names the member, such as `config.compression.level`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct ProfileError {
    /// The member at fault.
    pub path: String,
    /// What is wrong with it and what would be right.
    pub problem: String,
}

impl ProfileConfig {
    /// Checks every limit that the members' documentation states.
    ///
    /// # Errors
    /// All faults at once.
    pub fn check(&self) -> Result<(), Vec<ProfileError>> {
        let mut faults = Vec::new();
        let mut expect = |good: bool, path: &str, problem: &str| {
            if !good {
                faults.push(ProfileError { path: format!("config.{path}"), problem: problem.to_owned() });
            }
        };
        expect(!self.include.is_empty(), "include", "name at least one of advisory, vex, sbom");
        expect((1..=22).contains(&self.compression.level), "compression.level", "use 1 to 22");
        expect(
            ((64 << 10)..=(64 << 20)).contains(&self.compression.chunk_bytes),
            "compression.chunkBytes",
            "use 65536 to 67108864",
        );
        expect(!self.distribution.is_empty(), "distribution", "name at least one of http, oci, object, directory");
        expect((1..=100_000).contains(&self.partition_records), "partitionRecords", "use 1 to 100000");
        expect(self.retention_days.is_none_or(|days| (1..=3_650).contains(&days)), "retentionDays", "use 1 to 3650");
        expect(self.keep_last.is_none_or(|runs| (1..=1_000).contains(&runs)), "keepLast", "use 1 to 1000");
        expect(
            self.object_lock.is_none()
                || self.retention_days.is_some() && self.distribution.contains(&DistributionKind::Object),
            "objectLock",
            "set retentionDays too, and name object in distribution",
        );
        expect(
            self.oci_registry.as_ref().is_none_or(|host| {
                self.distribution.contains(&DistributionKind::Oci)
                    && (1..=255).contains(&host.len())
                    && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:-[]".contains(&byte))
            }),
            "ociRegistry",
            "use a host such as registry.example:5000, and name oci in distribution",
        );
        expect(
            self.fresh_for_hours.is_none_or(|hours| (1..=87_600).contains(&hours)),
            "freshForHours",
            "use 1 to 87600",
        );
        expect(
            !self.refresh_when_unchanged || self.fresh_for_hours.is_some(),
            "refreshWhenUnchanged",
            "set freshForHours too, which is what a refresh extends",
        );
        if let Some(encryption) = &self.encryption {
            // Only signed provenance says which encrypted bytes are the right ones.
            expect(self.attestation, "attestation", "use true: encryption needs provenance that is signed");
            for (path, problem) in encryption.faults() {
                expect(false, &format!("encryption.{path}"), problem);
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// Checks what only some kinds of bundle can do.
    ///
    /// # Errors
    /// All faults at once.
    pub fn check_for(&self, kind: ProfileKind) -> Result<(), Vec<ProfileError>> {
        let Some(encryption) = &self.encryption else { return Ok(()) };
        let mut faults = Vec::new();
        let mut expect = |good: bool, path: &str, problem: &str| {
            if !good {
                faults.push(ProfileError { path: format!("config.{path}"), problem: problem.to_owned() });
            }
        };
        if kind.family() == "trivy" {
            let data = encryption.scope == Some(EncryptionScope::Data);
            expect(!data, "encryption.scope", "use payload: a database does not lie under data/");
            let oci = self.distribution.contains(&DistributionKind::Oci);
            expect(
                !oci,
                "distribution",
                "leave out oci: Trivy pulls its database in the clear, so it cannot be encrypted",
            );
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// Until when a bundle is fresh that nothing is newer than at `at`. None without `freshForHours`, and behind the last time that
    /// can be written.
    pub fn fresh_until(&self, at: Timestamp) -> Option<Timestamp> {
        let until = at.as_micros().checked_add(i64::from(self.fresh_for_hours?) * 3_600_000_000)?;
        Timestamp::from_micros(until).ok()
    }
}

/// One revision of a profile. A change of `config` makes the next revision; a change of the rest does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    /// Schema version of this document.
    pub v: Version<1>,
    /// Id, unique per tenant.
    pub id: ProfileId,
    /// Whose profile it is.
    pub tenant: TenantId,
    /// Name for people, 1 to 128 characters.
    pub name: String,
    /// Which bundle it makes.
    pub kind: ProfileKind,
    /// 1 at first; a change of `config` adds one.
    pub revision: u32,
    /// What can change the bytes.
    pub config: ProfileConfig,
    /// Free text for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Free labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Who made this revision.
    pub created_by: String,
    /// When this revision was made.
    pub created_at: Timestamp,
}

impl Profile {
    /// The built-in profile of `kind` for `tenant`.
    #[must_use]
    pub fn built_in(tenant: TenantId, kind: ProfileKind, created_at: Timestamp) -> Self {
        let policy_snapshot_mode = match kind {
            ProfileKind::JsonPolicy => PolicySnapshotMode::Required,
            ProfileKind::MirrorFull | ProfileKind::MirrorDelta => PolicySnapshotMode::Optional,
            ProfileKind::JsonRaw | ProfileKind::TrivyDb | ProfileKind::TrivyJavaDb => PolicySnapshotMode::None,
        };
        Self {
            v: Version,
            id: kind.built_in_id(),
            tenant,
            name: kind.as_str().to_owned(),
            kind,
            revision: 1,
            config: ProfileConfig { policy_snapshot_mode, include: kind.record_kinds(), ..ProfileConfig::default() },
            description: String::new(),
            labels: BTreeMap::new(),
            created_by: "system".to_owned(),
            created_at,
        }
    }
}

mod schema;
#[cfg(test)]
mod tests;

pub use schema::{CROSS_RULES, CrossRule, config_schema};
