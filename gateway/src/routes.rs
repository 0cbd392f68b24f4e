//! Which path is which endpoint.

use std::convert::Infallible;
use std::future::Future;

use export_contract::ErrorCode;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use warp::filters::BoxedFilter;
use warp::reject::Rejection;
use warp::reply::Response;
use warp::{Filter, Reply};

use crate::problem::Problem;
use crate::request::{Incoming, incoming};
use crate::state::Gateway;
use crate::{admin, downloads, events, profiles, runs, token};

/// The whole API as one filter that never rejects.
pub fn routes(
    gateway: Gateway,
) -> impl Filter<Extract = (impl Reply + use<>,), Error = Infallible> + Clone {
    let api = || warp::path("api").and(warp::path("export"));
    let profiles_path = || api().and(warp::path("profiles"));
    let runs_path = || api().and(warp::path("runs"));
    let end = warp::path::end;
    let one = warp::path::param::<String>;

    let profile_routes = profiles_path()
        .and(end())
        .and(warp::get())
        .and(call(
            &gateway,
            |g, r| async move { profiles::list(&g, r).await },
        ))
        .or(profiles_path()
            .and(end())
            .and(warp::post())
            .and(call(&gateway, |g, r| async move {
                profiles::create(&g, r).await
            })))
        .unify()
        .or(profiles_path()
            .and(one())
            .and(end())
            .and(warp::get())
            .and(state(&gateway))
            .then(|id: String, g: Gateway, r: Incoming| async move {
                answer(profiles::show(&g, &id, r).await)
            }))
        .unify()
        .or(profiles_path()
            .and(one())
            .and(end())
            .and(warp::patch())
            .and(state(&gateway))
            .then(|id: String, g: Gateway, r: Incoming| async move {
                answer(profiles::update(&g, &id, r).await)
            }))
        .unify()
        .boxed();
    let run_routes = runs_path()
        .and(end())
        .and(warp::post())
        .and(call(
            &gateway,
            |g, r| async move { runs::create(&g, r).await },
        ))
        .or(runs_path()
            .and(end())
            .and(warp::get())
            .and(call(
                &gateway,
                |g, r| async move { runs::list(&g, r).await },
            )))
        .unify()
        .or(runs_path()
            .and(one())
            .and(end())
            .and(warp::get())
            .and(state(&gateway))
            .then(|id: String, g: Gateway, r: Incoming| async move {
                answer(runs::show(&g, &id, r).await)
            }))
        .unify()
        .or(runs_path()
            .and(one())
            .and(warp::path("cancel"))
            .and(end())
            .and(warp::post())
            .and(state(&gateway))
            .then(|id: String, g: Gateway, r: Incoming| async move {
                answer(runs::cancel(&g, &id, r).await)
            }))
        .unify()
        .or(runs_path()
            .and(one())
            .and(warp::path("events"))
            .and(end())
            .and(warp::get())
            .and(state(&gateway))
            .then(|id: String, g: Gateway, r: Incoming| async move {
                answer(events::follow(&g, &id, r).await)
            }))
        .unify()
        .boxed();
    let download_routes = runs_path()
        .and(one())
        .and(warp::path("download"))
        .and(end())
        .and(warp::get())
        .and(state(&gateway))
        .then(|id: String, g: Gateway, r: Incoming| async move {
            answer(downloads::bundle(&g, &id, r).await)
        })
        .or(runs_path()
            .and(one())
            .and(warp::path("manifest"))
            .and(end())
            .and(warp::get())
            .and(state(&gateway))
            .then(|id: String, g: Gateway, r: Incoming| async move {
                answer(downloads::manifest(&g, &id, r).await)
            }))
        .unify()
        .or(runs_path()
            .and(one())
            .and(warp::path("provenance"))
            .and(end())
            .and(warp::get())
            .and(state(&gateway))
            .then(|id: String, g: Gateway, r: Incoming| async move {
                answer(downloads::provenance(&g, &id, r).await)
            }))
        .unify()
        .or(runs_path()
            .and(one())
            .and(warp::path("files"))
            .and(one())
            .and(end())
            .and(warp::get())
            .and(state(&gateway))
            .then(
                |id: String, name: String, g: Gateway, r: Incoming| async move {
                    answer(downloads::sidecar(&g, &id, &name, r).await)
                },
            ))
        .unify()
        .boxed();
    let key_routes = api()
        .and(warp::path("keys"))
        .and(end())
        .and(warp::get())
        .and(call(&gateway, |g, _| async move {
            Ok(json_response(
                StatusCode::OK,
                &serde_json::json!({ "keys": g.keys }),
            ))
        }))
        .or(warp::path!("authority" / "token")
            .and(warp::post())
            .and(call(
                &gateway,
                |g, r| async move { token::issue(&g, r).await },
            )))
        .unify()
        .or(warp::path!("authority" / "jwks.json")
            .and(warp::get())
            .and(call(&gateway, |g, _| async move { token::keys(&g).await })))
        .unify()
        .boxed();
    let health_routes = warp::path!("health" / "live")
        .and(warp::get())
        .map(admin::live)
        .or(warp::path!("health" / "ready").and(warp::get()).and(call(
            &gateway,
            |g, _| async move { Ok(g.health.answer().await) },
        )))
        .unify()
        .boxed();

    profile_routes
        .or(run_routes)
        .unify()
        .or(download_routes)
        .unify()
        .or(key_routes)
        .unify()
        .or(health_routes)
        .unify()
        .recover(refused)
        .map(guarded)
}

/// Gateway and request for an endpoint without path parameters.
fn call<F, Fut>(gateway: &Gateway, endpoint: F) -> BoxedFilter<(Response,)>
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

fn state(gateway: &Gateway) -> BoxedFilter<(Gateway, Incoming)> {
    let gateway = gateway.clone();
    warp::any()
        .map(move || gateway.clone())
        .and(incoming())
        .boxed()
}

fn answer(outcome: Result<Response, Problem>) -> Response {
    outcome.unwrap_or_else(Problem::into_response)
}

/// What matched no route.
async fn refused(rejection: Rejection) -> Result<Response, Infallible> {
    let problem = if rejection.is_not_found() {
        Problem::new(
            ErrorCode::NotFound,
            "no such path; the API begins at /api/export",
        )
    } else if rejection.find::<warp::reject::MethodNotAllowed>().is_some() {
        Problem::new(
            ErrorCode::MethodNotAllowed,
            "this path does not take this method",
        )
    } else {
        Problem::new(ErrorCode::InvalidRequest, "the request cannot be read")
    };
    Ok(problem.into_response())
}

/// Headers that every answer carries.
fn guarded(reply: impl Reply) -> Response {
    let mut response = reply.into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// A JSON answer.
pub(crate) fn json_response(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => {
            let mut response = Response::new(bytes::Bytes::from(body).into());
            *response.status_mut() = status;
            response.headers_mut().insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            );
            response
        }
        Err(_) => Problem::new(ErrorCode::Internal, "the answer cannot be written").into_response(),
    }
}
