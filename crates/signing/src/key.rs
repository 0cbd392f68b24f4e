//! Public keys.

use aws_lc_rs::error::{KeyRejected, Unspecified};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey, UnparsedPublicKey};
use export_canon::digesting::sha256;

/// A public key that verifies what a [`Signer`](crate::Signer) signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    pem: String,
    der: Vec<u8>,
}

/// Why a text is not a public key.
#[derive(Debug, thiserror::Error)]
#[error("not an ECDSA P-256 public key in PEM (`-----BEGIN PUBLIC KEY-----`)")]
pub struct KeyError {
    #[source]
    cause: Option<KeyRejected>,
}

/// The signature is not this key's over these bytes.
#[derive(Debug, thiserror::Error)]
#[error("the signature does not verify")]
pub struct SignatureInvalid {
    #[source]
    cause: Unspecified,
}

/// How the SPKI of every uncompressed P-256 key begins (RFC 5480); 64 bytes of coordinates follow.
const P256_PREFIX: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

impl PublicKey {
    /// Reads a PEM file's text.
    ///
    /// # Errors
    /// When it is not an ECDSA P-256 key.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let wrong = |cause| KeyError { cause };
        let text = pem.trim();
        let body = text.strip_prefix("-----BEGIN PUBLIC KEY-----");
        let body = body.and_then(|rest| rest.strip_suffix("-----END PUBLIC KEY-----")).ok_or_else(|| wrong(None))?;
        let body: String = body.split_ascii_whitespace().collect();
        let der = crate::bundle::from_base64(&body).ok_or_else(|| wrong(None))?;
        if !der.starts_with(&P256_PREFIX) || der.len() != P256_PREFIX.len() + 64 {
            return Err(wrong(None));
        }
        // A point that is not on the curve is told when the key is given, not when it first verifies.
        ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point(&der)).map_err(|cause| wrong(Some(cause)))?;
        Ok(Self { pem: pem.to_owned(), der })
    }

    /// Takes a key in DER (SPKI).
    ///
    /// # Errors
    /// As [`Self::from_pem`].
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let mut pem = "-----BEGIN PUBLIC KEY-----\n".to_owned();
        // RFC 7468: 64 characters a line, which are 48 bytes.
        for line in der.chunks(48) {
            pem.push_str(&crate::bundle::to_base64(line));
            pem.push('\n');
        }
        pem.push_str("-----END PUBLIC KEY-----\n");
        Self::from_pem(&pem)
    }

    /// SPKI in PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The key's id: SHA-256 over its SPKI in DER, 64 hex digits.
    pub fn key_id(&self) -> String {
        sha256(&self.der).hex()
    }

    /// The hint that cosign writes into bundles: the same SHA-256 in base64.
    pub fn hint(&self) -> String {
        crate::bundle::to_base64(sha256(&self.der).as_bytes())
    }

    /// Checks a DER signature over `message`.
    ///
    /// # Errors
    /// When it is not this key's.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureInvalid> {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point(&self.der));
        key.verify(message, signature).map_err(|cause| SignatureInvalid { cause })
    }
}

/// The uncompressed point at the end of a checked SPKI: 0x04 and the coordinates.
fn point(der: &[u8]) -> &[u8] {
    der.get(P256_PREFIX.len() - 1..).unwrap_or_default()
}
