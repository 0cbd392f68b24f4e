//! Signatures: whose they are, over which bytes.

use export_canon::digesting::{Sha256Digest, sha256};
use export_contract::Digest;
use export_contract::manifest::TARGET_PATH;
use export_signing::PublicKey;
use export_signing::bundle::{Bundle, from_base64};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::container::{BUNDLED, Container, DETACHED, EXPORT_JSON, ExportJson, KEY, TARGET_BUNDLED, TARGET_DETACHED};
use crate::error::VerifyError;
use crate::policy::Policy;

/// The signature over `export.json`, which verifies.
#[derive(Debug)]
pub(crate) struct Signature {
    pub(crate) key_id: String,
}

/// Checks both forms of the signature over `export.json`. A maker always writes both, and which of them a later reader uses is not
/// known here; so neither may be absent or wrong.
pub(crate) fn check(
    container: &Container<'_>,
    export_json: &ExportJson,
    policy: &Policy,
) -> Result<Signature, VerifyError> {
    if policy.keys.is_empty() {
        return Err(VerifyError::NoKey);
    }
    let judge = Judge::new(container, policy)?;
    let of_export = Signed { what: EXPORT_JSON, bundled: BUNDLED, detached: DETACHED };
    let key = of_export.check(container, &judge, &export_json.bytes, &export_json.digest)?;
    key.map(|key_id| Signature { key_id }).ok_or(VerifyError::SignatureMissing { what: EXPORT_JSON, file: BUNDLED })
}

/// Checks the signature over the manifest of the mirror that a delta leads to, and gives the id of its key; `None` where the delta comes
/// without.
pub(crate) fn of_target(
    container: &Container<'_>,
    target: &[u8],
    policy: &Policy,
) -> Result<Option<String>, VerifyError> {
    let judge = Judge::new(container, policy)?;
    let digest = Digest::from_bytes(*sha256(target).as_bytes());
    let signed = Signed { what: TARGET_PATH, bundled: TARGET_BUNDLED, detached: TARGET_DETACHED };
    signed.check(container, &judge, target, &digest)
}

/// A file that is signed, and the two forms of its signature.
struct Signed {
    what: &'static str,
    bundled: &'static str,
    detached: &'static str,
}

impl Signed {
    /// The id of the key that made both; `None` where there is neither.
    fn check(
        &self,
        container: &Container<'_>,
        judge: &Judge<'_>,
        message: &[u8],
        digest: &Digest,
    ) -> Result<Option<String>, VerifyError> {
        let &Self { what, bundled: bundled_name, detached: detached_name } = self;
        let missing = |file| VerifyError::SignatureMissing { what, file };
        let (bundled, detached) = (container.beside(bundled_name)?, container.beside(detached_name)?);
        if bundled.is_none() && detached.is_none() {
            return Ok(None);
        }
        let bundled = bundled.ok_or_else(|| missing(bundled_name))?;
        let detached = detached.ok_or_else(|| missing(detached_name))?;

        let key = self.of_bundle(judge, &bundled, message, digest)?;
        let not_one = || VerifyError::SignatureInvalid { what, file: detached_name, cause: None };
        let signature = std::str::from_utf8(&detached).ok().and_then(from_base64).ok_or_else(not_one)?;
        let same = judge.signer(what, detached_name, message, &signature, None)?;
        if same != key {
            return Err(VerifyError::rule(detached_name, "it is of another key than the Sigstore bundle beside it"));
        }
        Ok(Some(key.key_id()))
    }

    fn of_bundle<'a>(
        &self,
        judge: &'a Judge<'_>,
        text: &[u8],
        signed: &[u8],
        digest: &Digest,
    ) -> Result<&'a PublicKey, VerifyError> {
        let &Self { what, bundled: file, .. } = self;
        let bundle = read_bundle(file, text)?;
        let message =
            bundle.message_signature.ok_or_else(|| VerifyError::rule(file, "it holds no message signature"))?;
        let hint = &bundle.verification_material.public_key.hint;
        let not_one = || VerifyError::SignatureInvalid { what, file, cause: None };
        let signature = from_base64(&message.signature).ok_or_else(not_one)?;
        let key = judge.signer(what, file, signed, &signature, Some(hint))?;
        if message.message_digest.algorithm != "SHA2_256" {
            return Err(VerifyError::rule(file, "its digest is not SHA2_256"));
        }
        let named = from_base64(&message.message_digest.digest).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let named = named.map(Digest::from_bytes).ok_or_else(|| VerifyError::rule(file, "its digest is no SHA-256"))?;
        if named != *digest {
            return Err(VerifyError::DigestMismatch {
                what: what.to_owned(),
                expected: named.to_string(),
                found: digest.to_string(),
            });
        }
        Ok(key)
    }
}

/// The one member of a bundle that could take far more memory than its text, read without keeping it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline {
    verification_material: OutlineMaterial,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OutlineMaterial {
    /// Elements without a size: counting them takes no memory.
    #[serde(default)]
    tlog_entries: Vec<IgnoredAny>,
}

/// Reads a bundle of a key: no transparency log entries, because nobody here could check them.
pub(crate) fn read_bundle(name: &str, text: &[u8]) -> Result<Bundle, VerifyError> {
    let outline: Outline = serde_json::from_slice(text).map_err(|cause| VerifyError::not_json(name, &cause))?;
    if !outline.verification_material.tlog_entries.is_empty() {
        return Err(VerifyError::rule(name, "it has transparency log entries, which are not read here"));
    }
    Bundle::parse(text).map_err(|cause| VerifyError::not_a_bundle(name, &cause))
}

/// The keys that may have signed, and the one that says it did.
#[derive(Debug)]
pub(crate) struct Judge<'a> {
    keys: &'a [PublicKey],
    /// The key that came with the bundle. It proves nothing; it only tells a foreign signature from a broken one.
    shipped: Option<PublicKey>,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(container: &Container<'_>, policy: &'a Policy) -> Result<Self, VerifyError> {
        let pem = container.beside(KEY)?;
        let shipped =
            pem.and_then(|pem| String::from_utf8(pem.into_owned()).ok()).and_then(|pem| PublicKey::from_pem(&pem).ok());
        Ok(Self { keys: &policy.keys, shipped })
    }

    /// The key, of those given, whose signature this is; `hint` is what the bundle says.
    pub(crate) fn signer(
        &self,
        what: &'static str,
        file: &'static str,
        message: &[u8],
        signature: &[u8],
        hint: Option<&str>,
    ) -> Result<&PublicKey, VerifyError> {
        let mut cause = None;
        for key in self.keys {
            match key.verify(message, signature) {
                Ok(()) if hint.is_none_or(|hint| hint == key.hint()) => return Ok(key),
                Ok(()) => return Err(VerifyError::rule(file, "it names another key than the one that signed")),
                Err(error) => cause = Some(error),
            }
        }
        let named = hint.filter(|hint| self.keys.iter().all(|key| key.hint() != *hint));
        let named = match named.map(|hint| from_base64(hint).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())) {
            Some(None) => return Err(VerifyError::rule(file, "the key it names is no SHA-256")),
            Some(Some(bytes)) => Some(Sha256Digest::from(bytes).hex()),
            None => None,
        };
        let shipped =
            || self.shipped.as_ref().filter(|key| key.verify(message, signature).is_ok()).map(PublicKey::key_id);
        match named.or_else(shipped) {
            Some(signer) => {
                let expected = self.keys.iter().map(PublicKey::key_id).collect();
                Err(VerifyError::WrongSigner { what, signer, expected })
            }
            None => Err(VerifyError::SignatureInvalid { what, file, cause }),
        }
    }
}
