//! Who calls, for which tenant, and whether they may.

use export_authority::{
    AuthError, Binding, Caller, PROOF_ALGORITHMS, ProofRefused, Proven, RegisterUnavailable, Scope,
};
use export_contract::{ErrorCode, TenantId};
use http::HeaderValue;
use http::header::{HeaderName, WWW_AUTHENTICATE};
use warp::reply::Response;

use crate::front;
use crate::problem::Problem;
use crate::request::Incoming;
use crate::state::{Gateway, now};

/// The header with proofs, and the one with the nonce for the next (RFC 9449 sections 4.1 and 8).
const PROOF: &str = "dpop";
pub(crate) const NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// A caller that may do what it asks, for one tenant.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) caller: Caller,
    pub(crate) tenant: TenantId,
}

/// Checks token and proof, the scope and the tenant, in this order.
pub(crate) async fn session(gateway: &Gateway, request: &Incoming, scope: Scope) -> Result<Session, Problem> {
    let caller = caller(gateway, request).await?;
    front::known(request, &caller);
    if !caller.scopes.contains(&scope) {
        return Err(Problem::new(ErrorCode::ScopeMissing, format!("the token lacks the scope `{scope}`")));
    }
    let tenant = tenant(&caller, request)?;
    let session = Session { caller, tenant };
    front::admitted(gateway, request, &session).await?;
    Ok(session)
}

/// As [`session`], for a caller who must have several scopes.
pub(crate) async fn session_with(gateway: &Gateway, request: &Incoming, scopes: &[Scope]) -> Result<Session, Problem> {
    let first = scopes.first().copied().unwrap_or(Scope::Read);
    let session = session(gateway, request, first).await?;
    match scopes.iter().find(|scope| !session.caller.scopes.contains(scope)) {
        Some(scope) => Err(Problem::new(ErrorCode::ScopeMissing, format!("the token lacks the scope `{scope}`"))),
        None => Ok(session),
    }
}

/// The caller by its token, which must be bound to a key, and the proof of that key.
pub(crate) async fn caller(gateway: &Gateway, request: &Incoming) -> Result<Caller, Problem> {
    let refuse = |error, detail: String| refused(error, Problem::new(ErrorCode::Unauthenticated, detail));
    let form = "`Authorization: DPoP TOKEN`, with a proof in the header `DPoP` (RFC 9449)";
    let token = match request.headers.get_all(http::header::AUTHORIZATION).iter().collect::<Vec<_>>().as_slice() {
        [] => return Err(refuse(None, format!("send a token: {form}"))),
        [one] => one.to_str().ok().and_then(|text| text.split_once(' ')),
        _ => return Err(refuse(None, "send one header `Authorization`".to_owned())),
    };
    let token = match token {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("dpop") => token.trim(),
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("bearer") => {
            let detail = format!("a bearer token is not taken, as whoever finds it could use it: send {form}");
            return Err(refuse(None, detail));
        }
        _ => return Err(refuse(None, format!("the Authorization header is not of the form {form}"))),
    };
    let caller = gateway.authority.authenticate(token).await.map_err(|error| match error {
        AuthError::Unavailable(cause) => {
            tracing::warn!(error = &cause as &dyn std::error::Error, "tokens cannot be checked");
            Problem::new(ErrorCode::Unavailable, "the authority does not answer, try again")
        }
        error => refuse(Some("invalid_token"), error.to_string()),
    })?;
    let Binding::Key(thumbprint) = &caller.binding else {
        let detail = "the token is bound to no key (`cnf.jkt`): ask the authority for one with a proof".to_owned();
        return Err(refuse(Some("invalid_token"), detail));
    };
    proven(gateway, request, Some(token), Some(thumbprint)).await.map_err(|error| unproven(gateway, error))?;
    Ok(caller)
}

/// Checks the proof of a request; gives the thumbprint of its key.
pub(crate) async fn proven(
    gateway: &Gateway,
    request: &Incoming,
    token: Option<&str>,
    bound_to: Option<&str>,
) -> Result<String, ProofRefused> {
    let proofs = request.headers.get_all(PROOF).iter().map(|value| value.to_str().unwrap_or_default());
    let proofs: Vec<&str> = proofs.collect();
    let address = gateway.address(request);
    let proven = Proven { method: request.method.as_str(), address: &address, token, bound_to };
    gateway.proofs.check(&proofs, &proven, now()).await
}

fn unproven(gateway: &Gateway, error: ProofRefused) -> Problem {
    match error {
        ProofRefused::Unavailable(cause) => unavailable(&cause),
        ProofRefused::Nonce => {
            let problem = Problem::new(ErrorCode::Unauthenticated, ProofRefused::Nonce.to_string());
            let nonce = HeaderValue::from_str(&gateway.proofs.nonce(now()));
            let problem = refused(Some("use_dpop_nonce"), problem);
            nonce.map_or(problem.clone(), |nonce| problem.with_header(NONCE, nonce))
        }
        // The token is no good to whoever has another key (RFC 9449 section 7.1).
        ProofRefused::Binding => {
            refused(Some("invalid_token"), Problem::new(ErrorCode::Unauthenticated, error.to_string()))
        }
        error => refused(Some("invalid_dpop_proof"), Problem::new(ErrorCode::Unauthenticated, error.to_string())),
    }
}

/// What cannot be told is refused, and not let pass.
pub(crate) fn unavailable(cause: &RegisterUnavailable) -> Problem {
    tracing::warn!(error = cause as &dyn std::error::Error, "proofs cannot be told from repeated ones");
    Problem::new(ErrorCode::Unavailable, "proofs cannot be checked at the moment, try again with a new one")
}

/// Whether an answer refuses nothing but the lack of a nonce (RFC 9449 section 9). The header of the nonce alone does not say so: where
/// nonces are required, every answer has one.
pub(crate) fn is_nonce_asked(response: &Response) -> bool {
    let challenge = response.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
    challenge.is_some_and(|challenge| challenge.contains("error=\"use_dpop_nonce\""))
}

/// With the challenge of RFC 9449 section 7.1.
fn refused(error: Option<&str>, problem: Problem) -> Problem {
    let error = error.map(|error| format!(" error=\"{error}\",")).unwrap_or_default();
    match HeaderValue::from_str(&format!("DPoP{error} algs=\"{PROOF_ALGORITHMS}\"")) {
        Ok(challenge) => problem.with_header(WWW_AUTHENTICATE, challenge),
        Err(_) => problem,
    }
}

fn tenant(caller: &Caller, request: &Incoming) -> Result<TenantId, Problem> {
    let refuse = |detail: String| Problem::new(ErrorCode::TenantMismatch, detail);
    match request.header("x-stella-tenant") {
        Some(wanted) => caller
            .tenants
            .iter()
            .find(|tenant| tenant.as_str() == wanted)
            .cloned()
            .ok_or_else(|| refuse(format!("the token does not speak for tenant `{wanted}`"))),
        None => match caller.tenants.as_slice() {
            [only] => Ok(only.clone()),
            _ => Err(refuse("the token speaks for several tenants: name one in X-Stella-Tenant".to_owned())),
        },
    }
}
