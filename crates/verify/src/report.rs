//! What is told to the caller.

use export_canon::digesting::sha256;
use export_contract::manifest::{ExportManifest, ManifestSource, SourceState};
use export_contract::{Digest, Timestamp};
use export_signing::PublicKey;
use export_signing::statement::Statement;
use serde::Serialize;

use crate::contents::Bundle;

/// What was proven of a bundle, and what was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Whose evidence.
    pub tenant: String,
    /// Which profile and revision.
    pub profile: String,
    /// Newest evidence.
    pub as_of: Option<Timestamp>,
    /// How old that is, seconds.
    pub age_seconds: Option<i64>,
    /// Records.
    pub records: u64,
    /// Files, the manifest not counted.
    pub files: u64,
    /// Bytes of the tar.
    pub bytes: u64,
    /// Digest of the tar.
    pub bundle_digest: Digest,
    /// Digest of `export.json`.
    pub manifest_digest: Digest,
    /// Id of the key that signed.
    pub key_id: String,
    /// What is certain.
    pub proven: Vec<String>,
    /// What is not.
    pub not_proven: Vec<String>,
    /// Sources of the ledger that are not, or not wholly, in the bundle.
    pub absent_sources: Vec<AbsentSource>,
}

/// A source that is not, or not wholly, in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AbsentSource {
    /// Its name.
    pub name: String,
    /// The kind of its records.
    pub kind: String,
    /// Why.
    pub state: SourceState,
}

/// What a bundle says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    /// Its manifest, unproven.
    pub manifest: ExportManifest,
    /// The known files beside the tar.
    pub files: Vec<String>,
}

impl Report {
    pub(crate) fn new(
        manifest: &ExportManifest,
        export_json: &[u8],
        bundle: &Bundle,
        key: &PublicKey,
        provenance: Option<Statement>,
        age_seconds: Option<i64>,
    ) -> Self {
        let key_id = key.key_id();
        let mut proven = vec![
            format!("export.json was signed by key {key_id}"),
            format!(
                "{} files with {} records are the ones that were signed for, none is missing or too many",
                bundle.files, bundle.records
            ),
        ];
        let mut not_proven = Vec::new();
        match provenance {
            Some(statement) => {
                let run = statement.predicate.run_details.metadata;
                proven.push(format!(
                    "the provenance names this bundle: run {}, {} to {}",
                    run.invocation_id, run.started_on, run.finished_on
                ));
            }
            None => not_proven.push("who asked for it and when: there is no provenance".to_owned()),
        }
        match (manifest.as_of, age_seconds) {
            (Some(as_of), Some(age)) => proven.push(format!("its evidence is as of {as_of}, {age} s ago")),
            (Some(as_of), None) => proven.push(format!("its evidence is as of {as_of}")),
            (None, _) => not_proven.push("how old its evidence is".to_owned()),
        }
        not_proven.push("when it was signed: there is no transparency log entry or timestamp".to_owned());
        Self {
            tenant: manifest.tenant.to_string(),
            profile: format!("{}:{} {}", manifest.profile.kind, manifest.profile.variant, manifest.profile.revision),
            as_of: manifest.as_of,
            age_seconds,
            records: bundle.records,
            files: bundle.files,
            bytes: bundle.bytes,
            bundle_digest: bundle.digest.clone(),
            manifest_digest: Digest::from_bytes(*sha256(export_json).as_bytes()),
            key_id,
            proven,
            not_proven,
            absent_sources: manifest.sources.iter().filter_map(absent).collect(),
        }
    }
}

fn absent(source: &ManifestSource) -> Option<AbsentSource> {
    (source.state != SourceState::Complete).then(|| AbsentSource {
        name: source.name.clone(),
        kind: source.kind.to_string(),
        state: source.state,
    })
}
