//! Tokens of anybody's making, also with the authority's own key.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use export_client::ProofKey;
use export_tests::{Api, Deployment, LOCAL_TENANT};
use serde_json::{Value, json};

pub(crate) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn seconds_now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// The thumbprint of a key on P-256 (RFC 7638).
pub(crate) fn thumbprint(jwk: &Value) -> String {
    let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, jwk["x"], jwk["y"]);
    b64(digest(&SHA256, canonical.as_bytes()))
}

pub(crate) fn ath(token: &str) -> String {
    b64(digest(&SHA256, token.as_bytes()))
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

/// A key that signs tokens.
pub(crate) struct Forge {
    pair: EcdsaKeyPair,
    /// The key set of the authority.
    pub(crate) keys: Value,
    pub(crate) header: Value,
    pub(crate) claims: Value,
}

impl Forge {
    /// With the key of the deployment's own authority: its tokens are good but for what they say.
    pub(crate) async fn of(deployment: &Deployment, api: &Api) -> Self {
        let der = std::fs::read(deployment.data().join("authority/signing.p8")).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).unwrap();
        Self::with_pair(pair, api).await
    }

    /// With a key that the authority does not know.
    pub(crate) async fn stranger(api: &Api) -> Self {
        Self::with_pair(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(), api).await
    }

    /// An authority elsewhere, with a key of its own under `id`; its tokens are bound to `holder`.
    pub(crate) fn elsewhere(id: &str, issuer: &str, holder: &ProofKey) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = pair.public_key().as_ref();
        let (x, y) = (b64(&point[1..33]), b64(&point[33..]));
        let keys = json!({ "keys": [{ "kty": "EC", "crv": "P-256", "kid": id, "use": "sig", "x": x, "y": y }] });
        Self::new(pair, keys, issuer, holder)
    }

    async fn with_pair(pair: EcdsaKeyPair, api: &Api) -> Self {
        let keys = api.json("/authority/jwks.json").await.unwrap();
        Self::new(pair, keys, "urn:export-center:local-authority", api.key())
    }

    fn new(pair: EcdsaKeyPair, keys: Value, issuer: &str, holder: &ProofKey) -> Self {
        let now = seconds_now();
        let claims = json!({
            "iss": issuer, "aud": "export-center", "sub": "local", "client_id": "local",
            "iat": now, "nbf": now, "exp": now + 900, "jti": "forged", "tenant": LOCAL_TENANT,
            "scope": "export:read export:run export:download export:profile:manage",
            "cnf": { "jkt": thumbprint(holder.jwk()) },
        });
        let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": keys["keys"][0]["kid"] });
        Self { pair, keys, header, claims }
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", b64(signature))
    }

    /// A token with other members in its header.
    pub(crate) fn header(&self, changes: &Value) -> String {
        self.sign(&with(&self.header, changes), &self.claims)
    }

    /// A token with other claims.
    pub(crate) fn claims(&self, changes: &Value) -> String {
        self.sign(&self.header, &with(&self.claims, changes))
    }
}
