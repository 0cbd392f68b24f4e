//! Manifests, blobs, tags and referrers of a repository.

use bytes::Bytes;
use export_blobs::BlobKey;
use export_contract::Digest;
use export_oci::{Descriptor, INDEX, MANIFEST, Manifest};
use futures::TryStreamExt as _;
use http::{HeaderName, StatusCode, header};
use serde_json::json;
use warp::reply::Response;

use super::image::shared_blob;
use super::name::{Reference, Repository, What};
use super::refusal::Refusal;
use super::repository::{LATEST, images, runs, schema_tag, tagged, with_digest};
use crate::downloads::{insert, opened};
use crate::range::{Wanted, wanted};
use crate::request::Incoming;
use crate::state::Gateway;

/// Answers for a repository that the caller may see.
pub(super) async fn of(
    gateway: &Gateway,
    repository: &Repository,
    what: What,
    head: bool,
    request: &Incoming,
) -> Result<Response, Refusal> {
    match what {
        What::Manifest(Reference::Tag(tag)) => {
            let image = tagged(gateway, repository, &tag).await?;
            Ok(manifest(&image.main, head))
        }
        What::Manifest(Reference::Digest(digest)) => by_digest(gateway, repository, &digest, head).await,
        What::Blob(digest) => blob(gateway, repository, &digest, head, request).await,
        What::Tags => tags(gateway, repository, request).await,
        What::Referrers(digest) => referrers(gateway, repository, &digest, request).await,
    }
}

async fn by_digest(
    gateway: &Gateway,
    repository: &Repository,
    digest: &Digest,
    head: bool,
) -> Result<Response, Refusal> {
    let runs = runs(gateway, repository).await?;
    let mut images = std::pin::pin!(images(gateway, runs));
    while let Some((_, image)) = images.try_next().await? {
        if let Some(found) = image.manifest(digest) {
            return Ok(manifest(found, head));
        }
    }
    Err(Refusal::manifest_unknown())
}

fn manifest(manifest: &Manifest, head: bool) -> Response {
    let mut response = whole(MANIFEST, &manifest.bytes, head);
    identify(&mut response, &manifest.digest);
    response
}

async fn blob(
    gateway: &Gateway,
    repository: &Repository,
    digest: &Digest,
    head: bool,
    request: &Incoming,
) -> Result<Response, Refusal> {
    let runs = runs(gateway, repository).await?;
    if let Some(bytes) = shared_blob(digest) {
        let mut response = whole("application/octet-stream", bytes, head);
        identify(&mut response, digest);
        return Ok(response);
    }
    let mut images = std::pin::pin!(images(gateway, runs));
    while let Some((_, image)) = images.try_next().await? {
        let Some((key, length)) = image.blob(repository, digest) else { continue };
        // Another run may have the same bytes still.
        if gateway.blobs.head(&key).await?.is_some() {
            return send(gateway, &key, digest, length, head, request).await;
        }
    }
    Err(Refusal::blob_unknown())
}

/// A blob, whole or the part that `Range` asks for.
async fn send(
    gateway: &Gateway,
    key: &BlobKey,
    digest: &Digest,
    length: u64,
    head: bool,
    request: &Incoming,
) -> Result<Response, Refusal> {
    // A blob is named by its content, so that every part of it is of the same bytes: there is nothing to be told by `If-Range`.
    let range = if head { None } else { request.header("range") };
    let (status, part) = match wanted(range, length) {
        Wanted::Whole => (StatusCode::OK, 0..length),
        Wanted::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
        Wanted::Unsatisfiable => {
            let has = format!("the blob has {length} bytes");
            return Err(Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID", has)
                .with_header(header::CONTENT_RANGE, &format!("bytes */{length}")));
        }
    };
    let mut response =
        if head { Response::new(Bytes::new().into()) } else { opened(gateway, key, part.clone(), false).await? };
    *response.status_mut() = status;
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {}-{}/{length}", part.start, part.end.saturating_sub(1));
        insert(&mut response, header::CONTENT_RANGE, &range);
    }
    insert(&mut response, header::CONTENT_LENGTH, &(part.end - part.start).to_string());
    insert(&mut response, header::CONTENT_TYPE, "application/octet-stream");
    insert(&mut response, header::ACCEPT_RANGES, "bytes");
    identify(&mut response, digest);
    Ok(response)
}

/// `?n=` and `?last=` give pages, in the order of bytes.
async fn tags(gateway: &Gateway, repository: &Repository, request: &Incoming) -> Result<Response, Refusal> {
    let runs = runs(gateway, repository).await?;
    let schema = runs.first().and_then(|run| schema_tag(run.profile_kind));
    let found: Vec<String> = images(gateway, runs).map_ok(|(id, _)| id.to_string()).try_collect().await?;
    let mut tags = found;
    if !tags.is_empty() {
        tags.push(LATEST.to_owned());
        tags.extend(schema);
    }
    tags.sort();
    let parameters = request.pairs();
    let parameter = |wanted: &str| parameters.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    if let Some(last) = parameter("last") {
        tags.retain(|tag| tag.as_str() > last);
    }
    let mut next = None;
    if let Some(n) = parameter("n") {
        let most: usize = n.parse().map_err(|_| {
            Refusal::new(StatusCode::BAD_REQUEST, "PAGINATION_NUMBER_INVALID", "`n` must be a number, 0 or more")
        })?;
        if tags.len() > most {
            tags.truncate(most);
            next = tags.last().map(|last| format!("</v2/{repository}/tags/list?n={most}&last={last}>; rel=\"next\""));
        }
    }
    let body = json!({ "name": repository.to_string(), "tags": tags });
    let mut response = crate::routes::json_response(StatusCode::OK, &body);
    if let Some(next) = next {
        insert(&mut response, header::LINK, &next);
    }
    Ok(response)
}

/// An index of what refers to a manifest. One that nobody knows has none, which is no error (OCI distribution specification, "Listing
/// Referrers").
async fn referrers(
    gateway: &Gateway,
    repository: &Repository,
    digest: &Digest,
    request: &Incoming,
) -> Result<Response, Refusal> {
    let mut found: Vec<Descriptor> = Vec::new();
    for image in with_digest(gateway, repository, digest).await? {
        let referrer = image.signatures.referrer();
        if !found.contains(&referrer) {
            found.push(referrer);
        }
    }
    // No media type has a blank: it was a plus that somebody did not escape.
    let pairs = request.pairs();
    let filter = pairs.iter().find(|(name, _)| name == "artifactType").map(|(_, value)| value.replace(' ', "+"));
    if let Some(wanted) = &filter {
        found.retain(|descriptor| descriptor.artifact_type == Some(wanted.as_str()));
    }
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": found });
    let mut response = crate::routes::json_response(StatusCode::OK, &index);
    insert(&mut response, header::CONTENT_TYPE, INDEX);
    if filter.is_some() {
        insert(&mut response, HeaderName::from_static("oci-filters-applied"), "artifactType");
    }
    Ok(response)
}

fn whole(media: &str, bytes: &[u8], head: bool) -> Response {
    let body = if head { Bytes::new() } else { Bytes::copy_from_slice(bytes) };
    let mut response = Response::new(body.into());
    insert(&mut response, header::CONTENT_TYPE, media);
    insert(&mut response, header::CONTENT_LENGTH, &bytes.len().to_string());
    response
}

fn identify(response: &mut Response, digest: &Digest) {
    insert(response, HeaderName::from_static("docker-content-digest"), digest.as_str());
    insert(response, header::ETAG, &format!("\"{digest}\""));
    insert(response, header::CACHE_CONTROL, "private, no-cache");
}
