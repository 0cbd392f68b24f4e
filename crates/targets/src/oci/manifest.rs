//! Manifests and tags.

use bytes::Bytes;
use export_canon::digesting::sha256;
use export_contract::Digest;
use export_oci::{INDEX, MANIFEST, Manifest};
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use reqwest::Response;
use serde::Deserialize;

use super::session::{Ask, Session, body, judged, refused};
use super::upload::DIGEST;
use crate::error::TargetError;

/// Longest manifest or index that is read (OCI distribution specification: registries take 4 MiB).
pub(super) const MAX_MANIFEST: u64 = 4 << 20;
/// Tags that a page of a list should have, and pages that are read of it.
const PAGE: usize = 1_000;
pub(super) const MAX_PAGES: usize = 100;
/// With it a registry says that it keeps account of what refers to a subject.
const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

/// The manifest of this name, a tag or digest.
pub(super) async fn read(session: &Session<'_>, name: &str) -> Result<Option<Bytes>, TargetError> {
    let act = format!("read the manifest `{name}`");
    let answer = session.ask(&act, &reading(session, Method::GET, name)?).await?;
    match answer.status() {
        StatusCode::OK => Ok(Some(body(&act, answer, MAX_MANIFEST).await?)),
        StatusCode::NOT_FOUND => Ok(None),
        _ => Err(judged(&act, answer).await),
    }
}

/// The digest of what a tag names.
pub(super) async fn tagged(session: &Session<'_>, tag: &str) -> Result<Option<Digest>, TargetError> {
    let act = format!("look up the tag `{tag}`");
    let answer = session.ask(&act, &reading(session, Method::HEAD, tag)?).await?;
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Ok(None),
        _ => return Err(judged(&act, answer).await),
    }
    let named = answer.headers().get(DIGEST).and_then(|value| value.to_str().ok()?.parse().ok());
    match named {
        Some(digest) => Ok(Some(digest)),
        // Not every registry says it.
        None => Ok(read(session, tag).await?.map(|bytes| digest_of(&bytes))),
    }
}

fn reading(session: &Session<'_>, method: Method, name: &str) -> Result<Ask, TargetError> {
    let accept = HeaderValue::from_str(&format!("{MANIFEST}, {INDEX}"));
    let accept = accept.map_err(|cause| refused("name the types of manifests", cause))?;
    Ok(Ask::new(method, session.url(&format!("manifests/{name}"))?).header(ACCEPT, accept))
}

/// Whether the registry has exactly this manifest.
pub(super) async fn is_there(session: &Session<'_>, manifest: &Manifest) -> Result<bool, TargetError> {
    match read(session, manifest.digest.as_str()).await? {
        None => Ok(false),
        Some(bytes) if *bytes == *manifest.bytes => Ok(true),
        Some(bytes) => Err(differs(manifest.digest.as_str(), &manifest.digest, digest_of(&bytes).as_str())),
    }
}

/// Puts a manifest under its digest, unless it is there, and reads it back. Gives whether the registry said that it keeps account of
/// what refers to the manifest's subject; `None` where it was not put.
pub(super) async fn put(session: &Session<'_>, manifest: &Manifest) -> Result<Option<bool>, TargetError> {
    if is_there(session, manifest).await? {
        return Ok(None);
    }
    let name = manifest.digest.as_str();
    let answer = write(session, name, MANIFEST, manifest.bytes.clone().into(), &manifest.digest).await?;
    let keeps_account = answer.headers().contains_key(SUBJECT);
    if is_there(session, manifest).await? {
        Ok(Some(keeps_account))
    } else {
        Err(differs(name, &manifest.digest, "not there"))
    }
}

/// Lets a tag name a manifest, unless it does.
pub(super) async fn tag(session: &Session<'_>, tag: &str, manifest: &Manifest) -> Result<(), TargetError> {
    if tagged(session, tag).await?.as_ref() == Some(&manifest.digest) {
        return Ok(());
    }
    write(session, tag, MANIFEST, manifest.bytes.clone().into(), &manifest.digest).await.map(drop)
}

/// Puts a manifest or an index under a name.
pub(super) async fn write(
    session: &Session<'_>,
    name: &str,
    media: &'static str,
    bytes: Bytes,
    digest: &Digest,
) -> Result<Response, TargetError> {
    let act = format!("write the manifest `{name}`");
    let mut ask = Ask::new(Method::PUT, session.url(&format!("manifests/{name}"))?)
        .header(CONTENT_TYPE, HeaderValue::from_static(media));
    ask.body = bytes;
    let answer = session.expect(&act, &ask, &[StatusCode::CREATED]).await?;
    match answer.headers().get(DIGEST).map(HeaderValue::to_str) {
        Some(Ok(found)) if found != digest.as_str() => Err(differs(name, digest, found)),
        _ => Ok(answer),
    }
}

/// Removes the manifest or tag of this name. What is not there is removed.
pub(super) async fn delete(session: &Session<'_>, name: &str) -> Result<(), TargetError> {
    let act = format!("delete the manifest `{name}`");
    let ask = Ask::new(Method::DELETE, session.url(&format!("manifests/{name}"))?);
    let good = [StatusCode::ACCEPTED, StatusCode::OK, StatusCode::NO_CONTENT, StatusCode::NOT_FOUND];
    session.expect(&act, &ask, &good).await.map(drop)
}

/// Every tag of the repository.
pub(super) async fn tags(session: &Session<'_>) -> Result<Vec<String>, TargetError> {
    #[derive(Deserialize)]
    struct List {
        #[serde(default)]
        tags: Option<Vec<String>>,
    }
    let act = "list the tags";
    let mut page = Some(session.url(&format!("tags/list?n={PAGE}"))?);
    let mut tags = Vec::new();
    for _ in 0..MAX_PAGES {
        let Some(url) = page.take() else { return Ok(tags) };
        let answer = session.ask(act, &Ask::new(Method::GET, url)).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(tags),
            _ => return Err(judged(act, answer).await),
        }
        page = session.next_page(act, &answer)?;
        let text = body(act, answer, MAX_MANIFEST).await?;
        let list: List = serde_json::from_slice(&text).map_err(|cause| refused(act, cause))?;
        tags.extend(list.tags.unwrap_or_default());
    }
    if page.is_none() { Ok(tags) } else { Err(refused(act, format!("there are more than {MAX_PAGES} pages of them"))) }
}

pub(super) fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_bytes(*sha256(bytes).as_bytes())
}

fn differs(what: &str, expected: &Digest, found: &str) -> TargetError {
    let found = found.chars().filter(|letter| !letter.is_control()).take(100).collect();
    TargetError::Differs { what: what.to_owned(), expected: expected.to_string(), found }
}
