//! `export.json`: canonical, of a known version, and at one with itself.

use export_canon::digesting::sha256;
use export_contract::Digest;
use export_contract::manifest::{
    DIFF_PATH, ExportManifest, ManifestContent, PATH, SCHEMA, SourceState, TARGET_PATH, TOMBSTONES_PATH,
};
use serde::Deserialize;
use serde_json::Value;

use crate::canonical;
use crate::container::{EXPORT_JSON, ExportJson};
use crate::error::{Problem, VerifyError, shown};
use crate::policy::Policy;

/// A manifest that is at one with itself.
#[derive(Debug)]
pub(crate) struct Manifest {
    pub(crate) export: ExportManifest,
}

/// Reads the manifest. Members that a later 1.x may add are let through, for they are signed with the rest.
pub(crate) fn read(export_json: &ExportJson, policy: &Policy) -> Result<Manifest, VerifyError> {
    let value = canonical::read(EXPORT_JSON, &export_json.bytes)?;
    check_version(&value)?;
    let manifest = ExportManifest::deserialize(&value).map_err(|cause| VerifyError::not_json(EXPORT_JSON, &cause))?;
    check(&manifest, policy)?;
    if value.get("delta").is_some_and(Value::is_null) {
        return Err(VerifyError::rule(EXPORT_JSON, "its delta is null"));
    }
    delta(&manifest)?;
    Ok(Manifest { export: manifest })
}

/// Refuses another schema and another major version.
fn check_version(value: &Value) -> Result<(), VerifyError> {
    let text = |name| value.get(name).and_then(Value::as_str).unwrap_or_default();
    let (schema, version) = (text("schema"), text("version"));
    let minor = version.strip_prefix("1.").filter(|minor| minor.parse::<u32>().is_ok());
    if schema == SCHEMA && minor.is_some() {
        return Ok(());
    }
    let problem = Problem::Version { schema: shown(schema), version: shown(version) };
    Err(VerifyError::malformed(EXPORT_JSON, problem))
}

fn check(manifest: &ExportManifest, policy: &Policy) -> Result<(), VerifyError> {
    let contents = &manifest.contents;
    if !contents.is_sorted_by(|before, after| before.path < after.path) {
        return Err(VerifyError::rule(EXPORT_JSON, "its contents are not sorted by path, each path once"));
    }
    if contents.iter().any(|content| content.path == PATH) {
        return Err(VerifyError::rule(EXPORT_JSON, "its contents list itself"));
    }
    let found = rerun_hash(contents);
    if found != manifest.rerun_hash {
        return Err(VerifyError::DigestMismatch {
            what: "rerunHash".to_owned(),
            expected: manifest.rerun_hash.to_string(),
            found: found.to_string(),
        });
    }
    match manifest.sources.iter().find(|source| source.state == SourceState::Failed) {
        Some(source) if !policy.allow_failed_sources => {
            Err(VerifyError::SourceFailed { name: shown(&source.name), kind: source.kind })
        }
        _ => Ok(()),
    }
}

/// The chain of a delta: there for a delta and for nothing else, and not at odds with itself. Whether it fits its base only the base
/// can show.
fn delta(manifest: &ExportManifest) -> Result<(), VerifyError> {
    let rule = |rule| Err(VerifyError::rule(EXPORT_JSON, rule));
    let is_delta = manifest.profile.variant == "delta";
    let Some(delta) = &manifest.delta else {
        return if is_delta { rule("it is of a delta and names no base") } else { Ok(()) };
    };
    if !is_delta {
        return rule("it names a base and is not of a delta");
    }
    let named = delta.base_manifest_digest.as_ref().map(Digest::hex).unwrap_or_default();
    if delta.base_export_id != named || delta.reset_baseline != named.is_empty() {
        return rule("its delta names no base, or two");
    }
    let lists = [&delta.added, &delta.changed, &delta.removed];
    if lists.iter().any(|list| !list.is_sorted_by(|before, after| before < after)) {
        return rule("a list of its delta is not sorted, each name once");
    }
    let mut all: Vec<&String> = lists.into_iter().flatten().collect();
    all.sort_unstable();
    if !all.is_sorted_by(|before, after| before < after) {
        return rule("its delta says two things of one name");
    }
    if delta.tombstones < delta.removed.len() as u64 {
        return rule("its delta removes more than it has tombstones for");
    }
    let file = |path: &str| manifest.contents.iter().find(|content| content.path == path);
    if file(TARGET_PATH).is_none_or(|target| target.digest != delta.target_manifest_digest) {
        return rule("it does not hold the manifest of the mirror that its delta leads to");
    }
    if file(TOMBSTONES_PATH).is_none_or(|tombstones| tombstones.records != Some(delta.tombstones)) {
        return rule("it does not hold as many tombstones as its delta says");
    }
    if file(DIFF_PATH).is_none() {
        return rule("it does not say file by file what its delta does");
    }
    Ok(())
}

/// sha256 of the sorted content digests joined by newline (design section 6).
fn rerun_hash(contents: &[ManifestContent]) -> Digest {
    let mut digests: Vec<&str> = contents.iter().map(|content| content.digest.as_str()).collect();
    digests.sort_unstable();
    Digest::from_bytes(*sha256(digests.join("\n").as_bytes()).as_bytes())
}
