//! The signature over `export.json`: the detached one and, where it is there, the Sigstore bundle.

use export_canon::digesting::sha256;
use export_signing::PublicKey;
use export_signing::bundle::{Bundle, from_base64, to_base64};

use crate::error::VerifyError;
use crate::layout::Layout;

const WHAT: &str = "export.json";

/// The key of `keys` that signed.
pub(crate) fn check<'a>(
    layout: &Layout,
    export_json: &[u8],
    keys: &'a [PublicKey],
) -> Result<&'a PublicKey, VerifyError> {
    if keys.is_empty() {
        return Err(VerifyError::NoKey);
    }
    let detached = layout.read("export.json.sig")?;
    let bundle = layout.read("export.json.sigstore.json")?.map(|text| parse(&text)).transpose()?;
    let text = detached.ok_or_else(|| VerifyError::SignatureMissing("export.json.sig".to_owned()))?;
    let signature = std::str::from_utf8(&text)
        .ok()
        .and_then(|text| from_base64(text.trim_end()))
        .ok_or_else(|| VerifyError::Malformed("export.json.sig is not base64".to_owned()))?;
    let hint = bundle.as_ref().map(|bundle| bundle.verification_material.public_key.hint.clone());
    let key = signer(keys, export_json, &signature, hint.as_deref())?;
    if let Some(bundle) = bundle {
        check_bundle(&bundle, export_json, key)?;
    }
    Ok(key)
}

/// Reads a Sigstore bundle strictly.
pub(crate) fn parse(text: &[u8]) -> Result<Bundle, VerifyError> {
    Bundle::parse(text).map_err(|cause| VerifyError::Unreadable { what: "a Sigstore bundle", cause: Box::new(cause) })
}

/// The key under which the signature verifies. If none, the hint tells a foreign signature from a broken one.
fn signer<'a>(
    keys: &'a [PublicKey],
    message: &[u8],
    signature: &[u8],
    hint: Option<&str>,
) -> Result<&'a PublicKey, VerifyError> {
    let mut cause = None;
    for key in keys {
        match key.verify(message, signature) {
            Ok(()) => return Ok(key),
            Err(error) => cause = Some(error),
        }
    }
    match hint {
        Some(hint) if keys.iter().all(|key| key.hint() != hint) => {
            Err(VerifyError::WrongSigner { what: WHAT, hint: hint.chars().take(64).collect() })
        }
        _ => Err(VerifyError::SignatureInvalid { what: WHAT, cause }),
    }
}

fn check_bundle(bundle: &Bundle, export_json: &[u8], key: &PublicKey) -> Result<(), VerifyError> {
    let malformed = |problem: &str| VerifyError::Malformed(format!("export.json.sigstore.json {problem}"));
    let signed = bundle.message_signature.as_ref().ok_or_else(|| malformed("holds no message signature"))?;
    if bundle.verification_material.public_key.hint != key.hint() {
        let hint = bundle.verification_material.public_key.hint.chars().take(64).collect();
        return Err(VerifyError::WrongSigner { what: "export.json.sigstore.json", hint });
    }
    if signed.message_digest.algorithm != "SHA2_256"
        || signed.message_digest.digest != to_base64(sha256(export_json).as_bytes())
    {
        return Err(VerifyError::SignatureInvalid { what: "export.json.sigstore.json", cause: None });
    }
    let signature = from_base64(&signed.signature).ok_or_else(|| malformed("has a signature that is not base64"))?;
    key.verify(export_json, &signature)
        .map_err(|cause| VerifyError::SignatureInvalid { what: "export.json.sigstore.json", cause: Some(cause) })
}
