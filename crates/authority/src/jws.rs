//! The compact form of a signed JSON document (RFC 7515 section 7.1), read and not yet believed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde_json::{Number, Value};

/// A signature algorithm that is taken. With HMAC a public key would be a secret, and `none` proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignatureAlgorithm {
    Es256,
    EdDsa,
    Rs256,
}

impl SignatureAlgorithm {
    /// By its name in a header (RFC 7518 section 3.1, RFC 8037 section 3.1).
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "ES256" => Some(Self::Es256),
            "EdDSA" => Some(Self::EdDsa),
            "RS256" => Some(Self::Rs256),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        }
    }

    pub(crate) fn of_the_library(self) -> Algorithm {
        match self {
            Self::Es256 => Algorithm::ES256,
            Self::EdDsa => Algorithm::EdDSA,
            Self::Rs256 => Algorithm::RS256,
        }
    }
}

/// What of a header is read. `jku`, `x5u` and `x5c` are not: no key comes from a token.
#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    typ: Option<String>,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crit: Option<Value>,
    #[serde(default)]
    jwk: Option<Value>,
}

/// Three parts, decoded.
#[derive(Debug)]
pub(crate) struct Jws<'a> {
    pub(crate) algorithm: SignatureAlgorithm,
    pub(crate) typ: Option<String>,
    pub(crate) kid: Option<String>,
    /// The key that a proof brings along; tokens have none that counts.
    pub(crate) jwk: Option<Value>,
    pub(crate) payload: Vec<u8>,
    /// What was signed.
    pub(crate) message: &'a str,
    /// The signature, in base64url.
    pub(crate) signature: &'a str,
}

impl<'a> Jws<'a> {
    /// Splits and decodes `text`, which is at most `limit` bytes long; says what is wrong.
    pub(crate) fn read(text: &'a str, limit: usize) -> Result<Self, &'static str> {
        if text.len() > limit {
            return Err("it is too long");
        }
        let (message, signature) = text.rsplit_once('.').ok_or("it does not have three parts")?;
        let (header, payload) = message.split_once('.').ok_or("it does not have three parts")?;
        if payload.contains('.') {
            return Err("it does not have three parts");
        }
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| "a part of it is not base64url");
        let header: Header = serde_json::from_slice(&decoded(header)?).map_err(|_| "its header cannot be read")?;
        let algorithm = SignatureAlgorithm::named(&header.alg).ok_or("its algorithm is none of ES256, EdDSA, RS256")?;
        // RFC 7515 section 4.1.11: what is critical must be understood, and nothing that could stand there is.
        if header.crit.is_some() {
            return Err("its header has critical members");
        }
        let payload = decoded(payload)?;
        decoded(signature)?;
        Ok(Self { algorithm, typ: header.typ, kid: header.kid, jwk: header.jwk, payload, message, signature })
    }
}

/// A `NumericDate` (RFC 7519 section 2) in whole seconds; fractions are dropped.
pub(crate) fn seconds(number: &Number) -> Option<i64> {
    /// Far beyond every date, and exact in a double.
    const FAR: f64 = 1e15;
    number.as_i64().or_else(|| {
        let number = number.as_f64().filter(|number| number.abs() < FAR)?;
        #[expect(clippy::cast_possible_truncation, reason = "bounded above")]
        Some(number.floor() as i64)
    })
}
