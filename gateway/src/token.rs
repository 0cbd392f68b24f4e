//! `/authority`: tokens and keys, where this gateway is its own authority.

use export_authority::{TokenRefused, TokenRequest};
use export_contract::ErrorCode;
use http::{HeaderValue, StatusCode, header};
use warp::reply::Response;

use crate::problem::Problem;
use crate::request::{Incoming, form_pairs};
use crate::routes::json_response;
use crate::state::Gateway;

/// Issues a token (RFC 6749 section 4.4). Errors have the form of that RFC, which clients expect here.
pub(crate) async fn issue(gateway: &Gateway, mut request: Incoming) -> Result<Response, Problem> {
    let Some(issuer) = &gateway.issuer else {
        return Err(absent());
    };
    let body = request.bytes(16 << 10).await?;
    let mut fields: std::collections::BTreeMap<String, String> =
        form_pairs(&String::from_utf8_lossy(&body)).into_iter().collect();
    let mut field = |name: &str| fields.remove(name).unwrap_or_default();
    let wanted = TokenRequest {
        grant_type: field("grant_type"),
        client_id: field("client_id"),
        client_secret: field("client_secret"),
        scope: Some(field("scope")).filter(|scope| !scope.is_empty()),
    };
    let mut response = match issuer.issue(&wanted) {
        Ok(token) => json_response(StatusCode::OK, &token),
        Err(refused) => {
            let status = match refused {
                TokenRefused::InvalidClient => StatusCode::UNAUTHORIZED,
                TokenRefused::UnsupportedGrant | TokenRefused::InvalidScope => StatusCode::BAD_REQUEST,
                TokenRefused::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            };
            json_response(status, &serde_json::json!({ "error": refused.to_string() }))
        }
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The public keys (RFC 7517).
pub(crate) fn keys(gateway: &Gateway) -> Result<Response, Problem> {
    let issuer = gateway.issuer.as_ref().ok_or_else(absent)?;
    Ok(json_response(StatusCode::OK, issuer.jwks()))
}

fn absent() -> Problem {
    Problem::new(ErrorCode::NotFound, "this gateway issues no tokens; ask the Authority it was configured with")
}
