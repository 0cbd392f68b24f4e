//! Verifying a bundle with no network, treating every byte of it as hostile.
//!
//! The order never trusts what is not proven: first the signature over `export.json` by a key that the caller names, then everything
//! that `export.json` says of the bundle, then the provenance and the age. The bundle is streamed once; nothing is unpacked.

mod contents;
mod error;
mod layout;
mod provenance;
mod report;
mod signature;

use std::path::Path;

use export_canon::jcs;
use export_contract::Timestamp;
use export_contract::manifest::{ExportManifest, SCHEMA};
pub use export_signing::PublicKey;

pub use crate::error::VerifyError;
use crate::layout::Layout;
pub use crate::report::{Inspection, Report};

/// What the caller demands.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Keys of which one must have signed. Empty refuses everything: a signature by an unknown key proves nothing.
    pub keys: Vec<PublicKey>,
    /// The present, for ages; `None` leaves ages alone.
    pub now: Option<Timestamp>,
    /// Oldest evidence that is accepted, seconds.
    pub max_age_seconds: Option<i64>,
    /// Refuse a bundle without provenance.
    pub require_provenance: bool,
}

/// Verifies the bundle at `path`: a folder as `exportctl bundle download` writes it, or the tar with its files beside it.
///
/// # Errors
/// The first thing that is wrong; [`VerifyError::exit_code`] has its exit code.
pub fn verify(path: &Path, policy: &Policy) -> Result<Report, VerifyError> {
    let layout = Layout::find(path)?;
    let export_json = layout.read("export.json")?.ok_or_else(|| VerifyError::Incomplete("export.json".to_owned()))?;
    let key = signature::check(&layout, &export_json, &policy.keys)?;
    let manifest = parse(&export_json)?;
    let age_seconds = age(&manifest, policy)?;
    let bundle = contents::check(&layout, &manifest, &export_json)?;
    let provenance = provenance::check(&layout, &export_json, &bundle, key)?;
    if provenance.is_none() && policy.require_provenance {
        return Err(VerifyError::SignatureMissing("provenance.sigstore.json".to_owned()));
    }
    Ok(Report::new(&manifest, &export_json, &bundle, key, provenance, age_seconds))
}

/// What the bundle at `path` says of itself. Proves nothing.
///
/// # Errors
/// When there is nothing that can be read.
pub fn inspect(path: &Path) -> Result<Inspection, VerifyError> {
    let layout = Layout::find(path)?;
    let export_json = layout.read("export.json")?.ok_or_else(|| VerifyError::Incomplete("export.json".to_owned()))?;
    Ok(Inspection { manifest: parse(&export_json)?, files: layout.present() })
}

/// Reads `export.json` strictly: known schema and version, and canonical, so that one meaning has one digest.
fn parse(export_json: &[u8]) -> Result<ExportManifest, VerifyError> {
    let manifest: ExportManifest = serde_json::from_slice(export_json)
        .map_err(|cause| VerifyError::Unreadable { what: "export.json", cause: Box::new(cause) })?;
    if manifest.schema != SCHEMA || !manifest.version.starts_with("1.") {
        return Err(VerifyError::Schema { schema: manifest.schema, version: manifest.version });
    }
    let value: serde_json::Value = serde_json::from_slice(export_json)
        .map_err(|cause| VerifyError::Unreadable { what: "export.json", cause: Box::new(cause) })?;
    let canonical = jcs::canonicalize_value(&value)
        .map_err(|cause| VerifyError::Unreadable { what: "export.json", cause: Box::new(cause) })?;
    if canonical != export_json {
        return Err(VerifyError::Malformed("export.json is not in canonical form (RFC 8785)".to_owned()));
    }
    Ok(manifest)
}

fn age(manifest: &ExportManifest, policy: &Policy) -> Result<Option<i64>, VerifyError> {
    let Some(now) = policy.now else { return Ok(None) };
    if let Some(until) = manifest.fresh_until
        && now > until
    {
        return Err(VerifyError::TooOld(format!("it was fresh until {until}")));
    }
    let age = manifest.as_of.map(|as_of| now.as_seconds() - as_of.as_seconds());
    match (age, policy.max_age_seconds) {
        (Some(age), Some(limit)) if age > limit => {
            Err(VerifyError::TooOld(format!("its evidence is {age} s old, at most {limit} s are accepted")))
        }
        (None, Some(_)) => Err(VerifyError::TooOld("it does not say how old its evidence is".to_owned())),
        (age, _) => Ok(age),
    }
}
