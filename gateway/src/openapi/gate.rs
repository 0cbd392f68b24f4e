//! What stands before the routes: a request that no row of the table takes is refused here, by path, method and `Accept`.

use std::collections::BTreeSet;

use export_contract::ErrorCode;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::{OPERATIONS, Operation};
use crate::problem::Problem;
use crate::state::Gateway;

/// Headers that a page of an allowed origin may send.
const SENT: &str = "authorization, content-type, dpop, idempotency-key, if-match, if-none-match, if-range, last-event-id, \
                    range, x-correlation-id, x-stella-tenant";
/// Headers of answers that it may read.
const SHOWN: &str = "accept-ranges, content-range, dpop-nonce, etag, link, location, repr-digest, retry-after, \
                     www-authenticate, x-export-digest, x-export-length";
/// Seconds for which a browser may remember what it was allowed.
const REMEMBERED: &str = "600";

/// Answers what is not to reach a route; rejects what is.
pub(crate) fn gate(gateway: &Gateway) -> BoxedFilter<(Response,)> {
    let origins = gateway.cors.clone();
    warp::method()
        .and(warp::path::full())
        .and(warp::header::headers_cloned())
        .and_then(move |method: Method, path: warp::path::FullPath, headers: HeaderMap| {
            let outcome = judge(&method, path.as_str(), &headers, &origins);
            async move { outcome.ok_or_else(warp::reject::not_found) }
        })
        .boxed()
}

/// The answer to a request that no operation takes.
fn judge(method: &Method, path: &str, headers: &HeaderMap, origins: &BTreeSet<String>) -> Option<Response> {
    // A registry answers in its own way, whatever is asked.
    if path == "/v2" || path.starts_with("/v2/") {
        return None;
    }
    let here: Vec<&Operation> = OPERATIONS.iter().filter(|operation| operation.is_at(path)).collect();
    if here.is_empty() {
        let problem = Problem::new(ErrorCode::NotFound, "no such path; GET /openapi.json lists what there is");
        return Some(problem.into_response());
    }
    let allow = methods(&here);
    if method == Method::OPTIONS {
        return Some(options(&allow, headers, origins));
    }
    let taken =
        here.iter().find(|operation| operation.method == method.as_str() || operation.head && method == Method::HEAD);
    let Some(operation) = taken else {
        let problem = Problem::new(ErrorCode::MethodNotAllowed, format!("this path takes {allow}"));
        return Some(match HeaderValue::from_str(&allow) {
            Ok(allow) => problem.with_header(header::ALLOW, allow).into_response(),
            Err(_) => problem.into_response(),
        });
    };
    if accepts(headers, operation) {
        return None;
    }
    let media: BTreeSet<&str> = operation.media().collect();
    let offered = media.into_iter().collect::<Vec<_>>().join(", ");
    Some(Problem::new(ErrorCode::NotAcceptable, format!("this endpoint answers with {offered}")).into_response())
}

fn methods(here: &[&Operation]) -> String {
    let mut methods: Vec<&str> = here.iter().map(|operation| operation.method).collect();
    if here.iter().any(|operation| operation.head) {
        methods.push("HEAD");
    }
    methods.push("OPTIONS");
    methods.join(", ")
}

/// Whether `Accept` (RFC 9110 section 12.5.1) leaves any of the media types that an operation answers with. What cannot be read
/// excludes nothing.
fn accepts(headers: &HeaderMap, operation: &Operation) -> bool {
    let mut media = operation.media().peekable();
    if media.peek().is_none() {
        return true;
    }
    let mut ranges = Vec::new();
    for value in headers.get_all(header::ACCEPT) {
        let Ok(text) = value.to_str() else { return true };
        for range in text.split(',').map(str::trim).filter(|range| !range.is_empty()) {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            let excluded = weight.is_some_and(|weight| weight.parse::<f32>().is_ok_and(|weight| weight <= 0.0));
            ranges.push((name, excluded));
        }
    }
    ranges.is_empty() || media.any(|media| accepted(&ranges, media))
}

/// The most specific range decides.
fn accepted(ranges: &[(String, bool)], media: &str) -> bool {
    let family = media.split('/').next().unwrap_or_default();
    let of_family = format!("{family}/*");
    // Also `application/json` accepts a more special kind of JSON, as clients mean it.
    let plain = if media.ends_with("+json") { "application/json" } else { media };
    for wanted in [media, plain, of_family.as_str(), "*/*"] {
        let mut found = ranges.iter().filter(|(range, _)| range == wanted).peekable();
        if found.peek().is_some() {
            return found.any(|(_, excluded)| !excluded);
        }
    }
    false
}

