//! Keys, tokens and proofs as others make them, good ones and bad ones.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use export_contract::Timestamp;
use serde_json::{Value, json};

/// The time of every table.
pub(crate) const NOW: i64 = 1_800_000_000;

pub(crate) fn now() -> Timestamp {
    Timestamp::from_micros(NOW * 1_000_000).unwrap()
}

pub(crate) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn ath(token: &str) -> String {
    b64(digest(&SHA256, token.as_bytes()))
}

pub(crate) enum Pair {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

/// A key pair that signs whatever it is given.
pub(crate) struct Signer {
    pub(crate) algorithm: &'static str,
    pub(crate) jwk: Value,
    pub(crate) pair: Pair,
}

impl Signer {
    pub(crate) fn es256() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = pair.public_key().as_ref().to_vec();
        let jwk = json!({ "kty": "EC", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..]) });
        Self { algorithm: "ES256", jwk, pair: Pair::Ec(pair) }
    }

    pub(crate) fn ed25519() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(pair.public_key()) });
        Self { algorithm: "EdDSA", jwk, pair: Pair::Ed(pair) }
    }

    pub(crate) fn rs256() -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let (n, e) = (pair.public_key().modulus(), pair.public_key().exponent());
        let n: &[u8] = n.big_endian_without_leading_zero();
        let jwk = json!({ "kty": "RSA", "n": b64(n), "e": b64(e.big_endian_without_leading_zero()) });
        Self { algorithm: "RS256", jwk, pair: Pair::Rsa(pair) }
    }

    /// The public key under an id.
    pub(crate) fn listed(&self, id: &str) -> Value {
        let mut jwk = self.jwk.clone();
        jwk["kid"] = json!(id);
        jwk["use"] = json!("sig");
        jwk
    }

    pub(crate) fn signature(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ec(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        let signature = b64(self.signature(message.as_bytes()));
        format!("{message}.{signature}")
    }
}

/// `value` with some members changed; `null` takes one away.
pub(crate) fn with(value: &Value, changes: &Value) -> Value {
    let mut changed = value.clone();
    for (name, member) in changes.as_object().unwrap() {
        if member.is_null() {
            changed.as_object_mut().unwrap().remove(name);
        } else {
            changed[name] = member.clone();
        }
    }
    changed
}

/// The claims of a good token.
pub(crate) fn claims() -> Value {
    json!({
        "iss": "https://authority.test", "aud": "export-center", "sub": "ci", "client_id": "ci",
        "iat": NOW - 10, "nbf": NOW - 10, "exp": NOW + 890, "jti": "token-1",
        "scope": "openid export:read export:run", "tenant": "acme", "cnf": { "jkt": "a-thumbprint" },
    })
}
