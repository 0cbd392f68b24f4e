//! The API as a table, and what is made of it: the OpenAPI document, the gate before the routes, and the frozen samples.
//!
//! A path or method without a row in [`table`] is not there: the gate refuses it before any route is looked at. So the document
//! leaves out nothing that is served, and tests ask every row whether it is served.

mod document;
mod frozen;
mod gate;
mod operation;
mod table;
mod wire;

use std::sync::LazyLock;

use bytes::Bytes;
use export_canon::digesting::sha256;
use export_contract::ErrorCode;
use export_contract::profile::{ProfileKind, config_schema};
use http::{HeaderName, HeaderValue, StatusCode, header};
use warp::reply::Response;

pub use document::document;
pub use frozen::frozen;
pub(crate) use gate::{gate, judge_origin};
pub(crate) use operation::Operation;

use crate::problem::Problem;
use crate::request::Incoming;

/// How long a document may be taken from a cache without asking.
const FRESH: &str = "public, max-age=300";

/// Every operation.
pub(crate) static OPERATIONS: LazyLock<Vec<Operation>> = LazyLock::new(table::operations);

static DOCUMENT: LazyLock<(Bytes, String)> = LazyLock::new(|| tagged(&document()));

fn tagged(document: &serde_json::Value) -> (Bytes, String) {
    let text = document.to_string();
    let tag = format!("\"{}\"", sha256(text.as_bytes()).hex());
    (Bytes::from(text), tag)
}

/// `GET /openapi.json`.
pub(crate) fn show(request: &Incoming) -> Result<Response, Problem> {
    request.query(&[])?;
    let (text, tag) = &*DOCUMENT;
    Ok(cached(request, text.clone(), tag, "application/json"))
}

/// `GET /api/export/schemas/profile-config/{kind}`.
pub(crate) fn config(request: &Incoming, kind: &str) -> Result<Response, Problem> {
    request.query(&[])?;
    let kind =
        ProfileKind::ALL.into_iter().find(|known| known.as_str() == kind || known.built_in_id().as_str() == kind);
    let kind = kind.ok_or_else(|| {
        let known: Vec<&str> = ProfileKind::ALL.iter().map(|kind| kind.as_str()).collect();
        Problem::new(ErrorCode::NotFound, format!("no such kind of profile; known are {}", known.join(", ")))
    })?;
    let (text, tag) = tagged(&config_schema(kind));
    Ok(cached(request, text, &tag, "application/schema+json"))
}

/// A text, or that nothing changed where the request names its tag.
pub(crate) fn cached(request: &Incoming, text: Bytes, tag: &str, media: &'static str) -> Response {
    let unchanged =
        request.header("if-none-match").is_some_and(|tags| tags.split(',').any(|known| known.trim() == tag));
    let mut response = Response::new(if unchanged { Bytes::new() } else { text }.into());
    let mut put = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    };
    put(header::ETAG, tag);
    put(header::CACHE_CONTROL, FRESH);
    if unchanged {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        put(header::CONTENT_TYPE, media);
    }
    response
}

#[cfg(test)]
mod tests;
