//! Sigstore bundles, version 0.3, for signatures by key.
//!
//! Go reads them without tolerance for unknown members, so what is written here has none, and what is read may have none.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::dsse::Envelope;
use crate::key::PublicKey;
use export_canon::digesting::sha256;

/// The one media type that is written and read.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// Longest bundle that is read.
pub const MAX_BYTES: usize = 24 << 20;

/// A bundle: what verifies it, and either a message signature or an envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bundle {
    /// Always [`MEDIA_TYPE`].
    pub media_type: String,
    /// Which key.
    pub verification_material: VerificationMaterial,
    /// A signature over bytes that are elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_signature: Option<MessageSignature>,
    /// A signed payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dsse_envelope: Option<Envelope>,
}

/// Names the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerificationMaterial {
    /// The key.
    pub public_key: KeyHint,
    /// Entries of a transparency log; there is none at the sites this is for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tlog_entries: Vec<serde_json::Value>,
}

/// A hint, not a proof: verifiers use the key they were given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyHint {
    /// base64 of SHA-256 over the SPKI, as cosign writes it.
    pub hint: String,
}

/// A signature over a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MessageSignature {
    /// Digest of the message.
    pub message_digest: MessageDigest,
    /// DER, base64.
    pub signature: String,
}

/// Digest of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageDigest {
    /// `SHA2_256`.
    pub algorithm: String,
    /// base64.
    pub digest: String,
}

/// Why a text is not a bundle that is read here.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Longer than [`MAX_BYTES`].
    #[error("a bundle of {0} bytes is longer than the {MAX_BYTES} that are read")]
    TooLarge(usize),
    /// Not JSON, or a member too many or too few.
    #[error("not a Sigstore bundle v0.3 of a key")]
    Parse(#[source] serde_json::Error),
    /// Another media type.
    #[error("the bundle's media type is `{0}`, `{MEDIA_TYPE}` is read")]
    MediaType(String),
    /// Neither or both of message signature and envelope.
    #[error("the bundle must hold either a message signature or an envelope")]
    Content,
}

impl Bundle {
    /// A bundle with `key`'s signature over `message`.
    #[must_use]
    pub fn of_message(key: &PublicKey, message: &[u8], signature: &[u8]) -> Self {
        let message_signature = MessageSignature {
            message_digest: MessageDigest {
                algorithm: "SHA2_256".to_owned(),
                digest: to_base64(sha256(message).as_bytes()),
            },
            signature: to_base64(signature),
        };
        Self { message_signature: Some(message_signature), ..Self::empty(key) }
    }

    /// A bundle with an envelope that `key` signed.
    #[must_use]
    pub fn of_envelope(key: &PublicKey, envelope: Envelope) -> Self {
        Self { dsse_envelope: Some(envelope), ..Self::empty(key) }
    }

    /// Reads a bundle.
    ///
    /// # Errors
    /// See [`BundleError`].
    pub fn parse(text: &[u8]) -> Result<Self, BundleError> {
        if text.len() > MAX_BYTES {
            return Err(BundleError::TooLarge(text.len()));
        }
        let bundle: Self = serde_json::from_slice(text).map_err(BundleError::Parse)?;
        if bundle.media_type != MEDIA_TYPE {
            return Err(BundleError::MediaType(bundle.media_type));
        }
        if bundle.message_signature.is_some() == bundle.dsse_envelope.is_some() {
            return Err(BundleError::Content);
        }
        Ok(bundle)
    }

    fn empty(key: &PublicKey) -> Self {
        Self {
            media_type: MEDIA_TYPE.to_owned(),
            verification_material: VerificationMaterial {
                public_key: KeyHint { hint: key.hint() },
                tlog_entries: Vec::new(),
            },
            message_signature: None,
            dsse_envelope: None,
        }
    }
}

/// Standard base64 with padding.
#[must_use]
pub fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The bytes of standard base64 with padding; `None` when it is not that.
#[must_use]
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}
