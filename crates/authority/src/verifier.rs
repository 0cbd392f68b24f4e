//! Checking access tokens (RFC 7519, RFC 9068) against the keys of an authority.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use export_contract::{TenantId, Timestamp};
use serde::Deserialize;
use serde_json::{Number, Value};

use crate::caller::{Binding, Caller, Scope};
use crate::jws::{Jws, seconds};
use crate::keys::{KeySource, KeysUnavailable};

/// Why a token was refused. Clients are told no more than this.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// Not a signed JWT of an allowed algorithm.
    #[error("the token is not a signed JWT with ES256, EdDSA or RS256: {0}")]
    Malformed(&'static str),
    /// No key of the authority has the token's key id.
    #[error("the token was signed by a key that the authority does not list")]
    UnknownKey,
    /// Signature, times, issuer or audience are wrong.
    #[error("the token is not valid here: {0}")]
    Invalid(&'static str),
    /// The token names no tenant, or one that is not a tenant id.
    #[error("the token names no tenant")]
    NoTenant,
    /// The authority cannot be asked at the moment.
    #[error("the authority does not answer")]
    Unavailable(#[source] KeysUnavailable),
}

/// Turns an access token into its caller.
#[async_trait]
pub trait Authority: Send + Sync + fmt::Debug {
    /// Checks `token`. Whether the one who sends it may use it is not known yet: see [`Binding`].
    ///
    /// # Errors
    /// When the token proves nothing, or the authority cannot be asked.
    async fn authenticate(&self, token: &str) -> Result<Caller, AuthError>;
}

/// Seconds that clocks may differ.
const LEEWAY: i64 = 60;
/// Longest token that is looked at.
const MAX_TOKEN_BYTES: usize = 8 << 10;
/// Longest subject and token id.
const MAX_NAME: usize = 255;

/// What tokens must say to be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRules {
    /// `iss`.
    pub issuer: String,
    /// What `aud` must be, or have among its entries.
    pub audience: String,
    /// The claim with the tenant, or the tenants, that a token speaks for. Entries of `tenants` are added in any case.
    pub tenant_claim: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: OneOrMore,
    sub: String,
    exp: Number,
    #[serde(default)]
    nbf: Option<Number>,
    #[serde(default)]
    iat: Option<Number>,
    jti: String,
    /// Scopes, separated by blanks (RFC 8693 section 4.2).
    #[serde(default)]
    scope: String,
    /// How the sender must prove that the token is its own (RFC 7800).
    #[serde(default)]
    cnf: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// Checks tokens against the keys of a source.
#[derive(Clone, Debug)]
pub struct TokenVerifier {
    rules: TokenRules,
    keys: Arc<dyn KeySource>,
}

impl TokenVerifier {
    /// A verifier by `rules` with `keys`.
    pub fn new(rules: TokenRules, keys: Arc<dyn KeySource>) -> Self {
        Self { rules, keys }
    }

    /// Checks form, key, signature, issuer, audience and times, and reads the caller.
    ///
    /// # Errors
    /// See [`AuthError`].
    pub async fn verify(&self, token: &str, now: Timestamp) -> Result<Caller, AuthError> {
        let jws = Jws::read(token, MAX_TOKEN_BYTES).map_err(AuthError::Malformed)?;
        // RFC 9068 section 4 asks for `at+jwt`; authorities before it say `JWT` or nothing. A proof is no token.
        let typ = jws.typ.as_ref().map(|typ| typ.to_ascii_lowercase());
        let typ = typ.as_deref().map(|typ| typ.strip_prefix("application/").unwrap_or(typ));
        if !matches!(typ, None | Some("jwt" | "at+jwt")) {
            return Err(AuthError::Malformed("its `typ` is neither `JWT` nor `at+jwt`"));
        }
        let id = jws.kid.as_deref().ok_or(AuthError::UnknownKey)?;
        let key = self.keys.key(id).await.map_err(AuthError::Unavailable)?.ok_or(AuthError::UnknownKey)?;
        if !key.has_signed(&jws) {
            return Err(AuthError::Invalid("its signature does not verify"));
        }
        let unreadable = |_| AuthError::Invalid("its claims cannot be read");
        let claims: Claims = serde_json::from_slice(&jws.payload).map_err(unreadable)?;
        self.check(&claims, now.as_seconds())?;
        let all: BTreeMap<String, Value> = serde_json::from_slice(&jws.payload).map_err(unreadable)?;
        Ok(Caller {
            tenants: self.tenants(&all)?,
            // Scopes of other services may stand in the token; they mean nothing here.
            scopes: claims
                .scope
                .split_ascii_whitespace()
                .filter_map(|scope| scope.parse().ok())
                .collect::<BTreeSet<Scope>>(),
            binding: binding(claims.cnf.as_ref()),
            subject: claims.sub,
            token_id: claims.jti,
        })
    }

    fn check(&self, claims: &Claims, now: i64) -> Result<(), AuthError> {
        let fails = |reason| Err(AuthError::Invalid(reason));
        if claims.iss != self.rules.issuer {
            return fails("it is of another issuer");
        }
        let audience = &self.rules.audience;
        let is_for_us = match &claims.aud {
            OneOrMore::One(one) => one == audience,
            OneOrMore::More(more) => more.contains(audience),
        };
        if !is_for_us {
            return fails("it is for another audience");
        }
        let unreadable = || AuthError::Invalid("its times cannot be read");
        let time = |claim: &Number| seconds(claim).ok_or_else(unreadable);
        if time(&claims.exp)?.saturating_add(LEEWAY) <= now {
            return fails("it has expired");
        }
        for begin in [&claims.nbf, &claims.iat].into_iter().flatten() {
            if time(begin)? > now.saturating_add(LEEWAY) {
                return fails("it is not valid yet");
            }
        }
        let is_name = |text: &str| (1..=MAX_NAME).contains(&text.len());
        if !is_name(&claims.sub) || !is_name(&claims.jti) {
            return fails("its `sub` or `jti` is empty or too long");
        }
        Ok(())
    }

    fn tenants(&self, claims: &BTreeMap<String, Value>) -> Result<Vec<TenantId>, AuthError> {
        let mut tenants: Vec<TenantId> = Vec::new();
        let mut names = vec![self.rules.tenant_claim.as_str()];
        names.extend((self.rules.tenant_claim != "tenants").then_some("tenants"));
        for claim in names.into_iter().filter_map(|name| claims.get(name)) {
            let entries = claim.as_array().map_or_else(|| std::slice::from_ref(claim), Vec::as_slice);
            for entry in entries {
                let tenant = entry.as_str().and_then(|name| name.parse().ok()).ok_or(AuthError::NoTenant)?;
                if !tenants.contains(&tenant) {
                    tenants.push(tenant);
                }
            }
        }
        if tenants.is_empty() { Err(AuthError::NoTenant) } else { Ok(tenants) }
    }
}

/// What `cnf` asks for (RFC 9449 section 6.1).
fn binding(cnf: Option<&Value>) -> Binding {
    match cnf {
        None | Some(Value::Null) => Binding::None,
        Some(cnf) => match cnf.get("jkt").and_then(Value::as_str) {
            Some(thumbprint) => Binding::Key(thumbprint.to_owned()),
            None => Binding::Other,
        },
    }
}

#[async_trait]
impl Authority for TokenVerifier {
    async fn authenticate(&self, token: &str) -> Result<Caller, AuthError> {
        self.verify(token, SystemTime::now().into()).await
    }
}
