//! The parts of a request, each read once and within bounds.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use export_contract::ErrorCode;
use futures::{Stream, StreamExt};
use http::{HeaderMap, Method};
use serde::de::DeserializeOwned;
use warp::Filter;

use crate::problem::{FieldError, Problem};
use crate::visit::Visit;

type BodyStream = Pin<Box<dyn Stream<Item = Result<Bytes, warp::Error>> + Send + Sync>>;

/// Time for a request's body, from when the endpoint begins to read it.
const BODY_WITHIN: Duration = Duration::from_secs(30);
/// Most bytes of a refused body that are read for the sake of the answer.
const MAX_PASSED_OVER: usize = 8 << 20;

/// Entries of a page that names no number.
const DEFAULT_PAGE: u32 = 50;
/// Most entries of a page.
const MAX_PAGE: u32 = 200;

/// A request whose route is known.
pub(crate) struct Incoming {
    pub(crate) method: Method,
    /// As it was sent, with its percent-encoding.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    /// What is noted of it for those who see it on its way out.
    pub(crate) visit: Arc<Visit>,
    query: String,
    body: BodyStream,
}

/// Takes headers, query and body as they are.
pub(crate) fn incoming() -> impl Filter<Extract = (Incoming,), Error = warp::Rejection> + Clone {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    let path = warp::path::full().map(|path: warp::path::FullPath| path.as_str().to_owned());
    let head = warp::method().and(path).and(warp::header::headers_cloned());
    let visit = warp::ext::optional::<Arc<Visit>>();
    head.and(visit).and(query).and(warp::body::stream()).map(
        |method: Method, path, headers: HeaderMap, visit: Option<Arc<Visit>>, query, body| Incoming {
            visit: visit.unwrap_or_else(|| Arc::new(Visit::new(None, &method, &http::Uri::default(), &headers))),
            method,
            path,
            headers,
            query,
            body: Box::pin(StreamExt::map(body, |piece: Result<_, warp::Error>| piece.map(to_bytes))),
        },
    )
}

fn to_bytes(mut piece: impl Buf) -> Bytes {
    piece.copy_to_bytes(piece.remaining())
}

impl Incoming {
    /// A header as text; one that is not ASCII counts as absent.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The whole body, at most `limit` bytes, within [`BODY_WITHIN`].
    pub(crate) async fn bytes(&mut self, limit: usize) -> Result<Bytes, Problem> {
        // What a small body would unpack to is not known before it is unpacked.
        if let Some(coding) = self.header("content-encoding").filter(|coding| !coding.eq_ignore_ascii_case("identity"))
        {
            let detail = format!("Content-Encoding `{coding}` is not taken; send the body as it is");
            return Err(Problem::new(ErrorCode::UnsupportedMedia, detail));
        }
        match tokio::time::timeout(BODY_WITHIN, self.whole(limit)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let detail = format!("the body did not come within {} s", BODY_WITHIN.as_secs());
                Err(Problem::new(ErrorCode::RequestTimeout, detail))
            }
        }
    }

    async fn whole(&mut self, limit: usize) -> Result<Bytes, Problem> {
        let too_large = || Problem::new(ErrorCode::BodyTooLarge, format!("the body is larger than {limit} bytes"));
        let announced = self.header("content-length").and_then(|length| length.parse::<usize>().ok());
        if announced.is_some_and(|length| length > limit) {
            self.pass_over().await;
            return Err(too_large());
        }
        let mut whole = BytesMut::new();
        while let Some(piece) = self.body.next().await {
            let piece = piece.map_err(|_| Problem::new(ErrorCode::InvalidRequest, "the body broke off"))?;
            if whole.len() + piece.len() > limit {
                self.pass_over().await;
                return Err(too_large());
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    /// Reads on without keeping anything: a client that still sends when the connection closes loses the answer.
    async fn pass_over(&mut self) {
        let mut passed = 0;
        while passed < MAX_PASSED_OVER
            && let Some(Ok(piece)) = self.body.next().await
        {
            passed += piece.len();
        }
    }

    /// The body as JSON.
    pub(crate) async fn json<T: DeserializeOwned>(&mut self, limit: usize) -> Result<T, Problem> {
        parse_json(&self.json_bytes(limit).await?)
    }

    /// The body, which says that it is JSON.
    pub(crate) async fn json_bytes(&mut self, limit: usize) -> Result<Bytes, Problem> {
        let media =
            self.header("content-type").unwrap_or("").split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        if media != "application/json" && !media.ends_with("+json") {
            return Err(Problem::new(
                ErrorCode::UnsupportedMedia,
                format!("the body must be `application/json`, the request says `{media}`"),
            ));
        }
        self.bytes(limit).await
    }

    /// The query as pairs, whatever they are: names may come more than once.
    pub(crate) fn pairs(&self) -> Vec<(String, String)> {
        form_pairs(&self.query)
    }

    /// The query as pairs; a parameter outside `known` is refused.
    pub(crate) fn query(&self, known: &[&str]) -> Result<BTreeMap<String, String>, Problem> {
        let pairs = self.pairs();
        for (name, _) in &pairs {
            if !known.contains(&name.as_str()) {
                return Err(Problem::new(
                    ErrorCode::InvalidRequest,
                    format!("query parameter `{name}` is unknown here; known are: {}", known.join(", ")),
                ));
            }
        }
        Ok(pairs.into_iter().collect())
    }

    /// Entries that a page is to have.
    pub(crate) fn page_limit(query: &BTreeMap<String, String>) -> Result<u32, Problem> {
        let Some(text) = query.get("limit") else { return Ok(DEFAULT_PAGE) };
        let limit = text.parse().ok().filter(|limit| (1..=MAX_PAGE).contains(limit));
        limit.ok_or_else(|| bad_parameter("limit", format!("`{text}` is not a number from 1 to {MAX_PAGE}")))
    }
}

/// A query parameter that cannot be read.
pub(crate) fn bad_parameter(name: &str, problem: String) -> Problem {
    Problem::new(ErrorCode::InvalidRequest, format!("query parameter `{name}` is not valid"))
        .with_errors(vec![FieldError { path: name.to_owned(), problem }])
}

/// Reads JSON and names line and column of the first fault.
pub(crate) fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        Problem::new(ErrorCode::InvalidRequest, format!("the body is not what this endpoint takes: {error}"))
    })
}

/// Splits `application/x-www-form-urlencoded` text.
pub(crate) fn form_pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (unescape(name), unescape(value))
        })
        .collect()
}

fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => plain.push(b' '),
            b'%' => {
                let digits = rest.as_slice().get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
                match digits.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
                    Some(decoded) => {
                        plain.push(decoded);
                        rest = rest.as_slice().get(2..).unwrap_or_default().iter();
                    }
                    None => plain.push(b'%'),
                }
            }
            other => plain.push(*other),
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::form_pairs;

    #[test]
    fn queries_are_unescaped_and_broken_escapes_kept() {
        assert_eq!(
            form_pairs("a=1+2&b=%2Fx%zz&c"),
            [("a".into(), "1 2".into()), ("b".into(), "/x%zz".into()), ("c".into(), String::new())]
        );
    }
}
