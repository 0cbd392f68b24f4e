//! The console: pages for people, at `/`. They hold no data: whatever they show they ask the API for, with the token and the proofs of who
//! sits before them. So they need no token themselves, and they are the same for everybody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use bytes::Bytes;
use export_canon::digesting::sha256;
use export_contract::ErrorCode;
use http::{HeaderValue, header};
use warp::Filter as _;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use crate::openapi::cached;
use crate::problem::Problem;
use crate::request::Incoming;
use crate::routes::{answer, call, path, reading, state};
use crate::state::Gateway;

/// The page at `/`; the others lie under `/console/`.
const INDEX: &str = "index.html";
/// A new build is seen at once, and an old one costs a question.
const ASK: &str = "no-cache";

macro_rules! files {
    ($($name:literal),* $(,)?) => { &[$(($name, include_str!(concat!("../console/", $name)))),*] };
}

/// Every file, as it is built in: a site that is closed off loads nothing from elsewhere.
const FILES: &[(&str, &str)] = files![
    "api.js",
    "app.js",
    "audit.js",
    "bundle.js",
    "confirm.js",
    "dom.js",
    "encoding.js",
    "format.js",
    "icon.svg",
    "index.html",
    "letters.js",
    "listing.js",
    "new_run.js",
    "new_schedule.js",
    "new_webhook.js",
    "open.js",
    "problem.js",
    "profile.js",
    "profiles.js",
    "proof.js",
    "quota.js",
    "run.js",
    "run_result.js",
    "runs.js",
    "schedules.js",
    "selectors.js",
    "session.js",
    "settings.js",
    "sign_in.js",
    "signature.js",
    "stream.js",
    "style.css",
    "tar.js",
    "timeline.js",
    "webhooks.js",
];

/// A file as it is sent.
struct File {
    text: Bytes,
    tag: String,
    media: &'static str,
}

static SERVED: LazyLock<BTreeMap<&'static str, File>> = LazyLock::new(|| {
    let served = FILES.iter().map(|(name, text)| {
        let tag = format!("\"{}\"", sha256(text.as_bytes()).hex());
        (*name, File { text: Bytes::from_static(text.as_bytes()), tag, media: media(name) })
    });
    served.collect()
});

fn media(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/javascript; charset=utf-8",
    }
}

/// What the console is served with.
#[derive(Clone, Debug)]
pub struct Console {
    policy: HeaderValue,
}

/// Marks an answer as a page, which may do what its policy says and no more.
#[derive(Clone, Debug)]
pub(crate) struct PagePolicy(pub(crate) HeaderValue);

impl Console {
    /// A console whose pages may ask this gateway, and the token endpoints of these origins; `None` where one of them is no origin.
    pub fn new(authorities: &BTreeSet<String>) -> Option<Self> {
        let is_origin =
            |origin: &String| origin.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';' && byte != b',');
        if !authorities.iter().all(is_origin) {
            return None;
        }
        let elsewhere: String = authorities.iter().map(|origin| format!(" {origin}")).collect();
        let policy = format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'{elsewhere}; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
        );
        HeaderValue::from_str(&policy).ok().map(|policy| Self { policy })
    }
}

/// `/` and `/console/{name}`.
pub(crate) fn routes(gateway: &Gateway) -> BoxedFilter<(Response,)> {
    let index =
        warp::path::end().and(reading()).and(call(gateway, |g, r| async move { show(g.console.as_ref(), &r, INDEX) }));
    let file = path(&["console"])
        .and(warp::path::param())
        .and(warp::path::end())
        .and(reading())
        .and(state(gateway))
        .then(|name: String, g: Gateway, r: Incoming| async move { answer(show(g.console.as_ref(), &r, &name)) });
    index.or(file).unify().boxed()
}

fn show(console: Option<&Console>, request: &Incoming, name: &str) -> Result<Response, Problem> {
    request.query(&[])?;
    let console = console.ok_or_else(|| {
        Problem::new(
            ErrorCode::NotFound,
            "this gateway has no console (console.enabled); the API begins at /api/export",
        )
    })?;
    let file = SERVED.get(name).ok_or_else(|| Problem::new(ErrorCode::NotFound, "the console has no such file"))?;
    let mut response = cached(request, file.text.clone(), &file.tag, file.media);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(ASK));
    response.extensions_mut().insert(PagePolicy(console.policy.clone()));
    Ok(response)
}

#[cfg(test)]
mod tests;
