//! Blobs: whether they are there, and how they get there.
//!
//! A blob goes up in chunks of a session of the registry. Where a chunk is lost on the way, the registry is asked how far it came, and the
//! upload goes on there. A registry that has forgotten the session gets the blob anew; so does the one that a killed worker left.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RANGE};
use http::{Method, StatusCode};
use reqwest::{Response, Url};
use tokio::time::sleep;

use super::blob::Blob;
use super::session::{ANSWER, Ask, Session, judged, refused};
use crate::delivery::Delivery;
use crate::error::TargetError;

/// Bytes of a chunk: the most that every registry takes.
const CHUNK: usize = 4 << 20;
/// Bytes of a chunk of a registry that takes none so small.
const LARGEST_CHUNK: usize = 64 << 20;
/// How often something is tried before the delivery is given up.
const TRIES: u32 = 5;
/// How often a blob is begun.
const BEGINNINGS: u32 = 3;
/// First pause after a chunk was lost; each one is twice as long.
const PAUSE: Duration = Duration::from_millis(200);
/// A registry that wants to be left alone for longer is left to the next delivery.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// A registry reads a blob once more when it ends; so slowly at the worst, in bytes a second.
const SLOWEST_CHECK: u64 = 4 << 20;
/// The header with the digest that a registry found.
pub(super) const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// The header with the least bytes of a chunk.
const CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");

/// What is lost of an upload.
enum Lost {
    /// A chunk, or the answer to it: the registry knows how far it came.
    Chunk(TargetError),
    /// The registry has no such session any more, or not what it had; another one may do better.
    Session(TargetError),
    /// No other session would help.
    All(TargetError),
}

impl Lost {
    fn at(cause: TargetError) -> Self {
        if matches!(cause, TargetError::Unavailable { .. }) { Self::Chunk(cause) } else { Self::All(cause) }
    }
}

impl From<TargetError> for Lost {
    fn from(error: TargetError) -> Self {
        Self::All(error)
    }
}

/// Uploads a blob, unless it is there.
pub(super) async fn push(session: &Session<'_>, delivery: &Delivery<'_>, blob: &Blob) -> Result<(), TargetError> {
    if is_there(session, blob).await? {
        return Ok(());
    }
    let mut begun = 0;
    loop {
        begun += 1;
        match upload(session, delivery, blob).await {
            Ok(()) => break,
            Err(Lost::Session(cause)) if begun < BEGINNINGS => {
                tracing::warn!(name = blob.name, error = &cause as &dyn std::error::Error, "an upload begins anew");
            }
            Err(Lost::Chunk(cause) | Lost::Session(cause) | Lost::All(cause)) => return Err(cause),
        }
    }
    if is_there(session, blob).await? { Ok(()) } else { Err(differs(blob, "not there")) }
}

/// Whether the registry has the blob, by its digest and with its length.
pub(super) async fn is_there(session: &Session<'_>, blob: &Blob) -> Result<bool, TargetError> {
    let act = format!("look for the blob of `{}`", blob.name);
    let ask = Ask::new(Method::HEAD, session.url(&format!("blobs/{}", blob.artefact.digest))?);
    let answer = session.ask(&act, &ask).await?;
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Ok(false),
        // It is there, in a storage to which the registry sends its readers.
        status if status.is_redirection() => return Ok(true),
        _ => return Err(judged(&act, answer).await),
    }
    same_digest(blob, &answer)?;
    match header(&answer, &CONTENT_LENGTH) {
        Some(length) if length != blob.artefact.bytes.to_string() => {
            Err(differs(blob, &format!("{length} bytes instead of {}", blob.artefact.bytes)))
        }
        _ => Ok(true),
    }
}

fn header<'a>(answer: &'a Response, name: &HeaderName) -> Option<&'a str> {
    answer.headers().get(name).and_then(|value| value.to_str().ok())
}

