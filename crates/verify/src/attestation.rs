//! Provenance: signed, and about this bundle.

use export_contract::Digest;
use export_contract::manifest::ManifestContent;
use export_signing::dsse::{IN_TOTO, pre_authentication};
use export_signing::statement::{PROVENANCE_TYPE, STATEMENT_TYPE, Statement, Subject};
use serde::Deserialize as _;

use crate::archive::Archive;
use crate::canonical;
use crate::container::{ATTESTATION as SIGNED, BUNDLE, Container, EXPORT_JSON, ExportJson, PROVENANCE as PLAIN};
use crate::error::{VerifyError, shown};
use crate::policy::Policy;
use crate::signature::{Judge, read_bundle};

/// What sigstore-go takes too.
const MAX_SUBJECTS: usize = 1024;

/// What provenance there is.
#[derive(Debug)]
pub(crate) enum Attestation {
    /// None.
    Absent,
    /// Only a statement that nobody signed.
    Unsigned,
    /// A statement about this bundle in an envelope.
    Found(Box<Found>),
}

/// A statement about this bundle.
#[derive(Debug)]
pub(crate) struct Found {
    /// The key that signed it.
    pub(crate) key_id: String,
    /// The run that made the bundle, and when it ended, as the statement says.
    pub(crate) invocation: String,
    pub(crate) finished_on: String,
    /// Subjects that are elsewhere.
    pub(crate) elsewhere: Vec<String>,
}

/// Checks the provenance that is there.
pub(crate) fn check(
    container: &Container<'_>,
    archive: &Archive,
    export_json: &ExportJson,
    contents: &[ManifestContent],
    policy: &Policy,
) -> Result<Attestation, VerifyError> {
    let plain = container.beside(PLAIN)?;
    let Some(text) = container.beside(SIGNED)? else {
        if policy.require_provenance {
            return Err(VerifyError::SignatureMissing { what: PLAIN, file: SIGNED });
        }
        return Ok(if plain.is_some() { Attestation::Unsigned } else { Attestation::Absent });
    };
    let bundle = read_bundle(SIGNED, &text)?;
    let envelope = bundle.dsse_envelope.ok_or_else(|| VerifyError::rule(SIGNED, "it holds no envelope"))?;
    let not_one = || VerifyError::SignatureInvalid { what: PLAIN, file: SIGNED, cause: None };
    let (payload, signature) = envelope.open().ok_or_else(not_one)?;
    let message = pre_authentication(&envelope.payload_type, &payload);
    let hint = &bundle.verification_material.public_key.hint;
    let key_id = Judge::new(container, policy)?.signer(PLAIN, SIGNED, &message, &signature, Some(hint))?.key_id();
    if envelope.payload_type != IN_TOTO {
        return Err(VerifyError::rule(SIGNED, "its payload is not an in-toto statement"));
    }
    if plain.is_some_and(|plain| *plain != *payload) {
        return Err(VerifyError::DigestMismatch {
            what: PLAIN.to_owned(),
            expected: "what provenance.sigstore.json signs".to_owned(),
            found: "another text".to_owned(),
        });
    }
    let statement = Statement::deserialize(canonical::read(SIGNED, &payload)?)
        .map_err(|cause| VerifyError::not_json(SIGNED, &cause))?;
    let elsewhere = about(&statement, archive, export_json, contents)?;
    let metadata = statement.predicate.run_details.metadata;
    Ok(Attestation::Found(Box::new(Found {
        key_id,
        invocation: shown(&metadata.invocation_id),
        finished_on: shown(&metadata.finished_on),
        elsewhere,
    })))
}

/// Whether the statement is about this tar and this manifest, and of files of the bundle says what the manifest says; gives its other
/// subjects.
fn about(
    statement: &Statement,
    archive: &Archive,
    export_json: &ExportJson,
    contents: &[ManifestContent],
) -> Result<Vec<String>, VerifyError> {
    if statement.kind != STATEMENT_TYPE || statement.predicate_type != PROVENANCE_TYPE {
        return Err(VerifyError::rule(SIGNED, "it is not SLSA provenance v1 in an in-toto statement v1"));
    }
    if statement.subject.len() > MAX_SUBJECTS {
        return Err(VerifyError::rule(SIGNED, "it has more than 1024 subjects"));
    }
    for (name, digest) in [(BUNDLE, &archive.digest), (EXPORT_JSON, &export_json.digest)] {
        let subjects: Vec<&Subject> = statement.subject.iter().filter(|subject| subject.name == name).collect();
        let [subject] = subjects.as_slice() else {
            return Err(VerifyError::rule(SIGNED, "it does not name bundle.tar and export.json once each"));
        };
        same_digest(name, subject, digest)?;
    }
    let mut elsewhere = Vec::new();
    for subject in statement.subject.iter().filter(|subject| subject.name != BUNDLE && subject.name != EXPORT_JSON) {
        match contents.iter().find(|file| file.path == subject.name) {
            Some(file) => same_digest(&shown(&subject.name), subject, &file.digest)?,
            None => elsewhere.push(shown(&subject.name)),
        }
    }
    Ok(elsewhere)
}

fn same_digest(name: &str, subject: &Subject, found: &Digest) -> Result<(), VerifyError> {
    let expected = subject.digest.get("sha256").map(String::as_str).unwrap_or_default();
    if expected == found.hex() {
        return Ok(());
    }
    Err(VerifyError::DigestMismatch {
        what: name.to_owned(),
        expected: format!("sha256:{} by provenance", shown(expected)),
        found: found.to_string(),
    })
}
