//! Provenance: signed, and about this bundle.

use export_contract::Digest;
use export_contract::encryption::Encrypted;
use export_contract::manifest::{ExportManifest, ManifestContent};
use export_signing::dsse::{IN_TOTO, pre_authentication};
use export_signing::statement::{PROVENANCE_TYPE, STATEMENT_TYPE, Statement, Subject};
use serde::Deserialize as _;

use crate::archive::Archive;
use crate::canonical;
use crate::container::{ATTESTATION as SIGNED, BUNDLE, Container, EXPORT_JSON, ExportJson, PROVENANCE as PLAIN};
use crate::error::{VerifyError, shown};
use crate::policy::Policy;
use crate::sealed::{self, Form};
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
    /// What it says of the encrypted files, where there are some.
    pub(crate) encrypted: Option<Encrypted>,
}

/// A statement that one of the keys signed.
pub(crate) struct Signed {
    statement: Statement,
    key_id: String,
}

impl Signed {
    /// The run that it is about.
    pub(crate) fn run(&self) -> &str {
        &self.statement.predicate.run_details.metadata.invocation_id
    }

    /// What it says of encryption.
    pub(crate) fn encrypted(&self) -> Result<Option<Encrypted>, VerifyError> {
        let internal = &self.statement.predicate.build_definition.internal_parameters;
        let Some(value) = internal.pointer("/environment/encryption") else { return Ok(None) };
        Encrypted::deserialize(value).map(Some).map_err(|cause| VerifyError::not_json(SIGNED, &cause))
    }
}

/// Checks the provenance that is there.
pub(crate) fn check(
    container: &Container<'_>,
    archive: &Archive,
    export_json: &ExportJson,
    manifest: &ExportManifest,
    policy: &Policy,
) -> Result<Attestation, VerifyError> {
    let Some(signed) = signed(container, policy)? else {
        if policy.require_provenance || archive.form == Form::Sealed {
            return Err(VerifyError::SignatureMissing { what: PLAIN, file: SIGNED });
        }
        let plain = container.beside(PLAIN)?;
        return Ok(if plain.is_some() { Attestation::Unsigned } else { Attestation::Absent });
    };
    let mut encrypted = signed.encrypted()?;
    if let (Form::Sealed, Some(how)) = (archive.form, manifest.encryption) {
        encrypted = Some(sealed::compare(encrypted, how, &archive.sealed)?);
    }
    let Signed { statement, key_id } = signed;
    let elsewhere = about(&statement, archive, export_json, &manifest.contents)?;
    let metadata = statement.predicate.run_details.metadata;
    Ok(Attestation::Found(Box::new(Found {
        key_id,
        invocation: shown(&metadata.invocation_id),
        finished_on: shown(&metadata.finished_on),
        elsewhere,
        encrypted: encrypted.filter(|_| manifest.encryption.is_some()),
    })))
}

/// The statement in the envelope, if there is one: signed by one of the keys, and no other than the one that lies beside it in the clear.
pub(crate) fn signed(container: &Container<'_>, policy: &Policy) -> Result<Option<Signed>, VerifyError> {
    let plain = container.beside(PLAIN)?;
    let Some(text) = container.beside(SIGNED)? else { return Ok(None) };
    let Opened { payload, key_id } = opened(container, policy, PLAIN, SIGNED, &text)?;
    if plain.is_some_and(|plain| *plain != *payload) {
        return Err(VerifyError::DigestMismatch {
            what: PLAIN.to_owned(),
            expected: "what provenance.sigstore.json signs".to_owned(),
            found: "another text".to_owned(),
        });
    }
    let statement = Statement::deserialize(canonical::read(SIGNED, &payload)?)
        .map_err(|cause| VerifyError::not_json(SIGNED, &cause))?;
    Ok(Some(Signed { statement, key_id }))
}

/// The payload of an in-toto envelope, and who signed it.
pub(crate) struct Opened {
    pub(crate) payload: Vec<u8>,
    pub(crate) key_id: String,
}

/// Opens the envelope in the file `file` with the text `text`, in which `what` is signed. Nothing of the payload is looked at before
/// its signature.
pub(crate) fn opened(
    container: &Container<'_>,
    policy: &Policy,
    what: &'static str,
    file: &'static str,
    text: &[u8],
) -> Result<Opened, VerifyError> {
    let bundle = read_bundle(file, text)?;
    let envelope = bundle.dsse_envelope.ok_or_else(|| VerifyError::rule(file, "it holds no envelope"))?;
    let not_one = || VerifyError::SignatureInvalid { what, file, cause: None };
    let (payload, signature) = envelope.open().ok_or_else(not_one)?;
    let message = pre_authentication(&envelope.payload_type, &payload);
    let hint = &bundle.verification_material.public_key.hint;
    let key_id = Judge::new(container, policy)?.signer(what, file, &message, &signature, Some(hint))?.key_id();
    if envelope.payload_type != IN_TOTO {
        return Err(VerifyError::rule(file, "its payload is not an in-toto statement"));
    }
    Ok(Opened { payload, key_id })
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
    about_both(SIGNED, "provenance", &statement.subject, archive, export_json)?;
    let mut elsewhere = Vec::new();
    for subject in statement.subject.iter().filter(|subject| subject.name != BUNDLE && subject.name != EXPORT_JSON) {
        match contents.iter().find(|file| file.path == subject.name) {
            Some(file) => same_digest("provenance", &shown(&subject.name), subject, &file.digest)?,
            None => elsewhere.push(shown(&subject.name)),
        }
    }
    Ok(elsewhere)
}

/// Whether the subjects of the statement in `file`, which messages call `by`, name this tar and this manifest.
pub(crate) fn about_both(
    file: &str,
    by: &str,
    subjects: &[Subject],
    archive: &Archive,
    export_json: &ExportJson,
) -> Result<(), VerifyError> {
    for (name, digest) in [(BUNDLE, &archive.digest), (EXPORT_JSON, &export_json.digest)] {
        let named: Vec<&Subject> = subjects.iter().filter(|subject| subject.name == name).collect();
        let [subject] = named.as_slice() else {
            return Err(VerifyError::rule(file, "it does not name bundle.tar and export.json once each"));
        };
        // The tar that was handed over was the encrypted one; its digest says nothing of what decryption left.
        if name != BUNDLE || archive.form != Form::Decrypted {
            same_digest(by, name, subject, digest)?;
        }
    }
    Ok(())
}

fn same_digest(by: &str, name: &str, subject: &Subject, found: &Digest) -> Result<(), VerifyError> {
    let expected = subject.digest.get("sha256").map(String::as_str).unwrap_or_default();
    if expected == found.hex() {
        return Ok(());
    }
    Err(VerifyError::DigestMismatch {
        what: name.to_owned(),
        expected: format!("sha256:{} by {by}", shown(expected)),
        found: found.to_string(),
    })
}