fn same_digest(blob: &Blob, answer: &Response) -> Result<(), TargetError> {
    match header(answer, &DIGEST) {
        Some(found) if found != blob.artefact.digest.as_str() => Err(differs(blob, found)),
        _ => Ok(()),
    }
}

fn differs(blob: &Blob, found: &str) -> TargetError {
    let found = found.chars().take(100).collect();
    TargetError::Differs { what: blob.name.to_owned(), expected: blob.artefact.digest.to_string(), found }
}

/// An upload session of a registry.
struct Upload<'a> {
    session: &'a Session<'a>,
    act: String,
    /// Where the next chunk goes.
    place: Url,
    /// Bytes that the registry has.
    sent: u64,
}

async fn upload(session: &Session<'_>, delivery: &Delivery<'_>, blob: &Blob) -> Result<(), Lost> {
    let mut bytes = blob.read(delivery).await?;
    let act = format!("upload `{}`", blob.name);
    let begin = Ask::new(Method::POST, session.url("blobs/uploads/")?);
    let answer = session.expect(&act, &begin, &[StatusCode::ACCEPTED]).await?;
    let place = session.place(&act, &answer)?;
    let least = header(&answer, &CHUNK_MIN_LENGTH).and_then(|text| text.parse().ok()).unwrap_or(CHUNK);
    let size = least.clamp(CHUNK, LARGEST_CHUNK);
    let mut upload = Upload { session, act, place, sent: 0 };
    let mut chunk = BytesMut::with_capacity(size);
    while let Some(piece) = bytes.next().await {
        let mut piece = match piece {
            Ok(piece) => piece,
            Err(cause) => {
                upload.give_up().await;
                return Err(cause.into());
            }
        };
        while !piece.is_empty() {
            chunk.extend_from_slice(&piece.split_to(piece.len().min(size - chunk.len())));
            if chunk.len() == size {
                let full = std::mem::replace(&mut chunk, BytesMut::with_capacity(size));
                upload.send(full.freeze()).await?;
            }
        }
    }
    if !chunk.is_empty() {
        upload.send(chunk.freeze()).await?;
    }
    upload.end(blob).await
}

