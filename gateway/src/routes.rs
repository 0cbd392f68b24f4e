//! Which path is which endpoint.

use std::convert::Infallible;
use std::future::Future;

use export_contract::ErrorCode;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use warp::filters::BoxedFilter;
use warp::reject::Rejection;
use warp::reply::Response;
use warp::{Filter, Reply};

use crate::authenticate::NONCE;
use crate::console::PagePolicy;
use crate::problem::Problem;
use crate::request::{Incoming, incoming};
use crate::state::{Gateway, KeyList, now};
use crate::{
    admin, audit, console, dead_letters, downloads, events, links, openapi, profiles, quota, registry, replay, runs,
    schedules, token, vex, webhooks,
};

/// The whole API as one filter that never rejects.
pub fn routes(gateway: &Gateway) -> impl Filter<Extract = (impl Reply + use<>,), Error = Infallible> + Clone + use<> {
    let cors = gateway.cors.clone();
    let answers = openapi::gate(gateway)
        .or(profile_routes(gateway))
        .unify()
        .or(run_routes(gateway))
        .unify()
        .or(dead_letters::routes(gateway))
        .unify()
        .or(document_routes(gateway))
        .unify()
        .or(schedules::routes(gateway))
        .unify()
        .or(webhooks::routes(gateway))
        .unify()
        .or(quota::routes(gateway))
        .unify()
        .or(audit::routes(gateway))
        .unify()
        .or(download_routes(gateway))
        .unify()
        .or(key_routes(gateway))
        .unify()
        .or(health_routes(gateway))
        .unify()
        .or(registry_routes(gateway))
        .unify()
        .or(vex_routes(gateway))
        .unify()
        .or(console::routes(gateway))
        .unify()
        .recover(refused)
        .map({
            let gateway = gateway.clone();
            move |reply| guarded(&gateway, reply)
        });
    warp::header::headers_cloned()
        .and(answers)
        .map(move |headers: HeaderMap, response| openapi::judge_origin(&headers, &cors, response))
}

fn document_routes(gateway: &Gateway) -> BoxedFilter<(Response,)> {
    let document = path(&["openapi.json"])
        .and(warp::path::end())
        .and(reading())
        .and(call(gateway, |_, r| async move { openapi::show(&r) }));
    let config = path(&["api", "export", "schemas", "profile-config"])
        .and(warp::path::param())
        .and(warp::path::end())
        .and(reading())
        .and(state(gateway))
        .then(|kind: String, _: Gateway, r: Incoming| async move { answer(openapi::config(&r, &kind)) });
    document.or(config).unify().boxed()
}

fn profile_routes(gateway: &Gateway) -> BoxedFilter<(Response,)> {
    let all = || path(&["api", "export", "profiles"]).and(warp::path::end());
    let one = || item("profiles", "");
    let list = all().and(reading()).and(call(gateway, |g, r| async move { profiles::list(&g, r).await }));
    let create = all().and(warp::post()).and(call(gateway, |g, r| async move { profiles::create(&g, r).await }));
    let show = one()
        .and(reading())
        .and(state(gateway))
        .then(|id: String, g: Gateway, r: Incoming| async move { answer(profiles::show(&g, &id, r).await) });
    let update = one()
        .and(warp::patch())
        .and(state(gateway))
        .then(|id: String, g: Gateway, r: Incoming| async move { answer(profiles::update(&g, &id, r).await) });
    let delete = one()
        .and(warp::delete())
        .and(state(gateway))
        .then(|id: String, g: Gateway, r: Incoming| async move { answer(profiles::delete(&g, &id, r).await) });
    let revisions = item("profiles", "revisions")
        .and(reading())
        .and(state(gateway))
        .then(|id: String, g: Gateway, r: Incoming| async move { answer(profiles::revisions(&g, &id, r).await) });
    let changes = update.or(delete).unify();
    list.or(create).unify().or(show).unify().or(changes).unify().or(revisions).unify().boxed()
}

fn run_routes(gateway: &Gateway) -> BoxedFilter<(Response,)> {
    let all = || path(&["api", "export", "runs"]).and(warp::path::end());
    let create = all().and(warp::post()).and(call(gateway, |g, r| async move { runs::create(&g, r).await }));
    let list = all().and(reading()).and(call(gateway, |g, r| async move { runs::list(&g, r).await }));
    let show = item("runs", "")
        .and(reading())
        .and(state(gateway))
        .then(|id: String, g: Gateway, r: Incoming| async move { answer(runs::show(&g, &id, r).await) });
    let cancel = item("runs", "cancel")
        .and(warp::post())
        .and(state(gateway))
        .then(|id: String, g: Gateway, r: Incoming| async move { answer(runs::cancel(&g, &id, r).await) });
    let replay = item("runs", "replay")
        .and(warp::post())
        .and(state(gateway))
        .then(|id: String, g: Gateway, r: Incoming| async move { answer(replay::create(&g, &id, r).await) });
    let follow = item("runs", "events")
        .and(warp::get())
        .and(state(gateway))
        .then(|id: String, g: Gateway, r: Incoming| async move { answer(events::follow(&g, &id, r).await) });
    let changes = cancel.or(replay).unify();
    create.or(list).unify().or(show).unify().or(changes).unify().or(follow).unify().boxed()
}

