//! `/authority`: tokens and keys, where this gateway is its own authority.

use export_authority::{ClientCredentials, LocalAuthority, ProofRefused, TokenRefused, TokenRequest};
use export_contract::{ErrorCode, TenantId};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;
use warp::reply::Response;

use crate::authenticate::{NONCE, proven, unavailable};
use crate::problem::Problem;
use crate::request::{Incoming, form_pairs};
use crate::routes::json_response;
use crate::state::{Gateway, now};

/// Issues a token (RFC 6749 section 4.4) that is bound to the key of the proof that comes with the request (RFC 9449 section 5).
/// Errors have the form of those RFCs, which clients expect here.
pub(crate) async fn issue(gateway: &Gateway, mut request: Incoming) -> Result<Response, Problem> {
    let Some(issuer) = &gateway.issuer else {
        return Err(absent());
    };
    let body = request.bytes(16 << 10).await?;
    let mut response = match proven(gateway, &request, None, None).await {
        Ok(thumbprint) => issue_to(gateway, issuer, &body, &thumbprint),
        Err(ProofRefused::Unavailable(cause)) => return Err(unavailable(&cause)),
        Err(ProofRefused::Nonce) => {
            let mut response = refusal(StatusCode::BAD_REQUEST, "use_dpop_nonce", &ProofRefused::Nonce.to_string());
            if let Ok(nonce) = HeaderValue::from_str(&gateway.proofs.nonce(now())) {
                response.headers_mut().insert(NONCE, nonce);
            }
            response
        }
        Err(refused) => refusal(StatusCode::BAD_REQUEST, "invalid_dpop_proof", &refused.to_string()),
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn issue_to(gateway: &Gateway, issuer: &LocalAuthority, body: &[u8], thumbprint: &str) -> Response {
    let mut fields: std::collections::BTreeMap<String, String> =
        form_pairs(&String::from_utf8_lossy(body)).into_iter().collect();
    let mut field = |name: &str| fields.remove(name).unwrap_or_default();
    let wanted = TokenRequest {
        grant_type: field("grant_type"),
        client_id: field("client_id"),
        client_secret: field("client_secret"),
        scope: Some(field("scope")).filter(|scope| !scope.is_empty()),
    };
    match braked(gateway, &wanted.client_id, || issuer.issue(&wanted, thumbprint)) {
        Ok(token) => json_response(StatusCode::OK, &token),
        Err(Guess::Wait(seconds)) => {
            let why = format!("too many wrong secrets; try again in {seconds} s");
            let mut response = refusal(StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable", &why);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            response
        }
        Err(Guess::Refused(refused)) => {
            let status = match refused {
                TokenRefused::InvalidClient => StatusCode::UNAUTHORIZED,
                TokenRefused::UnsupportedGrant | TokenRefused::InvalidScope => StatusCode::BAD_REQUEST,
                TokenRefused::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            };
            json_response(status, &json!({ "error": refused.to_string() }))
        }
    }
}

fn refusal(status: StatusCode, error: &str, description: &str) -> Response {
    json_response(status, &json!({ "error": error, "error_description": description }))
}

/// Why a secret opened nothing.
pub(crate) enum Guess {
    /// It was not looked at: so many seconds must pass.
    Wait(u64),
    /// It was wrong, or not enough.
    Refused(TokenRefused),
}

/// Lets `attempt` look at a client's secret, unless too many were wrong.
fn braked<T>(gateway: &Gateway, client: &str, attempt: impl FnOnce() -> Result<T, TokenRefused>) -> Result<T, Guess> {
    if let Some(seconds) = gateway.brake.wait(client) {
        return Err(Guess::Wait(seconds));
    }
    attempt().map_err(|refused| {
        if refused == TokenRefused::InvalidClient {
            gateway.brake.failed(client);
        }
        Guess::Refused(refused)
    })
}

/// The tenants whose bundles a client may pull, by its id and secret.
pub(crate) fn puller(
    gateway: &Gateway,
    issuer: &LocalAuthority,
    client: &ClientCredentials,
) -> Result<Vec<TenantId>, Guess> {
    braked(gateway, &client.client_id, || issuer.puller(&client.client_id, &client.client_secret))
}

/// The public keys (RFC 7517).
pub(crate) fn keys(gateway: &Gateway) -> Result<Response, Problem> {
    let issuer = gateway.issuer.as_ref().ok_or_else(absent)?;
    Ok(json_response(StatusCode::OK, issuer.jwks()))
}

fn absent() -> Problem {
    Problem::new(ErrorCode::NotFound, "this gateway issues no tokens; ask the Authority it was configured with")
}
