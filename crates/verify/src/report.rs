//! What was proven of a bundle, and what was not.

use export_contract::encryption::{EncryptionMode, EncryptionScope, ManifestEncryption};
use export_contract::manifest::{ManifestSource, SourceState};
use export_contract::{Digest, RecordKind, TenantId, Timestamp};
use serde::Serialize;

use crate::archive::Archive;
use crate::attestation::Attestation;
use crate::container::ExportJson;
use crate::error::shown;
use crate::freshness::{Age, spoken};
use crate::manifest::Manifest;
use crate::refresh::Refresh;
use crate::sealed::Form;
use crate::signature::Signature;

/// Most names of things not looked at that are told one by one.
const MAX_NAMED: usize = 12;

/// The outcome of a verification that found no fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What was proven, a sentence each.
    pub proven: Vec<String>,
    /// What a reader might take for proven and is not, a sentence each.
    pub not_proven: Vec<String>,
    /// Whose evidence.
    pub tenant: TenantId,
    /// Which profile and revision: `json:raw r1`.
    pub profile: String,
    /// Newest observation in the ledger when the bundle was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
    /// When a signed refresh found nothing newer in the ledger; the evidence is still as of `as_of`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<Timestamp>,
    /// Seconds since `confirmed_at`, or since `as_of` where nothing was confirmed: what a maximum age is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<i64>,
    /// Until when the profile calls this fresh, by a refresh where that says later than `export.json`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fresh_until: Option<Timestamp>,
    /// Id of the key that signed `export.json`: SHA-256 over its SPKI.
    pub key_id: String,
    /// Digest of the tar.
    pub bundle_digest: Digest,
    /// Bytes of the tar.
    pub bytes: u64,
    /// Digest of `export.json`.
    pub manifest_digest: Digest,
    /// Equal for two bundles with the same contents.
    pub rerun_hash: Digest,
    /// What a delta builds upon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// Files in the tar, the manifest not counted.
    pub files: u64,
    /// Records, decompressed and counted.
    pub records: u64,
    /// Sources of the ledger that are not in the bundle.
    pub absent_sources: Vec<AbsentSource>,
    /// How files are encrypted, where some are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption: Option<EncryptionFacts>,
}

/// The encryption of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EncryptionFacts {
    /// `age` or `aes-gcm`.
    pub mode: EncryptionMode,
    /// `data` or `payload`.
    pub scope: EncryptionScope,
    /// Encrypted files in the tar; none in one that was decrypted.
    pub files: u64,
    /// Whether the files lie in the tar as they were before they were encrypted.
    pub decrypted: bool,
    /// Whether what is in the files was compared with `export.json`.
    pub contents_proven: bool,
    /// Who can decrypt, as the signed provenance says.
    pub recipients: Vec<String>,
}

/// The bundle that a delta changes, as the delta says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Base {
    /// Its name: the hex digits of the digest.
    pub export_id: String,
    /// Digest of its `export.json`.
    pub manifest_digest: Digest,
}

/// A source that is not in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AbsentSource {
    /// Publisher or pack.
    pub name: String,
    /// Kind of its records.
    pub kind: RecordKind,
    /// Why.
    pub state: SourceState,
}

/// The findings of all checks.
pub(crate) struct Evidence {
    pub(crate) manifest: Manifest,
    pub(crate) export_json: ExportJson,
    pub(crate) signature: Signature,
    /// Id of the key that signed the manifest of the mirror that a delta leads to.
    pub(crate) target: Option<String>,
    pub(crate) archive: Archive,
    pub(crate) attestation: Attestation,
    pub(crate) refresh: Option<Refresh>,
    /// What else the container holds.
    pub(crate) others: Vec<String>,
    pub(crate) age: Age,
    pub(crate) max_age: Option<i64>,
}

