//! Public keys as JSON (RFC 7517), read strictly.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};

use crate::jws::{Jws, SignatureAlgorithm};

/// Bits of RSA keys that are taken (RFC 7518 section 3.3 asks for 2048 at least).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;
/// Members that only private or symmetric keys have (RFC 7518 section 6).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// A public key with the one algorithm that it verifies.
#[derive(Clone)]
pub struct VerifyingKey {
    algorithm: SignatureAlgorithm,
    key: DecodingKey,
    thumbprint: String,
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey")
            .field("algorithm", &self.algorithm)
            .field("thumbprint", &self.thumbprint)
            .finish_non_exhaustive()
    }
}

/// Why a JSON value is no key that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwkFault {
    /// A member that only a private or symmetric key has.
    #[error("it holds a private key, which must never be sent")]
    Private,
    /// A kind, curve or length that is not taken, or a member that is missing or not canonical base64url.
    #[error("it is no public key on P-256 or Ed25519, or of RSA with 2048 to 8192 bits")]
    Kind,
    /// `use`, `key_ops` or `alg` say that it is for something else.
    #[error("it is not for verifying signatures of its algorithm")]
    Purpose,
}

impl VerifyingKey {
    /// Reads a JWK.
    ///
    /// # Errors
    /// See [`JwkFault`].
    pub fn from_jwk(jwk: &Value) -> Result<Self, JwkFault> {
        let members = jwk.as_object().ok_or(JwkFault::Kind)?;
        if PRIVATE.iter().any(|name| members.contains_key(*name)) {
            return Err(JwkFault::Private);
        }
        let text = |name: &str| members.get(name).and_then(Value::as_str).ok_or(JwkFault::Kind);
        let bytes = |name: &str| {
            let text = text(name)?;
            URL_SAFE_NO_PAD.decode(text).map(|bytes| (text, bytes)).map_err(|_| JwkFault::Kind)
        };
        let library = |_| JwkFault::Kind;
        let (algorithm, key, canonical) = match text("kty")? {
            "EC" if text("crv")? == "P-256" => {
                let ((x, x_bytes), (y, y_bytes)) = (bytes("x")?, bytes("y")?);
                if x_bytes.len() != 32 || y_bytes.len() != 32 {
                    return Err(JwkFault::Kind);
                }
                let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
                (SignatureAlgorithm::Es256, DecodingKey::from_ec_components(x, y).map_err(library)?, canonical)
            }
            "OKP" if text("crv")? == "Ed25519" => {
                let (x, x_bytes) = bytes("x")?;
                if x_bytes.len() != 32 {
                    return Err(JwkFault::Kind);
                }
                let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
                (SignatureAlgorithm::EdDsa, DecodingKey::from_ed_components(x).map_err(library)?, canonical)
            }
            "RSA" => {
                let ((n, modulus), (e, exponent)) = (bytes("n")?, bytes("e")?);
                let first = *modulus.first().ok_or(JwkFault::Kind)?;
                let bits = modulus.len() * 8 - first.leading_zeros() as usize;
                let is_odd = exponent.last().is_some_and(|last| last % 2 == 1);
                let is_one = exponent.as_slice() == [1];
                // No leading zeros: a key has one form, and so one thumbprint (RFC 7518 section 6.3.1).
                let is_canonical = first != 0 && exponent.first().is_some_and(|first| *first != 0);
                if !RSA_BITS.contains(&bits) || !is_odd || is_one || exponent.len() > 4 || !is_canonical {
                    return Err(JwkFault::Kind);
                }
                let canonical = format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#);
                (SignatureAlgorithm::Rs256, DecodingKey::from_rsa_components(n, e).map_err(library)?, canonical)
            }
            _ => return Err(JwkFault::Kind),
        };
        if !is_for(members, algorithm) {
            return Err(JwkFault::Purpose);
        }
        // RFC 7638 section 3: the required members in this order, without blanks.
        let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes()));
        Ok(Self { algorithm, key, thumbprint })
    }

    /// Its thumbprint (RFC 7638), SHA-256 in base64url.
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// Whether it signed `jws`, with its own algorithm.
    pub(crate) fn has_signed(&self, jws: &Jws<'_>) -> bool {
        let algorithm = self.algorithm.of_the_library();
        jws.algorithm == self.algorithm
            && jsonwebtoken::crypto::verify(jws.signature, jws.message.as_bytes(), &self.key, algorithm)
                .unwrap_or(false)
    }
}

/// Whether what a key says of its purpose allows signatures (RFC 7517 sections 4.2 to 4.4).
fn is_for(members: &Map<String, Value>, algorithm: SignatureAlgorithm) -> bool {
    let says = |name: &str, wanted: &str| members.get(name).is_none_or(|value| value.as_str() == Some(wanted));
    let operations = members.get("key_ops").is_none_or(|operations| {
        operations.as_array().is_some_and(|names| names.iter().any(|name| name.as_str() == Some("verify")))
    });
    says("use", "sig") && operations && says("alg", algorithm.name())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{JwkFault, VerifyingKey};

    #[test]
    fn a_thumbprint_is_that_of_the_rfc() {
        // RFC 7638 section 3.1.
        let jwk = json!({
            "kty": "RSA", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        });
        let key = VerifyingKey::from_jwk(&jwk).unwrap();
        assert_eq!(key.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn keys_that_are_private_short_odd_or_for_something_else_are_refused() {
        let x = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
        let y = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
        let with = |name: &str, value: serde_json::Value| {
            let mut jwk = json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y });
            jwk[name] = value;
            jwk
        };
        assert!(VerifyingKey::from_jwk(&with("use", json!("sig"))).is_ok());
        assert!(VerifyingKey::from_jwk(&with("key_ops", json!(["verify"]))).is_ok());
        let short = "A".repeat(300);
        let rsa = |n: &str, e: &str| json!({ "kty": "RSA", "n": n, "e": e });
        let long = format!("_{}", "A".repeat(342 - 1));
        assert!(VerifyingKey::from_jwk(&rsa(&long.replace('_', "v"), "AQAB")).is_ok());
        for (jwk, fault) in [
            (with("d", json!("AA")), JwkFault::Private),
            (with("k", json!("")), JwkFault::Private),
            (json!({ "kty": "oct", "k": "c2VjcmV0" }), JwkFault::Private),
            (with("use", json!("enc")), JwkFault::Purpose),
            (with("key_ops", json!(["sign"])), JwkFault::Purpose),
            (with("alg", json!("ES384")), JwkFault::Purpose),
            (with("crv", json!("P-384")), JwkFault::Kind),
            (with("kty", json!("OKP")), JwkFault::Kind),
            (with("x", json!("AA")), JwkFault::Kind),
            (with("x", json!(format!("{x}="))), JwkFault::Kind),
            (with("y", json!(1)), JwkFault::Kind),
            (rsa(&short, "AQAB"), JwkFault::Kind),
            (rsa(&format!("AA{long}"), "AQAB"), JwkFault::Kind),
            (rsa(&long.replace('_', "v"), "AQ"), JwkFault::Kind),
            (rsa(&long.replace('_', "v"), "Ag"), JwkFault::Kind),
            (rsa(&long.replace('_', "v"), "AAEAAQ"), JwkFault::Kind),
            (json!("a text"), JwkFault::Kind),
            (json!(null), JwkFault::Kind),
        ] {
            assert_eq!(VerifyingKey::from_jwk(&jwk).unwrap_err(), fault, "{jwk}");
        }
    }
}