impl Upload<'_> {
    /// Sends the next bytes, as often as it takes.
    async fn send(&mut self, mut chunk: Bytes) -> Result<(), Lost> {
        let (mut patience, mut is_known) = (Patience::default(), true);
        while !chunk.is_empty() {
            let reached = if is_known { self.patch(&chunk).await } else { self.how_far().await };
            let cause = match reached {
                Ok(reached) => {
                    let took = self.acknowledged(reached, &mut chunk)?;
                    if took || !is_known {
                        is_known = true;
                        continue;
                    }
                    refused(&self.act, "it takes chunks and keeps nothing of them")
                }
                Err(Lost::Chunk(cause)) => cause,
                Err(lost) => return Err(lost),
            };
            patience.wait(self.session, cause).await?;
            is_known = false;
        }
        Ok(())
    }

    /// Sends a chunk once. Gives how many bytes the registry has then.
    async fn patch(&mut self, chunk: &Bytes) -> Result<u64, Lost> {
        let end = self.sent + chunk.len() as u64;
        let range = HeaderValue::from_str(&format!("{}-{}", self.sent, end - 1));
        let mut ask = Ask::new(Method::PATCH, self.place.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))
            .header(CONTENT_RANGE, range.map_err(|cause| refused(&self.act, cause))?);
        ask.body = chunk.clone();
        let answer = self.asked(&ask, &[StatusCode::ACCEPTED]).await?;
        self.place = self.session.place(&self.act, &answer)?;
        Ok(if header(&answer, &RANGE) == Some("0-0") && end == 1 { end } else { reached(&answer).unwrap_or(end) })
    }

    /// Asks how many bytes the registry has.
    async fn how_far(&mut self) -> Result<u64, Lost> {
        let good = [StatusCode::NO_CONTENT, StatusCode::ACCEPTED, StatusCode::OK];
        let answer = self.asked(&Ask::new(Method::GET, self.place.clone()), &good).await?;
        if answer.headers().contains_key(LOCATION) {
            self.place = self.session.place(&self.act, &answer)?;
        }
        reached(&answer).ok_or_else(|| Lost::Session(refused(&self.act, "it does not say how far the upload is")))
    }

    /// Drops from `chunk` what the registry has, and gives whether it has any of it.
    fn acknowledged(&mut self, reached: u64, chunk: &mut Bytes) -> Result<bool, Lost> {
        let took = reached.checked_sub(self.sent).and_then(|took| usize::try_from(took).ok());
        let Some(took) = took.filter(|took| *took <= chunk.len()) else {
            let cause = format!("it has {reached} bytes, and was sent those up to {}", self.sent);
            return Err(Lost::Session(refused(&self.act, cause)));
        };
        drop(chunk.split_to(took));
        self.sent = reached;
        self.session.took(took as u64);
        Ok(took > 0)
    }

    /// Makes a blob of what was sent.
    async fn end(&mut self, blob: &Blob) -> Result<(), Lost> {
        let mut url = self.place.clone();
        url.query_pairs_mut().append_pair("digest", blob.artefact.digest.as_str());
        let mut ask = Ask::new(Method::PUT, url);
        ask.within = ANSWER + Duration::from_secs(blob.artefact.bytes / SLOWEST_CHECK);
        let mut patience = Patience::default();
        loop {
            match self.asked(&ask, &[StatusCode::CREATED]).await {
                Ok(answer) => return same_digest(blob, &answer).map_err(Lost::All),
                // The answer may be all that was lost.
                Err(Lost::Chunk(_)) if is_there(self.session, blob).await? => return Ok(()),
                Err(Lost::Chunk(cause)) => patience.wait(self.session, cause).await?,
                Err(lost) => return Err(lost),
            }
        }
    }

    /// Tells the registry that the rest will not come.
    async fn give_up(&self) {
        let ask = Ask::new(Method::DELETE, self.place.clone());
        if let Err(error) = self.session.ask(&self.act, &ask).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "an upload was left to the registry");
        }
    }

    async fn asked(&self, ask: &Ask, good: &[StatusCode]) -> Result<Response, Lost> {
        let answer = self.session.ask(&self.act, ask).await.map_err(Lost::at)?;
        let status = answer.status();
        if good.contains(&status) {
            return Ok(answer);
        }
        let cause = judged(&self.act, answer).await;
        let forgotten = [StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND, StatusCode::RANGE_NOT_SATISFIABLE];
        Err(if forgotten.contains(&status) { Lost::Session(cause) } else { Lost::at(cause) })
    }
}

/// How often something is tried again, and when.
struct Patience {
    tries: u32,
    pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { tries: TRIES, pause: PAUSE }
    }
}

impl Patience {
    /// Waits for as long as `cause` asks for.
    ///
    /// # Errors
    /// `cause`, where that was the last try, or would take too long here.
    async fn wait(&mut self, session: &Session<'_>, cause: TargetError) -> Result<(), Lost> {
        let asked = if let TargetError::Unavailable { after, .. } = &cause { *after } else { None };
        let wait = asked.unwrap_or(self.pause).max(self.pause);
        self.tries -= 1;
        if self.tries == 0 || wait > LONGEST_PAUSE {
            return Err(Lost::All(cause));
        }
        self.pause *= 2;
        session.patiently(sleep(wait)).await;
        Ok(())
    }
}

/// How many bytes there are by the range of an answer. `0-0` is the range of one byte, and of none; no upload stops behind its first.
fn reached(answer: &Response) -> Option<u64> {
    let last: u64 = header(answer, &RANGE)?.trim_start_matches("bytes=").strip_prefix("0-")?.parse().ok()?;
    if last == 0 { Some(0) } else { last.checked_add(1) }
}
