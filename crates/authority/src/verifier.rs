//! Checking tokens against public keys.

use std::collections::BTreeSet;
use std::fmt;

use async_trait::async_trait;
use export_contract::TenantId;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::{Deserialize, Serialize};

use crate::caller::{Caller, Scope};

/// Why a token was refused. Clients are told no more than this.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// Not a signed JWT of an allowed algorithm.
    #[error("the token is not a signed JWT with ES256, EdDSA or RS256")]
    Malformed(#[source] Option<jsonwebtoken::errors::Error>),
    /// No key of the authority has the token's key id.
    #[error("the token was signed by a key that the authority does not list")]
    UnknownKey,
    /// Signature, times, issuer or audience are wrong.
    #[error("the token is not valid here: {reason}")]
    Invalid {
        /// Which check failed.
        reason: &'static str,
        /// Why.
        #[source]
        cause: jsonwebtoken::errors::Error,
    },
    /// The token names no tenant, or one that is not a tenant id.
    #[error("the token names no tenant")]
    NoTenant,
    /// The authority cannot be asked at the moment.
    #[error("the authority does not answer")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Turns a bearer token into its caller.
#[async_trait]
pub trait Authority: Send + Sync + fmt::Debug {
    /// Checks `token`.
    ///
    /// # Errors
    /// When the token proves nothing, or the authority cannot be asked.
    async fn authenticate(&self, token: &str) -> Result<Caller, AuthError>;
}

/// The claims that tokens carry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    pub(crate) aud: String,
    pub(crate) sub: String,
    pub(crate) iat: u64,
    pub(crate) nbf: u64,
    pub(crate) exp: u64,
    pub(crate) jti: String,
    /// Scopes, separated by blanks (RFC 8693 section 4.2).
    pub(crate) scope: String,
    /// The tenant the token speaks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<String>,
    /// Further tenants; `X-Stella-Tenant` picks one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tenants: Vec<String>,
}

/// Tokens older than `iat` + this many seconds of clock skew are judged as the clock says.
const LEEWAY_SECONDS: u64 = 60;
/// Longest token that is looked at.
const MAX_TOKEN_BYTES: usize = 8 << 10;

/// Checks tokens against a fixed set of keys.
#[derive(Clone, Debug)]
pub struct TokenVerifier {
    issuer: String,
    audience: String,
    keys: JwkSet,
}

impl TokenVerifier {
    /// A verifier for tokens of `issuer` made for `audience`, signed by one of `keys`.
    pub fn new(issuer: String, audience: String, keys: JwkSet) -> Self {
        Self { issuer, audience, keys }
    }

    /// Checks signature, algorithm, times, issuer and audience, and reads the caller.
    ///
    /// # Errors
    /// See [`AuthError`].
    pub fn verify(&self, token: &str) -> Result<Caller, AuthError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(AuthError::Malformed(None));
        }
        let header = decode_header(token).map_err(|cause| AuthError::Malformed(Some(cause)))?;
        // Only asymmetric algorithms: with HMAC a public key would be a secret, and `none` proves nothing.
        if !matches!(header.alg, Algorithm::ES256 | Algorithm::EdDSA | Algorithm::RS256) {
            return Err(AuthError::Malformed(None));
        }
        let kid = header.kid.ok_or(AuthError::UnknownKey)?;
        let jwk = self.keys.find(&kid).ok_or(AuthError::UnknownKey)?;
        let key = DecodingKey::from_jwk(jwk).map_err(|cause| AuthError::Malformed(Some(cause)))?;
        let mut validation = Validation::new(header.alg);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.set_audience(&[&self.audience]);
        validation.set_issuer(&[&self.issuer]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        let claims = decode::<Claims>(token, &key, &validation)
            .map_err(|cause| AuthError::Invalid { reason: reason(&cause), cause })?
            .claims;
        caller(claims)
    }
}

fn reason(error: &jsonwebtoken::errors::Error) -> &'static str {
    use jsonwebtoken::errors::ErrorKind;
    match error.kind() {
        ErrorKind::ExpiredSignature => "it has expired",
        ErrorKind::ImmatureSignature => "it is not valid yet",
        ErrorKind::InvalidIssuer => "it is of another issuer",
        ErrorKind::InvalidAudience => "it is for another audience",
        ErrorKind::InvalidSignature => "its signature does not verify",
        _ => "its claims or signature cannot be read",
    }
}

fn caller(claims: Claims) -> Result<Caller, AuthError> {
    let mut tenants: Vec<TenantId> = Vec::new();
    for name in claims.tenant.into_iter().chain(claims.tenants) {
        let tenant = name.parse().map_err(|_| AuthError::NoTenant)?;
        if !tenants.contains(&tenant) {
            tenants.push(tenant);
        }
    }
    if tenants.is_empty() {
        return Err(AuthError::NoTenant);
    }
    // Scopes of other services may stand in the token; they mean nothing here.
    let scopes: BTreeSet<Scope> =
        claims.scope.split_ascii_whitespace().filter_map(|scope| scope.parse().ok()).collect();
    Ok(Caller { subject: claims.sub, tenants, scopes, token_id: claims.jti })
}

#[async_trait]
impl Authority for TokenVerifier {
    async fn authenticate(&self, token: &str) -> Result<Caller, AuthError> {
        self.verify(token)
    }
}