fn download_routes(gateway: &Gateway) -> BoxedFilter<(Response,)> {
    let bundle = item("runs", "download")
        .and(reading())
        .and(state(gateway))
        .then(|id: String, g: Gateway, r: Incoming| async move { answer(downloads::bundle(&g, &id, r).await) });
    let manifest = item("runs", "manifest")
        .and(reading())
        .and(state(gateway))
        .then(|id: String, g: Gateway, r: Incoming| async move { answer(downloads::manifest(&g, &id, r).await) });
    let provenance = item("runs", "provenance")
        .and(reading())
        .and(state(gateway))
        .then(|id: String, g: Gateway, r: Incoming| async move { answer(downloads::provenance(&g, &id, r).await) });
    let file = path(&["api", "export", "runs"])
        .and(warp::path::param())
        .and(warp::path("files"))
        .and(warp::path::param())
        .and(warp::path::end())
        .and(reading())
        .and(state(gateway))
        .then(|id: String, name: String, g: Gateway, r: Incoming| async move {
            answer(downloads::sidecar(&g, &id, &name, r).await)
        });
    let link = item("runs", "links")
        .and(warp::post())
        .and(state(gateway))
        .then(|id: String, g: Gateway, r: Incoming| async move { answer(links::create(&g, &id, r).await) });
    let follow = path(&["api", "export", "links"])
        .and(warp::path::param())
        .and(warp::path::param())
        .and(warp::path::param())
        .and(warp::path::end())
        .and(reading())
        .and(state(gateway))
        .then(|tenant: String, run: String, name: String, g: Gateway, r: Incoming| async move {
            answer(links::follow(&g, &tenant, &run, &name, r).await)
        });
    let files = bundle.or(manifest).unify().or(provenance).unify().or(file).unify();
    files.or(link).unify().or(follow).unify().boxed()
}

/// Methods that only read: what answers `HEAD` leaves out the body.
pub(crate) fn reading() -> BoxedFilter<()> {
    warp::get().or(warp::head()).unify().boxed()
}

fn key_routes(gateway: &Gateway) -> BoxedFilter<(Response,)> {
    let end = warp::path::end;
    let keys = path(&["api", "export", "keys"])
        .and(end())
        .and(reading())
        .and(call(gateway, |g, _| async move { Ok(json_response(StatusCode::OK, &KeyList { keys: g.keys })) }));
    let issue = path(&["authority", "token"])
        .and(end())
        .and(warp::post())
        .and(call(gateway, |g, r| async move { token::issue(&g, r).await }));
    let jwks = path(&["authority", "jwks.json"])
        .and(end())
        .and(reading())
        .and(call(gateway, |g, _| async move { token::keys(&g) }));
    keys.or(issue).unify().or(jwks).unify().boxed()
}

fn health_routes(gateway: &Gateway) -> BoxedFilter<(Response,)> {
    let live = path(&["health", "live"]).and(warp::path::end()).and(reading()).map(admin::live);
    let ready = path(&["health", "ready"])
        .and(warp::path::end())
        .and(reading())
        .and(call(gateway, |g, _| async move { Ok(g.health.verdict().await) }));
    live.or(ready).unify().boxed()
}

/// Everything under `/v2`, whatever the method: a registry answers in its own way.
fn registry_routes(gateway: &Gateway) -> BoxedFilter<(Response,)> {
    path(&["v2"])
        .and(warp::path::tail())
        .and(warp::method())
        .and(state(gateway))
        .then(|tail: warp::path::Tail, method, g: Gateway, r: Incoming| async move {
            registry::answer(&g, &method, tail.as_str(), r).await
        })
        .boxed()
}

