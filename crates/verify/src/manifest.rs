//! `export.json`: canonical, of a known version, and at one with itself.

use export_canon::digesting::sha256;
use export_contract::Digest;
use export_contract::manifest::{ExportManifest, ManifestContent, PATH, SCHEMA, SourceState};
use serde::Deserialize as _;
use serde_json::Value;

use crate::canonical;
use crate::container::{EXPORT_JSON, ExportJson};
use crate::error::{Problem, VerifyError, shown};
use crate::policy::Policy;

/// Reads the manifest. Members that a later 1.x may add are let through, for they are signed with the rest.
pub(crate) fn read(export_json: &ExportJson, policy: &Policy) -> Result<ExportManifest, VerifyError> {
    let value = canonical::read(EXPORT_JSON, &export_json.bytes)?;
    check_version(&value)?;
    let manifest = ExportManifest::deserialize(&value).map_err(|cause| VerifyError::not_json(EXPORT_JSON, &cause))?;
    check(&manifest, policy)?;
    Ok(manifest)
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

/// sha256 of the sorted content digests joined by newline (design section 6).
fn rerun_hash(contents: &[ManifestContent]) -> Digest {
    let mut digests: Vec<&str> = contents.iter().map(|content| content.digest.as_str()).collect();
    digests.sort_unstable();
    Digest::from_bytes(*sha256(digests.join("\n").as_bytes()).as_bytes())
}
