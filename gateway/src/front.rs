//! What happens to every request, whatever its endpoint: rates before and after it is known who calls, and the audit log.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use export_authority::Caller;
use export_contract::ErrorCode;
use http::{Request, StatusCode};
use tokio::time::Instant;
use tracing::Instrument as _;
use warp::reply::Response;

use crate::audit;
use crate::authenticate::{Session, is_nonce_asked};
use crate::metrics::route;
use crate::problem::{Problem, TRACE};
use crate::request::Incoming;
use crate::routes::guarded;
use crate::state::Gateway;
use crate::visit::Visit;

/// Serves one request from `peer` with `inner`, and counts it.
pub(crate) async fn serve<B, F>(
    gateway: &Gateway,
    peer: SocketAddr,
    request: Request<B>,
    inner: impl FnOnce(Request<B>) -> F,
) -> Result<Response, Infallible>
where
    F: Future<Output = Result<Response, Infallible>>,
{
    let began = Instant::now();
    let visit = Arc::new(Visit::new(Some(peer.ip()), request.method(), request.uri(), request.headers()));
    let span = visit.span(route(&visit.path));
    let served = TRACE.scope(visit.trace, seen(gateway, peer, &visit, request, inner));
    let answered = served.instrument(span.clone()).await;
    if let Ok(response) = &answered {
        span.record("http.response.status_code", response.status().as_u16());
        if let Some(code) = response.extensions().get::<ErrorCode>().filter(|_| response.status().is_server_error()) {
            span.record("error_code", code.as_str());
        }
        gateway.metrics.answered(&visit.method, &visit.path, response.status().as_u16(), began.elapsed());
    }
    answered
}

async fn seen<B, F>(
    gateway: &Gateway,
    peer: SocketAddr,
    visit: &Arc<Visit>,
    mut request: Request<B>,
    inner: impl FnOnce(Request<B>) -> F,
) -> Result<Response, Infallible>
where
    F: Future<Output = Result<Response, Infallible>>,
{
    if visit.has_credentials
        && let Err(problem) = gateway.rates.may_try(peer.ip())
    {
        return Ok(guarded(gateway, problem.into_response()));
    }
    request.extensions_mut().insert(visit.clone());
    let response = inner(request).await?;
    let code = response.extensions().get::<ErrorCode>().copied();
    // Whoever is asked for a nonce showed a token of ours, and guesses nothing.
    let is_challenge = is_nonce_asked(&response);
    let is_wrong = response.status() == StatusCode::UNAUTHORIZED || code == Some(ErrorCode::LinkInvalid);
    if visit.has_credentials && is_wrong && !is_challenge {
        gateway.rates.guessed(peer.ip());
    }
    let mut response = match audit::ended(gateway, visit, &response, code).await {
        Ok(()) => response,
        Err(problem) => guarded(gateway, problem.into_response()),
    };
    if let Some(level) = visit.noted().level {
        level.write(response.headers_mut());
    }
    Ok(response)
}

/// Notes who calls, as soon as that is known: what is refused after this is theirs.
pub(crate) fn known(request: &Incoming, caller: &Caller) {
    let named = request.header("x-stella-tenant");
    let tenant = caller.tenants.iter().find(|tenant| named == Some(tenant.as_str())).or(caller.tenants.first());
    if let Some(tenant) = tenant {
        request.visit.note_caller(caller, tenant);
    }
}

/// Called for every request whose caller has the scope and the tenant that it needs, before anything is done for it.
///
/// # Errors
/// When too many requests came, or the audit log cannot be written.
pub(crate) async fn admitted(gateway: &Gateway, request: &Incoming, session: &Session) -> Result<(), Problem> {
    let visit = &request.visit;
    visit.note_caller(&session.caller, &session.tenant);
    tracing::Span::current().record("tenant", session.tenant.as_str());
    match gateway.rates.take(&session.tenant, &session.caller.subject) {
        Ok(level) => visit.note(|noted| noted.level = level),
        Err((level, problem)) => {
            visit.note(|noted| {
                noted.level = Some(level);
                noted.too_many = true;
            });
            return Err(problem);
        }
    }
    audit::begun(gateway, visit).await
}
