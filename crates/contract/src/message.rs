//! The pipeline on one page.
//!
//! ```text
//! RunAdmitted ─plan→ RunPlanned ─resolve→ PartsResolved ─adapt (each part)→ PartAdapted
//!                                                       └─join, assemble→ RunAdapted
//! RunAdapted ─manifest→ ManifestWritten ─sign→ RunSigned ─distribute→ RunDistributed
//! ```
//!
//! A stage takes the result of the stage before and gives its own. Results lie in staging as *result records*;
//! the log carries only [`StageEvent`]s, which name a result record and its digest. A stage's `done` event is
//! the next stage's command, so each hop is one publish (design section 4).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::encryption::Encrypted;
use crate::profile::{DistributionKind, Profile, ProfileKind};
use crate::refresh::{PreviousRun, Refresh};
use crate::run::{RunOptions, RunRef};
use crate::selectors::Selectors;
use crate::{Digest, ErrorCode, PartIndex, RecordKey, RecordKind, Sequence, TenantId, Timestamp, TraceParent, Version};

/// What a message on the log says: a step of a run is committed.
///
/// Run, generation and step are in the subject, so that the broker can filter and fence on them; they are
/// repeated here so that a message can be read alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageEvent {
    /// Schema version.
    pub v: Version<1>,
    /// Which run and generation.
    pub run: RunRef,
    /// What happened.
    pub outcome: Outcome,
    /// When it was published; for people only, nothing is decided on it.
    pub at: Timestamp,
}

/// What happened to a run or one of its stages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "type")]
pub enum Outcome {
    /// The gateway wrote a pending run; a hint for the orchestrator to look.
    Requested,
    /// The orchestrator gave the run a slot; the command of plan.
    Admitted {
        /// The [`RunAdmitted`] record.
        result: ResultRef,
    },
    /// A stage, or one part of it, is done; the command of the next stage.
    Done {
        /// The record that the stage wrote.
        result: ResultRef,
        /// The part, where the event is of a part.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        part: Option<PartIndex>,
        /// How many parts the run has, where the event is of a part or of resolve.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parts: Option<u32>,
        /// What the recorder needs to know without opening the record.
        #[serde(default)]
        summary: Summary,
    },
    /// Every part is written; the command of assemble.
    Joined {
        /// The [`PartsResolved`] record.
        result: ResultRef,
    },
    /// A stage gave up; the run fails.
    Failed {
        /// Why.
        code: ErrorCode,
        /// The same for people; names no secret.
        message: String,
    },
    /// The run was cancelled.
    Cancelled {
        /// By whom.
        by: String,
    },
}

/// Counts that go with a `done` event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// Records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// A result record in staging: its key and the digest of its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultRef {
    /// Staging key.
    pub key: String,
    /// Digest of the record.
    pub digest: Digest,
}

/// A staged artefact of a run, named by its content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Artefact {
    /// Digest of the bytes.
    pub digest: Digest,
    /// How many.
    pub bytes: u64,
}

/// Written by the orchestrator at admission: everything that was decided at submit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunAdmitted {
    /// Schema version.
    pub v: Version<1>,
    /// Which run.
    pub run: RunRef,
    /// The profile revision, whole.
    pub profile: Profile,
    /// Absolute selectors.
    pub selectors: Selectors,
    /// Other choices.
    pub options: RunOptions,
    /// Who asked, when, and under which correlation id; goes into provenance only.
    pub request: RunRequest,
    /// The run that a delta builds upon, found in the run ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<BaseRun>,
    /// The run whose bundle may do for this one, where the profile asks for that and there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousRun>,
}

/// A finished mirror that a delta builds upon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BaseRun {
    /// The run that made it, full or delta.
    pub run: RunRef,
    /// Digest of the `export.json` of the mirror that a consumer has then: of the bundle itself for a full one, of its target for a delta.
    pub state_digest: Digest,
}

/// Who asked for a run. Never reaches the bundle (design D2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRequest {
    /// The token's subject.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// When the run was admitted: `startedOn` of the provenance.
    pub admitted_at: Timestamp,
    /// Follows the request through logs.
    pub correlation_id: String,
    /// What the spans of the run hang below; absent in records from before there was the member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<TraceParent>,
}

