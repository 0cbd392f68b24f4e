//! How anybody verifies a bundle with nothing but its files and a public key.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Digest, refresh};

/// File that the commands of a [`Verification`] read the public key from. It must come from elsewhere than the bundle, such as
/// `GET /api/export/keys`.
pub const KEY_FILE: &str = "trusted.pub";

/// Hints for pipelines and scripts, kept with the run. The commands run in a folder with the downloaded files and [`KEY_FILE`], and
/// touch no network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// Id of the key: SHA-256 over its SPKI in DER, 64 hex digits.
    pub key_id: String,
    /// Always `ecdsa-p256-sha256`; signatures are ASN.1 DER.
    pub algorithm: String,
    /// What to run; each alone suffices for what it proves.
    pub commands: Vec<VerifyCommand>,
}

/// A command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerifyCommand {
    /// What its success proves.
    pub proves: String,
    /// For a POSIX shell.
    pub command: String,
}

impl Verification {
    /// The hints for a bundle with these files beside it.
    #[must_use]
    pub fn of(key_id: &str, sidecars: &BTreeMap<String, Digest>) -> Self {
        let attested = sidecars.contains_key("provenance.sigstore.json");
        let require = if attested { " --require-attestation" } else { "" };
        let command = |proves: &str, command: String| VerifyCommand { proves: proves.to_owned(), command };
        let mut commands = vec![
            command(
                "everything: signatures, every file of the bundle, and its age",
                format!("exportctl bundle verify --key {KEY_FILE}{require} ."),
            ),
            command(
                "export.json was signed by the key",
                format!(
                    "cosign verify-blob --key {KEY_FILE} --bundle export.json.sigstore.json --insecure-ignore-tlog export.json"
                ),
            ),
            command(
                "export.json was signed by the key",
                format!(
                    "openssl base64 -d -A -in export.json.sig -out export.json.der && \
                     openssl dgst -sha256 -verify {KEY_FILE} -signature export.json.der export.json"
                ),
            ),
        ];
        if attested {
            commands.push(command(
                "the provenance was signed by the key and is about bundle.tar",
                format!(
                    "cosign verify-blob-attestation --key {KEY_FILE} --bundle provenance.sigstore.json --type slsaprovenance1 \
                     --insecure-ignore-tlog bundle.tar"
                ),
            ));
        }
        if sidecars.contains_key(refresh::FILE) {
            commands.push(command(
                "the key's owner confirmed that nothing changed since bundle.tar was made",
                format!(
                    "cosign verify-blob-attestation --key {KEY_FILE} --bundle {} --type {} --insecure-ignore-tlog bundle.tar",
                    refresh::FILE,
                    refresh::PREDICATE_TYPE
                ),
            ));
        }
        Self { key_id: key_id.to_owned(), algorithm: "ecdsa-p256-sha256".to_owned(), commands }
    }
}
