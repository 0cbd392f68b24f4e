//! `/api/export/runs/{id}/download`, `/manifest`, `/provenance` and `/files/{name}`.

use std::ops::Range;

use bytes::Bytes;
use export_authority::Scope;
use export_blobs::{BlobError, BlobKey, ByteStream, Workspace};
use export_contract::run::{Run, RunBundle};
use export_contract::{Digest, ErrorCode};
use futures::StreamExt as _;
use http::{HeaderName, HeaderValue, StatusCode, header};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use warp::Reply as _;
use warp::reply::Response;

use crate::authenticate::session;
use crate::problem::Problem;
use crate::range::{Wanted, wanted};
use crate::request::Incoming;
use crate::runs::find;
use crate::server::{ChecksumTrailer, FileBody};
use crate::state::Gateway;

/// Name of the bundle among the files of a run.
pub(crate) const BUNDLE: &str = "bundle.tar";
/// Largest file beside a bundle that is served from memory.
const MAX_SIDECAR: u64 = 256 << 20;

/// The bundle, whole or in part.
pub(crate) async fn bundle(gateway: &Gateway, id: &str, request: Incoming) -> Result<Response, Problem> {
    let session = session(gateway, &request, Scope::Download).await?;
    let run = find(gateway, &session, id).await?;
    tar(gateway, &run, &request).await
}

/// A file of a run whose caller may have it.
pub(crate) async fn file(gateway: &Gateway, run: &Run, name: &str, request: &Incoming) -> Result<Response, Problem> {
    if name == BUNDLE { tar(gateway, run, request).await } else { beside(gateway, run, name).await }
}

/// Whether a run has a file of that name.
pub(crate) fn has_file(run: &Run, name: &str) -> Result<(), Problem> {
    if name == BUNDLE { finished(run).map(|_| ()) } else { sidecar_digest(run, name).map(|_| ()) }
}

async fn tar(gateway: &Gateway, run: &Run, request: &Incoming) -> Result<Response, Problem> {
    let bundle = finished(run)?;
    let (digest, length) = (bundle.digest.clone(), bundle.bytes);
    let etag = format!("\"{digest}\"");
    if request.header("if-none-match").is_some_and(|tags| tags.split(',').any(|tag| tag.trim() == etag)) {
        return Ok(with_identity(empty(StatusCode::NOT_MODIFIED), &digest, length));
    }
    // A part may only be given of the very bytes that the client has the beginning of.
    let unchanged = request.header("if-range").is_none_or(|tag| tag.trim() == etag);
    let range = if unchanged { request.header("range") } else { None };
    let (status, part) = match wanted(range, length) {
        Wanted::Whole => (StatusCode::OK, 0..length),
        Wanted::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
        Wanted::Unsatisfiable => {
            let known = format!("bytes */{length}");
            let problem = Problem::new(ErrorCode::RangeNotSatisfiable, format!("the bundle has {length} bytes"));
            return Err(match HeaderValue::from_str(&known) {
                Ok(value) => problem.with_header(header::CONTENT_RANGE, value),
                Err(_) => problem,
            });
        }
    };
    // A run that found nothing changed has its own small files; the tar is where it was made.
    let key = Workspace::artefact_key(&run.tenant, bundle.refreshes.as_ref().unwrap_or(&run.id), &digest);
    let trailer = status == StatusCode::OK && request.header("te").is_some_and(|te| te.contains("trailers"));
    let mut response = if request.method == http::Method::HEAD {
        empty(status)
    } else {
        opened(gateway, &key, part.clone(), trailer).await?
    };
    *response.status_mut() = status;
    if trailer {
        response.extensions_mut().insert(ChecksumTrailer(repr_digest(&digest)));
        insert(&mut response, header::TRAILER, "repr-digest");
    } else {
        insert(&mut response, header::CONTENT_LENGTH, &(part.end - part.start).to_string());
    }
    if status == StatusCode::PARTIAL_CONTENT {
        insert(
            &mut response,
            header::CONTENT_RANGE,
            &format!("bytes {}-{}/{length}", part.start, part.end.saturating_sub(1)),
        );
    }
    insert(&mut response, header::CONTENT_TYPE, "application/x-tar");
    insert(
        &mut response,
        header::CONTENT_DISPOSITION,
        &format!("attachment; filename=\"{}-{}.tar\"", run.profile_id, run.id),
    );
    Ok(with_identity(response, &digest, length))
}

/// The signed `export.json`.
pub(crate) async fn manifest(gateway: &Gateway, id: &str, request: Incoming) -> Result<Response, Problem> {
    let session = session(gateway, &request, Scope::Download).await?;
    let run = find(gateway, &session, id).await?;
    let digest = finished(&run)?.manifest_digest.clone();
    let mut response = small_file(gateway, &run, &digest, "application/json").await?;
    insert(
        &mut response,
        header::LINK,
        &format!("</api/export/runs/{}/files/export.json.sigstore.json>; rel=\"describedby\"", run.id),
    );
    Ok(response)
}