/// `OPTIONS`: what the path takes; and to a browser that asks for a page of an allowed origin, that it may.
fn options(allow: &str, headers: &HeaderMap, origins: &BTreeSet<String>) -> Response {
    let mut response = Response::new(bytes::Bytes::new().into());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let asks = headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let answers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(allow) {
        answers.insert(header::ALLOW, value.clone());
        if asks && is_allowed(headers, origins) {
            answers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, value);
            answers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(SENT));
            answers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(REMEMBERED));
        }
    }
    response
}

fn is_allowed(headers: &HeaderMap, origins: &BTreeSet<String>) -> bool {
    headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok()).is_some_and(|origin| origins.contains(origin))
}

/// Says on an answer that a page of this origin may read it, where that is configured (Fetch, "CORS protocol"). Cookies and the
/// like are never allowed: whoever calls has a token.
pub(crate) fn judge_origin(headers: &HeaderMap, origins: &BTreeSet<String>, mut response: Response) -> Response {
    if origins.is_empty() {
        return response;
    }
    let answers = response.headers_mut();
    answers.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = headers.get(header::ORIGIN).filter(|_| is_allowed(headers, origins)) {
        answers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        answers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(SHOWN));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use http::{HeaderMap, HeaderValue, Method, header};

    use super::judge;

    fn status(method: &Method, path: &str, accept: Option<&str>) -> Option<u16> {
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
        }
        judge(method, path, &headers, &BTreeSet::new()).map(|response| response.status().as_u16())
    }

    #[test]
    fn what_accepts_none_of_the_media_types_is_refused_and_all_else_passes() {
        for (accept, expected) in [
            (None, None),
            (Some("*/*"), None),
            (Some("application/json"), None),
            (Some("text/html, application/*;q=0.5"), None),
            (Some("text/html"), Some(406)),
            (Some("application/json;q=0"), Some(406)),
            (Some("*/*, application/json; q=0"), Some(406)),
            (Some("application/json;q=0, application/json"), None),
            (Some(""), None),
        ] {
            assert_eq!(status(&Method::GET, "/api/export/profiles", accept), expected, "{accept:?}");
        }
        assert_eq!(status(&Method::GET, "/api/export/runs/x/events", Some("text/event-stream")), None);
        assert_eq!(status(&Method::GET, "/api/export/runs/x/events", Some("application/json")), Some(406));
        assert_eq!(status(&Method::DELETE, "/api/export/schedules/x", Some("text/html")), None, "it has no body");
    }

    #[test]
    fn other_methods_are_told_what_there_is() {
        let answer = judge(&Method::PUT, "/api/export/profiles/x", &HeaderMap::new(), &BTreeSet::new()).unwrap();
        assert_eq!(answer.status(), 405);
        assert_eq!(answer.headers()[header::ALLOW], "GET, PATCH, DELETE, HEAD, OPTIONS");
        assert_eq!(status(&Method::HEAD, "/api/export/profiles/x/", None), None);
        assert_eq!(status(&Method::HEAD, "/api/export/runs/x/events", None), Some(405));
        assert_eq!(status(&Method::GET, "/api/export//profiles", None), Some(404));
        assert_eq!(status(&Method::GET, "/v2/whatever/it/is", None), None);
    }

    #[test]
    fn only_pages_of_configured_origins_may_read() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, HeaderValue::from_static("https://console.example"));
        headers.insert(header::ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("POST"));
        let none = BTreeSet::new();
        let ours = BTreeSet::from(["https://console.example".to_owned()]);
        let others = BTreeSet::from(["https://console.example.org".to_owned()]);
        for (origins, allowed) in [(&none, false), (&ours, true), (&others, false)] {
            let answer = judge(&Method::OPTIONS, "/api/export/runs", &headers, origins).unwrap();
            assert_eq!(answer.status(), 204);
            assert_eq!(answer.headers().contains_key(header::ACCESS_CONTROL_ALLOW_METHODS), allowed);
            let answer = super::judge_origin(&headers, origins, answer);
            assert_eq!(answer.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN), allowed);
            assert!(!answer.headers().contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
        }
    }
}
