//! What a bundle says of itself, unproven.

use std::path::Path;

use export_contract::Digest;
use export_contract::encryption::WrappedKey;
use export_contract::manifest::ExportManifest;
use serde::{Deserialize, Serialize};

use crate::container::{Container, EXPORT_JSON, PROVENANCE};
use crate::error::VerifyError;

/// A bundle's own words. Nothing here was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    /// Always `false`; stands here so that nobody takes this document for a [`Report`](crate::Report).
    pub verified: bool,
    /// Bytes of the tar; where a compressed one lies beside its signatures, of that.
    pub bundle_bytes: u64,
    /// The known files that lie beside the tar.
    pub files: Vec<&'static str>,
    /// Digest of `export.json`.
    pub manifest_digest: Digest,
    /// `export.json`.
    pub manifest: ExportManifest,
    /// Who can decrypt the encrypted files, as `provenance.json` says; empty where it does not, or nothing is encrypted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<WrappedKey>,
}

/// Shows what the bundle in `path` says of itself. No signature and no digest is checked.
///
/// # Errors
/// When there is no bundle, or its `export.json` cannot be read.
pub fn inspect(path: &Path) -> Result<Inspection, VerifyError> {
    let mut container = Container::open(path)?;
    let (bundle_bytes, files) = (container.bundle_bytes()?, container.files_beside());
    let export_json = container.export_json()?;
    // Straight into the typed form: members that are not known take no memory.
    let manifest: ExportManifest =
        serde_json::from_slice(&export_json.bytes).map_err(|cause| VerifyError::not_json(EXPORT_JSON, &cause))?;
    let recipients = if manifest.encryption.is_some() { recipients(&container)? } else { Vec::new() };
    let manifest_digest = export_json.digest;
    Ok(Inspection { verified: false, bundle_bytes, files, manifest_digest, manifest, recipients })
}

/// The one list of the provenance that is shown; what else it holds is not kept.
fn recipients(container: &Container<'_>) -> Result<Vec<WrappedKey>, VerifyError> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Statement {
        predicate: Predicate,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Predicate {
        build_definition: Definition,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Definition {
        internal_parameters: Parameters,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Parameters {
        environment: Environment,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Environment {
        encryption: Encryption,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Encryption {
        recipients: Vec<WrappedKey>,
    }
    let Some(text) = container.beside(PROVENANCE)? else { return Ok(Vec::new()) };
    let statement: Statement =
        serde_json::from_slice(&text).map_err(|cause| VerifyError::not_json(PROVENANCE, &cause))?;
    Ok(statement.predicate.build_definition.internal_parameters.environment.encryption.recipients)
}
