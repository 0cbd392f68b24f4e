//! The provenance: its signature, and that it speaks of this very bundle.

use export_canon::digesting::sha256;
use export_signing::PublicKey;
use export_signing::dsse::{IN_TOTO, pre_authentication};
use export_signing::statement::{PROVENANCE_TYPE, STATEMENT_TYPE, Statement};

use crate::contents::Bundle;
use crate::error::VerifyError;
use crate::layout::Layout;
use crate::signature::parse;

const WHAT: &str = "provenance.sigstore.json";

/// The statement, if there is one; then it is signed by `key` and names this bundle and manifest.
pub(crate) fn check(
    layout: &Layout,
    export_json: &[u8],
    bundle: &Bundle,
    key: &PublicKey,
) -> Result<Option<Statement>, VerifyError> {
    let Some(text) = layout.read(WHAT)? else { return Ok(None) };
    let signed = parse(&text)?;
    let malformed = |problem: &str| VerifyError::Malformed(format!("{WHAT} {problem}"));
    if signed.verification_material.public_key.hint != key.hint() {
        let hint = signed.verification_material.public_key.hint.chars().take(64).collect();
        return Err(VerifyError::WrongSigner { what: WHAT, hint });
    }
    let envelope = signed.dsse_envelope.as_ref().ok_or_else(|| malformed("holds no envelope"))?;
    if envelope.payload_type != IN_TOTO {
        return Err(malformed("does not hold an in-toto statement"));
    }
    let (payload, signature) = envelope.open().ok_or_else(|| malformed("is not base64"))?;
    key.verify(&pre_authentication(IN_TOTO, &payload), &signature)
        .map_err(|cause| VerifyError::SignatureInvalid { what: WHAT, cause: Some(cause) })?;
    if layout.read("provenance.json")?.is_some_and(|plain| plain != payload) {
        return Err(VerifyError::Malformed("provenance.json is not what the envelope holds".to_owned()));
    }
    let statement: Statement = serde_json::from_slice(&payload)
        .map_err(|cause| VerifyError::Unreadable { what: "provenance.json", cause: Box::new(cause) })?;
    if statement.kind != STATEMENT_TYPE || statement.predicate_type != PROVENANCE_TYPE {
        return Err(malformed("is of another type"));
    }
    for (name, hex) in [("bundle.tar", bundle.digest.hex().to_owned()), ("export.json", sha256(export_json).hex())] {
        let named = statement.subject.iter().find(|subject| subject.name == name);
        if named.and_then(|subject| subject.digest.get("sha256")) != Some(&hex) {
            return Err(malformed(&format!("speaks of another `{name}`")));
        }
    }
    Ok(Some(statement))
}