impl Report {
    pub(crate) fn new(evidence: Evidence) -> Self {
        let (proven, not_proven) = told(&evidence);
        let encryption = encryption(&evidence);
        let Evidence { manifest: Manifest { export: manifest }, export_json, signature, archive, refresh, age, .. } =
            evidence;
        let profile = &manifest.profile;
        let profile = format!("{}:{} {}", profile.kind, profile.variant, profile.revision);
        Self {
            proven,
            not_proven,
            tenant: manifest.tenant,
            profile,
            as_of: manifest.as_of,
            confirmed_at: refresh.map(|refresh| refresh.checked_at),
            age_seconds: age.seconds,
            fresh_until: age.fresh_until,
            key_id: signature.key_id,
            bundle_digest: archive.digest,
            bytes: archive.bytes,
            manifest_digest: export_json.digest,
            rerun_hash: manifest.rerun_hash,
            base: manifest.delta.and_then(|delta| {
                let manifest_digest = delta.base_manifest_digest?;
                Some(Base { export_id: delta.base_export_id, manifest_digest })
            }),
            files: archive.files,
            records: archive.records,
            absent_sources: manifest.sources.into_iter().filter_map(absent).collect(),
            encryption,
        }
    }
}

fn encryption(evidence: &Evidence) -> Option<EncryptionFacts> {
    let Evidence { manifest, archive, attestation, .. } = evidence;
    let ManifestEncryption { mode, scope } = manifest.export.encryption?;
    let recipients = match attestation {
        Attestation::Found(found) => found.encrypted.iter().flat_map(|encrypted| &encrypted.recipients).collect(),
        Attestation::Unsigned | Attestation::Absent => Vec::new(),
    };
    Some(EncryptionFacts {
        mode,
        scope,
        files: archive.sealed.len() as u64,
        decrypted: archive.form == Form::Decrypted,
        contents_proven: archive.opened,
        recipients: recipients.into_iter().map(|wrapped| shown(&wrapped.recipient)).collect(),
    })
}

fn absent(source: ManifestSource) -> Option<AbsentSource> {
    let ManifestSource { name, kind, state, .. } = source;
    (state != SourceState::Complete).then_some(AbsentSource { name, kind, state })
}

/// What of the files was compared with what.
fn files(archive: &Archive, proven: &mut Vec<String>, not_proven: &mut Vec<String>) {
    let Archive { digest, files, records, sealed, .. } = archive;
    let sealed = sealed.len();
    if sealed == 0 {
        proven.push(format!(
            "bundle.tar ({digest}) holds export.json, the {files} files that it lists and no others, each with its digest and length"
        ));
    } else {
        proven.push(format!(
            "bundle.tar ({digest}) holds export.json, the {files} files that it lists and no others; {sealed} of them are encrypted and \
             have the digests and lengths that the signed provenance gives, the others those of export.json"
        ));
    }
    if archive.form == Form::Decrypted {
        not_proven.push(
            "that this is the bundle.tar that was handed over: its files were decrypted since, and the digest of bundle.tar in \
             provenance is that of the encrypted one"
                .to_owned(),
        );
    }
    if archive.opened {
        if sealed > 0 {
            proven.push(format!("the {sealed} encrypted files decrypt to what export.json lists, digest and length"));
        }
        proven.push(format!("the compressed files hold {records} records, decompressed and counted"));
    } else if sealed > 0 {
        not_proven.push(format!(
            "what the {sealed} encrypted files hold: export.json has the digests and counts of the plain ones; --identity proves them"
        ));
    } else {
        proven.push(format!("the compressed files hold {records} records, decompressed and counted"));
    }
}

/// Of which time the evidence is; the last time named is the one that its age counts from.
fn known(as_of: Option<Timestamp>, refresh: Option<&Refresh>) -> Option<String> {
    let as_of = as_of.map(|as_of| format!("as of {as_of}"));
    let Some(Refresh { checked_at, .. }) = refresh else { return as_of };
    let as_of = as_of.unwrap_or_else(|| "of an empty ledger".to_owned());
    Some(format!("{as_of} and was confirmed unchanged at {checked_at}"))
}