/// Written by plan: the run with everything pinned that its bytes depend on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunPlanned {
    /// Schema version.
    pub v: Version<1>,
    /// Which run.
    pub run: RunRef,
    /// The profile revision, whole.
    pub profile: Profile,
    /// Digest of the canonical text of the profile's configuration.
    pub config_digest: Digest,
    /// Absolute selectors; `kinds` holds the kinds to export and is never empty.
    pub selectors: Selectors,
    /// The ledger position that the run reads at.
    pub watermark: Sequence,
    /// Greatest `observed_at` at the watermark; absent when the ledger is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
    /// Every source that the ledger knows at the watermark, sorted by kind and name. Empty where `tenants` is not.
    pub sources: Vec<LedgerSource>,
    /// Whose evidence is read, in this order, where an approval lets the run read that of other tenants; empty means the run's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<TenantRead>,
    /// The policy snapshot, where the profile takes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_snapshot: Option<PolicySnapshotRef>,
    /// What a delta builds upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<BaseExport>,
    /// The adapter that will write.
    pub adapter: AdapterRef,
    /// Who asked; for provenance.
    pub request: RunRequest,
    /// The bundle that this run confirms, because nothing changed since it was made. Such a run has no parts and makes no bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Refresh>,
}

impl RunPlanned {
    /// The ledger that is read for `tenant`, which parts name, and its position: the run's own where they name none.
    pub fn ledger<'a>(&'a self, tenant: Option<&'a TenantId>) -> (&'a TenantId, Sequence) {
        let other = tenant.and_then(|named| self.tenants.iter().find(|read| read.tenant == *named));
        other.map_or((&self.run.tenant, self.watermark), |read| (&read.tenant, read.watermark))
    }

    /// The tenants that parts name: none, where only the run's own evidence is read.
    pub fn readings(&self) -> Vec<Option<TenantId>> {
        if self.tenants.is_empty() {
            vec![None]
        } else {
            self.tenants.iter().map(|read| Some(read.tenant.clone())).collect()
        }
    }

    /// The profile of the mirror that a consumer has in the end, and the digest of its configuration: the run's own for a full mirror, the
    /// base's for a delta, whatever else the delta's own profile says. A delta without a base leads to the mirror that its own profile would
    /// make.
    pub fn mirror_profile(&self) -> (Profile, Digest) {
        match &self.base {
            Some(base) => (base.profile.clone(), base.config_digest.clone()),
            None => (Profile { kind: ProfileKind::MirrorFull, ..self.profile.clone() }, self.config_digest.clone()),
        }
    }
}

/// The mirror that a delta builds upon, with all that the new mirror takes over from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BaseExport {
    /// The run that made it; its artefacts are compared with the new ones.
    pub run: RunRef,
    /// Digest of its `export.json`.
    pub manifest_digest: Digest,
    /// The profile that it was made for: the new mirror is one of this profile, too.
    pub profile: Profile,
    /// Digest of the canonical text of that profile's configuration.
    pub config_digest: Digest,
    /// Its record of what adapt wrote, in the staging of `run`.
    pub adapted: ResultRef,
}

/// The ledger of one of several tenants, as it is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantRead {
    /// Whose.
    pub tenant: TenantId,
    /// The position.
    pub watermark: Sequence,
    /// Every source that it knows there, sorted by kind and name.
    pub sources: Vec<LedgerSource>,
}

/// A source of the ledger and how many of its records are visible at the watermark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerSource {
    /// Kind of its records.
    pub kind: RecordKind,
    /// Publisher or pack.
    pub name: String,
    /// Visible records before selection.
    pub records: u64,
}

/// A policy snapshot by id and digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicySnapshotRef {
    /// Id at the policy engine.
    pub id: String,
    /// Digest of the snapshot's canonical text.
    pub digest: Digest,
    /// Version of the policy that was evaluated; empty where the engine does not say, and in records from before there was the
    /// member.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub policy_version: String,
    /// Fingerprint of what the policy was evaluated on, as the engine wrote it; empty where it did not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub inputs_hash: String,
    /// Fingerprint of the decision trace: as the engine wrote it, or `sha256:` and the digest of the trace's canonical text where the
    /// snapshot holds the trace itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision_trace: Option<String>,
    /// The findings that were there when it was pinned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub findings: Option<FindingsRef>,
}

