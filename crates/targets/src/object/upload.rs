//! Putting objects, and looking at what arrived.

use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, CompletedMultipartUpload, CompletedPart, ServerSideEncryption as Sse,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use export_canon::digesting::{Digester, sha256};
use export_contract::message::Artefact;
use export_contract::profile::ObjectLock;
use export_contract::{Digest, Timestamp};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};

use super::error::{failed, status};
use super::{ObjectTarget, ServerSideEncryption, lock_mode};
use crate::error::TargetError;

/// Bytes of one part of a multipart upload, unless the object has more than [`MAX_PARTS`] of them.
const PART: u64 = 8 << 20;
/// Parts that S3 takes.
const MAX_PARTS: u64 = 10_000;
/// Parts that are on the way at once; each is held in memory.
const AT_ONCE: usize = 3;

type Pieces<'a> = BoxStream<'a, Result<Bytes, TargetError>>;

/// A hand-over to a bucket.
#[derive(Debug)]
pub(super) struct Upload<'a> {
    pub(super) target: &'a ObjectTarget,
    /// Against whom, and until when, each object is kept.
    pub(super) lock: Option<(ObjectLock, Timestamp)>,
}

impl Upload<'_> {
    /// Puts an object, unless it is there, and looks whether it is what it should be, and locked if it should be.
    pub(super) async fn put<'s, F>(
        &self,
        key: &str,
        artefact: &Artefact,
        open: impl FnOnce() -> F,
    ) -> Result<(), TargetError>
    where
        F: Future<Output = Result<Pieces<'s>, TargetError>>,
    {
        if !self.is_there(key).await? {
            match self.send(key, artefact, open().await?).await {
                Ok(()) => self.abandon_others(key).await?,
                // Another delivery of the run may have been first, and have cleared away what this one had sent.
                Err(TargetError::Refused { .. } | TargetError::Unavailable { .. }) if self.is_there(key).await? => {}
                Err(error) => return Err(error),
            }
        }
        self.confirm(key, artefact).await
    }

    async fn send(&self, key: &str, artefact: &Artefact, pieces: Pieces<'_>) -> Result<(), TargetError> {
        let size = usize::try_from(PART.max(artefact.bytes.div_ceil(MAX_PARTS))).unwrap_or(usize::MAX);
        let mut parts = Box::pin(parts(pieces, size));
        let first = parts.try_next().await?.unwrap_or_default();
        match parts.try_next().await? {
            None => self.put_whole(key, artefact, first).await,
            Some(second) => {
                let ahead = stream::iter([Ok(first), Ok(second)]);
                self.put_in_parts(key, artefact, ahead.chain(parts)).await
            }
        }
    }

    async fn is_there(&self, key: &str) -> Result<bool, TargetError> {
        let ObjectTarget { client, bucket, .. } = self.target;
        match client.head_object().bucket(bucket).key(key).send().await {
            Ok(_) => Ok(true),
            Err(error) if status(&error) == Some(404) => Ok(false),
            Err(error) => Err(failed(format!("look for `{key}`"), error)),
        }
    }

    async fn put_whole(&self, key: &str, artefact: &Artefact, bytes: Bytes) -> Result<(), TargetError> {
        let ObjectTarget { client, bucket, .. } = self.target;
        let (sse, kms_key) = self.encryption();
        let (mode, until) = self.lock_fields();
        let sent = client
            .put_object()
            .bucket(bucket)
            .key(key)
            .checksum_sha256(STANDARD.encode(sha256(&bytes).as_bytes()))
            .metadata("sha256", artefact.digest.hex())
            .set_server_side_encryption(sse)
            .set_ssekms_key_id(kms_key)
            .set_object_lock_mode(mode)
            .set_object_lock_retain_until_date(until)
            .if_none_match("*")
            .body(ByteStream::from(bytes))
            .send()
            .await;
        match sent {
            Ok(_) => Ok(()),
            // Another delivery of the run was first; what it put is looked at next.
            Err(error) if status(&error) == Some(412) => Ok(()),
            Err(error) => Err(failed(format!("put `{key}`"), error)),
        }
    }

    async fn put_in_parts(
        &self,
        key: &str,
        artefact: &Artefact,
        parts: impl Stream<Item = Result<Bytes, TargetError>> + Send,
    ) -> Result<(), TargetError> {
        let ObjectTarget { client, bucket, .. } = self.target;
        let (sse, kms_key) = self.encryption();
        let (mode, until) = self.lock_fields();
        let begun = client
            .create_multipart_upload()
            .bucket(bucket)
            .key(key)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .metadata("sha256", artefact.digest.hex())
            .set_server_side_encryption(sse)
            .set_ssekms_key_id(kms_key)
            .set_object_lock_mode(mode)
            .set_object_lock_retain_until_date(until)
            .send()
            .await
            .map_err(|error| failed(format!("begin to put `{key}`"), error))?;
        let id = begun.upload_id().unwrap_or_default().to_owned();
        let sent: Result<Vec<CompletedPart>, TargetError> = stream::iter(1_i32..)
            .zip(parts)
            .map(|(number, part)| self.put_part(key, &id, number, part))
            .buffered(AT_ONCE)
            .try_collect()
            .await;
        let sent = match sent {
            Ok(sent) => sent,
            Err(error) => {
                self.abandon(key, &id).await;
                return Err(error);
            }
        };
        let whole = CompletedMultipartUpload::builder().set_parts(Some(sent)).build();
        let done = client
            .complete_multipart_upload()
            .bucket(bucket)
            .key(key)
            .upload_id(&id)
            .multipart_upload(whole)
            .if_none_match("*")
            .send()
            .await;
        match done {
            Ok(_) => Ok(()),
            Err(error) if status(&error) == Some(412) => {
                self.abandon(key, &id).await;
                Ok(())
            }
            Err(error) => Err(failed(format!("finish putting `{key}`"), error)),
        }
    }

    async fn put_part(
        &self,
        key: &str,
        id: &str,
        number: i32,
        part: Result<Bytes, TargetError>,
    ) -> Result<CompletedPart, TargetError> {
        let part = part?;
        let ObjectTarget { client, bucket, .. } = self.target;
        let checksum = STANDARD.encode(sha256(&part).as_bytes());
        let sent = client
            .upload_part()
            .bucket(bucket)
            .key(key)
            .upload_id(id)
            .part_number(number)
            .checksum_sha256(&checksum)
            .body(ByteStream::from(part))
            .send()
            .await
            .map_err(|error| failed(format!("put part {number} of `{key}`"), error))?;
        Ok(CompletedPart::builder()
            .part_number(number)
            .set_e_tag(sent.e_tag().map(str::to_owned))
            .checksum_sha256(checksum)
            .build())
    }

    /// Whether what is there is what was sent: by the storage's own checksum where it is one of all bytes, else by reading them.
    async fn confirm(&self, key: &str, artefact: &Artefact) -> Result<(), TargetError> {
        let ObjectTarget { client, bucket, .. } = self.target;
        let act = || format!("look at `{key}`");
        let found = client
            .head_object()
            .bucket(bucket)
            .key(key)
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await
            .map_err(|error| failed(act(), error))?;
        let differs = |expected: String, found: String| TargetError::Differs { what: key.to_owned(), expected, found };
        let length = found.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or_default();
        if length != artefact.bytes {
            return Err(differs(format!("{} bytes", artefact.bytes), format!("{length} bytes")));
        }
        if let Some((mode, until)) = self.lock {
            let kept = found.object_lock_retain_until_date().map(DateTime::secs);
            let locked = found.object_lock_mode().map(|mode| mode.as_str().to_owned());
            if kept.is_none_or(|kept| kept < seconds(until)) || locked.as_deref() != Some(lock_mode(mode).as_str()) {
                let found = locked.map_or("not locked".to_owned(), |mode| format!("locked otherwise ({mode})"));
                return Err(differs(format!("locked ({}) until {until}", lock_mode(mode)), found));
            }
        }
        if found.checksum_sha256() == Some(&base64_of(&artefact.digest)) {
            return Ok(());
        }
        let mut body =
            client.get_object().bucket(bucket).key(key).send().await.map_err(|error| failed(act(), error))?.body;
        let mut digester = Digester::new();
        while let Some(piece) = body.next().await {
            let piece =
                piece.map_err(|cause| TargetError::Unavailable { act: act(), after: None, cause: Box::new(cause) })?;
            digester.update(&piece);
        }
        let found = Digest::from_bytes(*digester.finish().sha256.as_bytes());
        if found == artefact.digest { Ok(()) } else { Err(differs(artefact.digest.to_string(), found.to_string())) }
    }

    /// What other hand-overs of the run began and never finished, because they were killed or this one was first; it costs room and is
    /// seen by nobody.
    async fn abandon_others(&self, key: &str) -> Result<(), TargetError> {
        let ObjectTarget { client, bucket, .. } = self.target;
        let found = client
            .list_multipart_uploads()
            .bucket(bucket)
            .prefix(key)
            .send()
            .await
            .map_err(|error| failed(format!("look for unfinished uploads of `{key}`"), error))?;
        for upload in found.uploads().iter().filter(|upload| upload.key() == Some(key)) {
            self.abandon(key, upload.upload_id().unwrap_or_default()).await;
        }
        Ok(())
    }

    async fn abandon(&self, key: &str, id: &str) {
        let ObjectTarget { client, bucket, .. } = self.target;
        if let Err(error) = client.abort_multipart_upload().bucket(bucket).key(key).upload_id(id).send().await {
            // The bucket's lifecycle rule for incomplete uploads clears it; docs/distribution.md asks for one.
            tracing::warn!(key, error = &error as &dyn std::error::Error, "an unfinished upload stays behind");
        }
    }

    fn encryption(&self) -> (Option<Sse>, Option<String>) {
        match &self.target.encryption {
            ServerSideEncryption::Bucket => (None, None),
            ServerSideEncryption::Aes256 => (Some(Sse::Aes256), None),
            ServerSideEncryption::Kms(key) => (Some(Sse::AwsKms), key.clone()),
        }
    }

    fn lock_fields(&self) -> (Option<aws_sdk_s3::types::ObjectLockMode>, Option<DateTime>) {
        self.lock.map(|(mode, until)| (lock_mode(mode), DateTime::from_secs(seconds(until)))).unzip()
    }
}

/// Whole seconds, which is what storage keeps; rounded up, so that nothing is let go early.
fn seconds(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(1_000_000) + i64::from(at.as_micros().rem_euclid(1_000_000) > 0)
}

fn base64_of(digest: &Digest) -> String {
    STANDARD.encode(digest.to_bytes())
}

/// The same bytes in parts of `size` bytes, the last one excepted.
fn parts(pieces: Pieces<'_>, size: usize) -> impl Stream<Item = Result<Bytes, TargetError>> + Send {
    let state = (pieces, BytesMut::new(), false);
    stream::try_unfold(state, move |(mut pieces, mut held, mut ended)| async move {
        while held.len() < size && !ended {
            match pieces.try_next().await? {
                Some(piece) => held.extend_from_slice(&piece),
                None => ended = true,
            }
        }
        let part = held.split_to(held.len().min(size)).freeze();
        Ok(if part.is_empty() { None } else { Some((part, (pieces, held, ended))) })
    })
}