/// The two lists of sentences.
fn told(evidence: &Evidence) -> (Vec<String>, Vec<String>) {
    let Evidence { manifest, export_json, signature, target, archive, attestation, refresh, others, age, max_age } =
        evidence;
    let Manifest { export: manifest } = manifest;
    let (mut proven, mut not_proven) = (Vec::new(), Vec::new());
    proven.push(format!("export.json ({}) is signed by key {}", export_json.digest, signature.key_id));
    files(archive, &mut proven, &mut not_proven);
    if !archive.uncounted.is_empty() {
        not_proven.push(format!("the number of records in {}: they are not lines", archive.uncounted.join(", ")));
    }
    match attestation {
        Attestation::Found(found) => {
            // What was decrypted is no longer the tar that the run made.
            let which =
                if archive.form == Form::Decrypted { "export.json is" } else { "bundle.tar and export.json are" };
            let story = format!("{which} from run {}, which ended {}", found.invocation, found.finished_on);
            proven.push(format!("provenance, signed by key {}, says that {story}", found.key_id));
            if !found.elsewhere.is_empty() {
                not_proven
                    .push(format!("provenance is also about {}, which was not looked at", found.elsewhere.join(", ")));
            }
        }
        Attestation::Unsigned => {
            not_proven.push("how the bundle was made: provenance.json is there, but not signed".to_owned());
        }
        Attestation::Absent => not_proven.push("how the bundle was made: there is no provenance".to_owned()),
    }
    if let Some(Refresh { key_id, checked_at, fresh_until, run }) = refresh {
        proven.push(format!(
            "a refresh, signed by key {key_id}, says that run {run} found nothing newer in the ledger at {checked_at}, and calls \
             the bundle fresh until {fresh_until}"
        ));
        not_proven.push("that every source was asked before the refresh: it says what the ledger held".to_owned());
    }
    match (known(manifest.as_of, refresh.as_ref()), age.seconds, max_age) {
        (Some(known), Some(age), Some(max_age)) => {
            proven.push(format!(
                "the evidence is {known}, {} ago; up to {} is accepted",
                spoken(age),
                spoken(*max_age)
            ));
        }
        (Some(known), Some(age), None) => not_proven.push(format!(
            "that the evidence is recent: it is {known}, {} ago, and no maximum age was given",
            spoken(age)
        )),
        (Some(known), None, _) => not_proven.push(format!("that the evidence is recent: it is {known}")),
        (None, ..) => not_proven.push("that the evidence is recent: the ledger was empty".to_owned()),
    }
    if let Some(delta) = &manifest.delta {
        match target {
            Some(key) => proven.push(format!(
                "export.json of the mirror that the delta leads to ({}) is signed by key {key}",
                delta.target_manifest_digest
            )),
            None => not_proven.push("who vouches for the mirror that the delta leads to".to_owned()),
        }
        if let Some(base) = &delta.base_manifest_digest {
            not_proven.push(format!("that this delta fits its base: that is the mirror {base}, which was not given"));
        }
    }
    if !others.is_empty() {
        let (named, more) = others.split_at(others.len().min(MAX_NAMED));
        let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
        not_proven.push(format!("anything about what else the container holds: {}{more}", named.join(", ")));
    }
    not_proven.push("when it was signed: there is no transparency log entry or timestamp".to_owned());
    let absent = |state| manifest.sources.iter().filter(|source| source.state == state).count();
    let (excluded, empty) = (absent(SourceState::Excluded), absent(SourceState::Empty));
    if excluded + empty > 0 {
        not_proven.push(format!(
            "anything about {excluded} sources that the profile or the selectors leave out, and {empty} that had nothing for them"
        ));
    }
    let failed: Vec<String> = manifest
        .sources
        .iter()
        .filter(|source| source.state == SourceState::Failed)
        .map(|source| format!("{} ({})", shown(&source.name), source.kind))
        .collect();
    if !failed.is_empty() {
        not_proven.push(format!(
            "that nothing is missing of {}: not read to the end when the bundle was made",
            failed.join(", ")
        ));
    }
    (proven, not_proven)
}