impl PolicySnapshotRef {
    /// A snapshot of which only id and digest are known.
    pub fn new(id: String, digest: Digest) -> Self {
        Self {
            id,
            digest,
            policy_version: String::new(),
            inputs_hash: String::new(),
            decision_trace: None,
            findings: None,
        }
    }
}

/// All findings of a policy snapshot, by number and digest: a set whose findings were replaced is another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FindingsRef {
    /// How many.
    pub count: u64,
    /// SHA-256 over their export lines, each with its line feed, by subject, advisory and finding id.
    pub digest: Digest,
}

/// An adapter: the name of its profile kind and its own version, which rises whenever its bytes change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdapterRef {
    /// `json:raw` and so on.
    pub name: String,
    /// Rises whenever the same input gives other bytes.
    pub version: String,
}

/// Written by resolve: the parts, cut along the canonical order by data alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartsResolved {
    /// Schema version.
    pub v: Version<1>,
    /// The plan.
    pub plan: RunPlanned,
    /// The parts by index; kinds in bundle order, keys rising.
    pub parts: Vec<Part>,
}

/// A range of one kind's records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// Its number, which is also its place in the output.
    pub index: PartIndex,
    /// Whose records; absent means the run's own tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// Kind of its records.
    pub kind: RecordKind,
    /// First key inside.
    pub first: RecordKey,
    /// Last key inside.
    pub last: RecordKey,
    /// Records inside.
    pub records: u64,
}

/// Written by adapt for one part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartAdapted {
    /// Schema version.
    pub v: Version<1>,
    /// The part.
    pub part: PartIndex,
    /// Kind of its records.
    pub kind: RecordKind,
    /// Records written.
    pub records: u64,
    /// Canonical bytes written, before compression.
    pub plain_bytes: u64,
    /// What was written, in order.
    pub segments: Vec<Segment>,
    /// What was read, by source.
    pub inputs: Vec<InputRange>,
    /// Documents that are files of their own, in order of their keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<Document>,
}

/// A record whose document is a file of its own in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// Which record.
    pub key: RecordKey,
    /// The canonical text of the document.
    pub artefact: Artefact,
    /// When the ledger took the record in.
    pub observed_at: Timestamp,
    /// Format of the document, such as `cyclonedx`.
    pub format: String,
    /// Version of the format, empty when it does not say.
    pub spec_version: String,
}

/// A run of whole frames of a part's output, staged as one artefact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The bytes.
    pub artefact: Artefact,
    /// The frames inside, in order.
    pub frames: Vec<Frame>,
    /// What an index says of each frame, where the bundle has indexes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<FrameMark>,
}

/// How a frame is found and told from others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameMark {
    /// Key of its first record.
    pub first: RecordKey,
    /// Digest of its compressed bytes.
    pub digest: Digest,
}

/// One zstd frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// Bytes compressed.
    pub bytes: u32,
    /// Bytes plain.
    pub plain: u32,
    /// Records inside.
    pub records: u32,
}

/// What was read from one source: a row of `export_inputs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InputRange {
    /// Kind of the records.
    pub kind: RecordKind,
    /// Publisher or pack.
    pub source: String,
    /// The part that read it.
    pub part: PartIndex,
    /// Last key read; a read that was interrupted goes on after it.
    pub cursor: RecordKey,
    /// Records read.
    pub count: u64,
    /// SHA-256 over the content hashes read, in order, each as 32 bytes.
    pub hash: Digest,
}

/// Written by assemble: the files of the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunAdapted {
    /// Schema version.
    pub v: Version<1>,
    /// The plan.
    pub plan: RunPlanned,
    /// The files, sorted by path.
    pub files: Vec<BundleFile>,
    /// What was read, by kind and source: counts summed over the parts.
    pub sources: Vec<SourceRead>,
    /// Of a delta: the new mirror that it leads to. Its files stay in staging, for deltas to come; `files` is what is shipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
}

/// The mirror that a delta leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// All its files, sorted by path, as if they were in a full bundle.
    pub files: Vec<BundleFile>,
    /// What the delta ships and says of them.
    pub difference: Difference,
}