fn vex_routes(gateway: &Gateway) -> BoxedFilter<(Response,)> {
    let repository = || path(&["vex"]).and(warp::path::param()).and(warp::path::param()).boxed();
    let describe = repository()
        .and(path(&[".well-known", "vex-repository.json"]))
        .and(warp::path::end())
        .and(reading())
        .and(state(gateway))
        .then(|tenant: String, profile: String, g: Gateway, r: Incoming| async move {
            answer(vex::describe(&g, &tenant, &profile, r).await)
        });
    let archive = repository()
        .and(warp::path("repository.tar.zst"))
        .and(warp::path::end())
        .and(reading())
        .and(state(gateway))
        .then(|tenant: String, profile: String, g: Gateway, r: Incoming| async move {
            answer(vex::archive(&g, &tenant, &profile, r).await)
        });
    describe.or(archive).unify().boxed()
}

/// The names of a path, one after the other.
pub(crate) fn path(names: &[&'static str]) -> BoxedFilter<()> {
    names.iter().fold(warp::any().boxed(), |filter, name| filter.and(warp::path(*name)).boxed())
}

/// `/api/export/<collection>/{id}`, with `/<tail>` where that is not empty; gives the id.
pub(crate) fn item(collection: &'static str, tail: &'static str) -> BoxedFilter<(String,)> {
    let id = path(&["api", "export", collection]).and(warp::path::param());
    let tail = if tail.is_empty() { warp::any().boxed() } else { warp::path(tail).boxed() };
    id.and(tail).and(warp::path::end()).boxed()
}

/// Gateway and request for an endpoint without path parameters.
pub(crate) fn call<F, Fut>(gateway: &Gateway, endpoint: F) -> BoxedFilter<(Response,)>
where
    F: Fn(Gateway, Incoming) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Response, Problem>> + Send + 'static,
{
    state(gateway)
        .then(move |gateway: Gateway, request: Incoming| {
            let outcome = endpoint(gateway, request);
            async move { answer(outcome.await) }
        })
        .boxed()
}

pub(crate) fn state(gateway: &Gateway) -> BoxedFilter<(Gateway, Incoming)> {
    let gateway = gateway.clone();
    warp::any().map(move || gateway.clone()).and(incoming()).boxed()
}

pub(crate) fn answer(outcome: Result<Response, Problem>) -> Response {
    outcome.unwrap_or_else(Problem::into_response)
}

/// What matched no route.
async fn refused(rejection: Rejection) -> Result<Response, Infallible> {
    let problem = if rejection.is_not_found() {
        Problem::new(ErrorCode::NotFound, "no such path; the API begins at /api/export")
    } else if rejection.find::<warp::reject::MethodNotAllowed>().is_some() {
        Problem::new(ErrorCode::MethodNotAllowed, "this path does not take this method")
    } else {
        Problem::new(ErrorCode::InvalidRequest, "the request cannot be read")
    };
    Ok(problem.into_response())
}

/// Headers that every answer of the API carries.
pub(crate) fn guarded(gateway: &Gateway, reply: impl Reply) -> Response {
    let mut response = hardened(reply, gateway.registry.is_secured());
    // Whoever has the nonce of now need not be asked to come again (RFC 9449 section 8.2).
    if let Some(nonce) = gateway.proofs.nonce_to_offer(now()).and_then(|nonce| HeaderValue::from_str(&nonce).ok()) {
        response.headers_mut().entry(NONCE).or_insert(nonce);
    }
    response
}

/// What browsers are told; `secured` says that the gateway is reached over TLS.
pub(crate) fn hardened(reply: impl Reply, secured: bool) -> Response {
    let mut response = reply.into_response();
    let page = response.extensions_mut().remove::<PagePolicy>();
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // But for the console nothing that is served is a page: whatever a browser takes for one loads nothing and stands in no frame.
    let policy = page.map_or_else(
        || HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
        |PagePolicy(policy)| policy,
    );
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin"));
    if secured {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=63072000"));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The JSON answer to a request that made something, with its address (RFC 9110 section 15.3.2).
pub(crate) fn created(path: &str, body: &impl Serialize) -> Response {
    located(path, json_response(StatusCode::CREATED, body))
}

/// The same answer with the address of what was made.
pub(crate) fn located(path: &str, mut response: Response) -> Response {
    if let Ok(location) = HeaderValue::from_str(path) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// A JSON answer.
pub(crate) fn json_response(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => {
            let mut response = Response::new(bytes::Bytes::from(body).into());
            *response.status_mut() = status;
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(_) => Problem::new(ErrorCode::Internal, "the answer cannot be written").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use http::header;

    #[test]
    fn only_a_gateway_that_is_reached_over_tls_tells_browsers_to_stay_with_it() {
        for secured in [false, true] {
            let answer = super::hardened(http::StatusCode::OK, secured);
            assert_eq!(answer.headers().contains_key(header::STRICT_TRANSPORT_SECURITY), secured);
            assert!(answer.headers().contains_key(header::CONTENT_SECURITY_POLICY));
            assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
        }
    }
}