/// The signed `provenance.json`.
pub(crate) async fn provenance(gateway: &Gateway, id: &str, request: Incoming) -> Result<Response, Problem> {
    sidecar(gateway, id, "provenance.json", request).await
}

/// A file beside the bundle, such as `export.json.sig`.
pub(crate) async fn sidecar(gateway: &Gateway, id: &str, name: &str, request: Incoming) -> Result<Response, Problem> {
    let session = session(gateway, &request, Scope::Download).await?;
    let run = find(gateway, &session, id).await?;
    beside(gateway, &run, name).await
}

fn sidecar_digest<'a>(run: &'a Run, name: &str) -> Result<&'a Digest, Problem> {
    let bundle = finished(run)?;
    bundle.sidecars.get(name).ok_or_else(|| {
        let known: Vec<&str> = bundle.sidecars.keys().map(String::as_str).collect();
        let (id, known) = (&run.id, known.join(", "));
        Problem::new(ErrorCode::NotFound, format!("run `{id}` has no file `{name}`; it has {known}"))
    })
}

async fn beside(gateway: &Gateway, run: &Run, name: &str) -> Result<Response, Problem> {
    let digest = sidecar_digest(run, name)?;
    let media = if std::path::Path::new(name).extension().is_some_and(|e| e == "json") {
        "application/json"
    } else {
        "text/plain"
    };
    small_file(gateway, run, digest, media).await
}

/// An answer whose body is a part of a blob.
pub(crate) async fn opened(
    gateway: &Gateway,
    key: &BlobKey,
    part: Range<u64>,
    trailer: bool,
) -> Result<Response, BlobError> {
    // A trailer makes a chunked body, and chunks have heads of their own between them.
    if !trailer
        && !part.is_empty()
        && let Some(file) = gateway.blobs.file(key).await?
    {
        let mut response = empty(StatusCode::OK);
        response.extensions_mut().insert(FileBody::new(file, part));
        return Ok(response);
    }
    Ok(streamed(gateway.blobs.read(key, Some(part)).await?))
}

/// An answer whose body comes from staging piece by piece.
fn streamed(mut source: ByteStream) -> Response {
    let (sender, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(3);
    tokio::spawn(async move {
        while let Some(piece) = source.next().await {
            // An error ends the body early, which the client sees by its length.
            if sender.send(piece.map_err(std::io::Error::other)).await.is_err() {
                return;
            }
        }
    });
    warp::reply::stream(ReceiverStream::new(receiver)).into_response()
}

fn finished(run: &Run) -> Result<&RunBundle, Problem> {
    if let Some(expiry) = run.expiry {
        let detail = format!("run `{}` is no longer kept: its retention ended at {}", run.id, expiry.since);
        return Err(Problem::new(ErrorCode::Pruned, detail));
    }
    run.bundle.as_ref().ok_or_else(|| {
        Problem::new(ErrorCode::NotReady, format!("run `{}` is `{}` and has no bundle", run.id, run.status))
    })
}

async fn small_file(gateway: &Gateway, run: &Run, digest: &Digest, media: &'static str) -> Result<Response, Problem> {
    let bytes = gateway.blobs.get(&Workspace::artefact_key(&run.tenant, &run.id, digest), MAX_SIDECAR).await?;
    let length = bytes.len() as u64;
    let mut response = Response::new(bytes.into());
    insert(&mut response, header::CONTENT_TYPE, media);
    insert(&mut response, header::CONTENT_LENGTH, &length.to_string());
    Ok(with_identity(response, digest, length))
}

/// What every download says of itself: strong validator, digest and length, whatever part is sent.
fn with_identity(mut response: Response, digest: &Digest, length: u64) -> Response {
    insert(&mut response, header::ETAG, &format!("\"{digest}\""));
    insert(&mut response, header::ACCEPT_RANGES, "bytes");
    insert(&mut response, header::CACHE_CONTROL, "private, no-cache");
    insert(&mut response, HeaderName::from_static("x-export-digest"), digest.as_str());
    insert(&mut response, HeaderName::from_static("x-export-length"), &length.to_string());
    insert(&mut response, HeaderName::from_static("repr-digest"), &repr_digest(digest));
    response
}

/// The digest as a structured field (RFC 9530 section 3).
fn repr_digest(digest: &Digest) -> String {
    format!("sha-256=:{}:", base64(&digest.to_bytes()))
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Bytes::new().into());
    *response.status_mut() = status;
    response
}

pub(crate) fn insert(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