/// What a delta does to its base, by path, each list sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Files that the base does not have.
    pub added: Vec<String>,
    /// Files that are other ones in the base.
    pub changed: Vec<String>,
    /// Files that only the base has.
    pub removed: Vec<String>,
    /// Records, and files that are no records, of which the delta says that they are gone.
    pub tombstones: u64,
    /// How each added or changed file is made, sorted by path.
    pub files: Vec<FileChange>,
    /// Records that are new or other ones.
    pub records_put: u64,
}

/// How a consumer makes a file of the new mirror.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileChange {
    /// Path in the new mirror.
    pub path: String,
    /// File of the delta: the whole file, or its lines that are new or other ones.
    pub from: String,
    /// Whether `from` holds lines to be merged into the base's file, and not the whole file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub merge: bool,
}

/// A file of the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BundleFile {
    /// Path inside the bundle, relative, `/` between names.
    pub path: String,
    /// The bytes.
    pub artefact: Artefact,
    /// Media type.
    pub content_type: String,
    /// Records inside, where it holds records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
    /// Plain bytes inside, where it is compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain_bytes: Option<u64>,
    /// zstd frames inside, the seek table not counted, where it is compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<u64>,
}

/// Records exported from one source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRead {
    /// Whose records; absent means the run's own tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// Kind of the records.
    pub kind: RecordKind,
    /// Publisher or pack.
    pub name: String,
    /// Records exported.
    pub records: u64,
    /// SHA-256 over the parts' input hashes in part order.
    pub hash: Digest,
}

/// Written by manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestWritten {
    /// Schema version.
    pub v: Version<1>,
    /// The plan.
    pub plan: RunPlanned,
    /// `export.json`.
    pub export_json: Artefact,
    /// The bundle tar.
    pub bundle: Artefact,
    /// sha256 of the sorted content digests joined by newline.
    pub rerun_hash: Digest,
    /// Records that went into the bundle.
    pub records: u64,
    /// What was read.
    pub sources: Vec<SourceRead>,
    /// Of a delta: `export.json` of the mirror that it leads to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Artefact>,
    /// What the encryption made: recipients, wrapped keys, and the encrypted files by digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encrypted>,
}

/// Written by sign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunSigned {
    /// Schema version.
    pub v: Version<1>,
    /// What was signed.
    pub manifest: ManifestWritten,
    /// Id of the key that signed.
    pub key_id: String,
    /// The files beside the bundle by name: `export.json.sig`, `export.json.sigstore.json`, `provenance.json`, ….
    pub sidecars: BTreeMap<String, Artefact>,
}

/// Written by distribute; ends the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunDistributed {
    /// Schema version.
    pub v: Version<1>,
    /// What was handed over.
    pub signed: RunSigned,
    /// Where it is.
    pub distributions: Vec<Distribution>,
}

/// Written by distribute before a target is given anything: where the bundle is going to be seen. A run that does not succeed is taken
/// back from there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandOver {
    /// Schema version.
    pub v: Version<1>,
    /// Which run.
    pub run: RunRef,
    /// Where.
    pub distribution: Distribution,
}

/// One place where a bundle can be had: a row of `export_distributions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Distribution {
    /// How.
    #[serde(rename = "type")]
    pub kind: DistributionKind,
    /// Path on the gateway, OCI reference or object URL.
    pub location: String,
    /// Digest of the bundle there.
    pub sha256: Digest,
    /// Its bytes.
    pub size_bytes: u64,
    /// When it may be pruned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Tags of the OCI artefact, for people; `location` names it by digest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Until when object storage refuses to delete it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked_until: Option<Timestamp>,
    /// When it was pruned; it cannot be had any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pruned_at: Option<Timestamp>,
}

impl Distribution {
    /// A place about which nothing more is said.
    pub fn new(kind: DistributionKind, location: String, bundle: &Artefact, expires_at: Option<Timestamp>) -> Self {
        let Artefact { digest: sha256, bytes: size_bytes } = bundle.clone();
        Self { kind, location, sha256, size_bytes, expires_at, tags: Vec::new(), locked_until: None, pruned_at: None }
    }
}
