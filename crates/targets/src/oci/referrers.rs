//! What refers to a manifest.
//!
//! A registry that knows the referrers API finds it out by itself. For any other one the list is kept under the tag `sha256-<hex>` of the
//! subject (OCI distribution specification, "Referrers Tag Schema"): read, changed, written, and looked at again, for there is no writing
//! that is refused when another wrote in between.

use bytes::Bytes;
use export_contract::Digest;
use export_oci::{Descriptor, INDEX, Manifest};
use http::header::{ACCEPT, HeaderValue};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::manifest::{MAX_MANIFEST, MAX_PAGES, delete, digest_of, put, read, write};
use super::session::{Ask, Session, body, judged, refused};
use crate::error::TargetError;

/// How often the list of a subject is written because another one wrote in between.
const TRIES: usize = 5;

/// A line of a list of referrers.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Referrer {
    pub(super) digest: Digest,
    #[serde(default)]
    pub(super) artifact_type: String,
}

/// Puts `manifest`, and sees to it that it is found as one that refers to `subject`.
pub(super) async fn attach(session: &Session<'_>, subject: &Manifest, manifest: &Manifest) -> Result<(), TargetError> {
    if put(session, manifest).await? == Some(true) {
        return Ok(());
    }
    match listed(session, &subject.digest).await? {
        Some(found) if found.iter().any(|referrer| referrer.digest == manifest.digest) => Ok(()),
        _ => note(session, &subject.digest, &manifest.referrer()).await,
    }
}

/// What the registry itself lists; `None` where it knows no such lists.
pub(super) async fn listed(session: &Session<'_>, subject: &Digest) -> Result<Option<Vec<Referrer>>, TargetError> {
    let act = "list what refers to the manifest";
    let mut page = Some(session.url(&format!("referrers/{subject}"))?);
    let mut found = Vec::new();
    for _ in 0..MAX_PAGES {
        let Some(url) = page.take() else { return Ok(Some(found)) };
        let ask = Ask::new(Method::GET, url).header(ACCEPT, HeaderValue::from_static(INDEX));
        let answer = session.ask(act, &ask).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => return Ok(None),
            _ => return Err(judged(act, answer).await),
        }
        page = session.next_page(act, &answer)?;
        found.extend(List::parse(act, &body(act, answer, MAX_MANIFEST).await?)?.referrers()?);
    }
    Ok(Some(found))
}

/// What is listed under the tag of the subject.
pub(super) async fn noted(session: &Session<'_>, subject: &Digest) -> Result<Vec<Referrer>, TargetError> {
    List::read(session, &tag(subject)).await?.referrers()
}

async fn note(session: &Session<'_>, subject: &Digest, referrer: &Descriptor) -> Result<(), TargetError> {
    let tag = tag(subject);
    for _ in 0..TRIES {
        let mut list = List::read(session, &tag).await?;
        if list.referrers()?.iter().any(|found| found.digest == referrer.digest) {
            return Ok(());
        }
        list.add(referrer)?;
        list.write(session, &tag).await?;
    }
    Err(refused(ACT, "others write the list of what refers to the manifest at the same time"))
}

/// Takes lines out of the list under the tag of the subject; one without lines goes.
pub(super) async fn strike(session: &Session<'_>, subject: &Digest, gone: &[Digest]) -> Result<(), TargetError> {
    let tag = tag(subject);
    for _ in 0..TRIES {
        let Some(bytes) = read(session, &tag).await? else { return Ok(()) };
        let mut list = List::parse(ACT, &bytes)?;
        let before = list.referrers()?.len();
        list.retain(|digest| !gone.contains(digest));
        let left = list.referrers()?.len();
        if left == 0 {
            return delete(session, digest_of(&bytes).as_str()).await;
        }
        if left == before {
            return Ok(());
        }
        list.write(session, &tag).await?;
    }
    Err(refused(ACT, "others write the list of what refers to the manifest at the same time"))
}

const ACT: &str = "change the list of what refers to the manifest";

fn tag(subject: &Digest) -> String {
    format!("sha256-{}", subject.hex())
}

/// An index, with whatever else others wrote into it.
struct List(Value);

impl List {
    async fn read(session: &Session<'_>, tag: &str) -> Result<Self, TargetError> {
        match read(session, tag).await? {
            Some(bytes) => Self::parse(ACT, &bytes),
            None => Ok(Self(json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [] }))),
        }
    }

    fn parse(act: &str, text: &[u8]) -> Result<Self, TargetError> {
        let mut value: Value = serde_json::from_slice(text).map_err(|cause| refused(act, cause))?;
        match value.get_mut("manifests") {
            Some(Value::Array(_)) => Ok(Self(value)),
            // Some registries write an empty list so.
            Some(none @ Value::Null) => {
                *none = Value::Array(Vec::new());
                Ok(Self(value))
            }
            _ => Err(refused(act, "what is there is no index of manifests")),
        }
    }

    fn lines(&mut self) -> Option<&mut Vec<Value>> {
        self.0.get_mut("manifests")?.as_array_mut()
    }

    fn referrers(&self) -> Result<Vec<Referrer>, TargetError> {
        let lines = self.0.get("manifests").cloned().unwrap_or_default();
        serde_json::from_value(lines).map_err(|cause| refused("read what refers to the manifest", cause))
    }

    fn add(&mut self, referrer: &Descriptor) -> Result<(), TargetError> {
        let line = serde_json::to_value(referrer).map_err(|cause| refused(ACT, cause))?;
        self.lines().into_iter().for_each(|lines| lines.push(line.clone()));
        Ok(())
    }

    fn retain(&mut self, stays: impl Fn(&Digest) -> bool) {
        let digest = |line: &Value| line.get("digest")?.as_str()?.parse().ok();
        if let Some(lines) = self.lines() {
            lines.retain(|line| digest(line).is_none_or(|digest| stays(&digest)));
        }
    }

    async fn write(&self, session: &Session<'_>, tag: &str) -> Result<(), TargetError> {
        let bytes = Bytes::from(serde_json::to_vec(&self.0).map_err(|cause| refused(ACT, cause))?);
        let digest = digest_of(&bytes);
        write(session, tag, INDEX, bytes, &digest).await.map(drop)
    }
}
