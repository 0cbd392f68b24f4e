//! The tokens that the local authority issues.

use std::time::{SystemTime, UNIX_EPOCH};

use export_contract::TenantId;
use jsonwebtoken::{Algorithm, Header, encode};
use serde::Serialize;

use super::{LocalAuthority, TokenRefused, random_hex};

/// What a token is to say.
pub(super) struct Wanted<'a> {
    pub(super) audience: &'a str,
    pub(super) subject: &'a str,
    pub(super) scope: &'a str,
    pub(super) tenants: &'a [TenantId],
    pub(super) seconds: u64,
    /// The key that it is bound to.
    pub(super) thumbprint: Option<&'a str>,
}

/// The claims of a token (RFC 9068 section 2.2).
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    client_id: &'a str,
    iat: u64,
    nbf: u64,
    exp: u64,
    jti: String,
    scope: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a TenantId>,
    #[serde(skip_serializing_if = "<[TenantId]>::is_empty")]
    tenants: &'a [TenantId],
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation<'a>>,
}

/// `cnf` (RFC 9449 section 6.1).
#[derive(Serialize)]
struct Confirmation<'a> {
    jkt: &'a str,
}

impl LocalAuthority {
    /// A token that is valid from now on.
    pub(super) fn sign(&self, wanted: &Wanted<'_>) -> Result<String, TokenRefused> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let claims = Claims {
            iss: &self.issuer,
            aud: wanted.audience,
            sub: wanted.subject,
            client_id: wanted.subject,
            iat: now,
            nbf: now,
            exp: now + wanted.seconds,
            jti: random_hex(),
            scope: wanted.scope,
            tenant: wanted.tenants.first(),
            tenants: wanted.tenants.get(1..).unwrap_or_default(),
            cnf: wanted.thumbprint.map(|jkt| Confirmation { jkt }),
        };
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(self.key_id.clone());
        encode(&header, &claims, &self.key).map_err(|_| TokenRefused::ServerError)
    }
}
