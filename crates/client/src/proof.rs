//! Proofs of possession (RFC 9449): what makes a stolen token worthless.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// A key that makes proofs. It lives as long as its process: the tokens that are bound to it are short.
pub struct ProofKey {
    pair: EcdsaKeyPair,
    jwk: Value,
}

impl fmt::Debug for ProofKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProofKey")
    }
}

/// No proof can be made: the machine gives no randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the machine cannot make a key or a signature")]
pub struct CannotProve;

impl ProofKey {
    /// A new key on P-256.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn generate() -> Result<Self, CannotProve> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| CannotProve)?;
        // An uncompressed point: 4, and two numbers of 32 bytes (SEC 1 section 2.3.3).
        let point = pair.public_key().as_ref();
        let (x, y) = point.get(1..).and_then(|point| point.split_at_checked(32)).ok_or(CannotProve)?;
        let jwk =
            json!({ "kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y) });
        Ok(Self { pair, jwk })
    }

    /// The public half, as a JWK.
    pub fn jwk(&self) -> &Value {
        &self.jwk
    }

    /// A proof for one request: its method, its address (query and fragment are left out), the token that goes with it, and the nonce
    /// that the server asked for.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn proof(
        &self,
        method: &str,
        address: &str,
        token: Option<&str>,
        nonce: Option<&str>,
    ) -> Result<String, CannotProve> {
        let issued_at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let address = address.split(['?', '#']).next().unwrap_or_default();
        let id: [u8; 16] = rand::random();
        let mut claims = json!({ "jti": URL_SAFE_NO_PAD.encode(id), "htm": method, "htu": address, "iat": issued_at });
        if let Some(token) = token {
            claims["ath"] = Value::from(URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes())));
        }
        if let Some(nonce) = nonce {
            claims["nonce"] = Value::from(nonce);
        }
        self.sign(&json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk }), &claims)
    }

    /// Signs any header and claims: for proofs that must be refused.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn sign(&self, header: &Value, claims: &Value) -> Result<String, CannotProve> {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).map_err(|_| CannotProve)?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
    }
}
