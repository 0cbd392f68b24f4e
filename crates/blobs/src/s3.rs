//! Staging in an S3 bucket.
//!
//! A blob whose key is known only at its end is uploaded to `uploads/<ulid>` first and then copied by the server: S3 has
//! no rename. Uploads that were never finished are parts of a multipart upload, which no listing shows; a lifecycle rule of the
//! bucket (`AbortIncompleteMultipartUpload`) clears them, as `docs/operations.md` says.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, MultipartUpload, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload,
};

use crate::store::{BlobError, BlobKey, BlobMeta, BlobStore, BlobWriter, ByteStream, PutOutcome};

/// Bytes of one part of a multipart upload; S3 takes 10,000 parts, so a blob may have some 156 GiB.
const PART: usize = 16 << 20;

/// Where the bucket is. The secret is printed nowhere.
#[derive(Clone, Default)]
pub struct S3Settings {
    /// Address of the server; empty means Amazon's.
    pub endpoint: String,
    /// Bucket.
    pub bucket: String,
    /// Region; empty means `us-east-1`.
    pub region: String,
    /// Prefix of every key; empty means none.
    pub prefix: String,
    /// Access key id; empty takes the machine's role.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: String,
}

impl fmt::Debug for S3Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Settings")
            .field("endpoint", &self.endpoint)
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// A bucket of blobs.
#[derive(Clone, Debug)]
pub struct S3Blobs {
    store: Arc<dyn ObjectStore>,
    prefix: String,
}

impl S3Blobs {
    /// The store that `settings` name. Connects at the first call.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn open(settings: &S3Settings) -> Result<Self, BlobError> {
        let region = if settings.region.is_empty() { "us-east-1" } else { &settings.region };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&settings.bucket)
            .with_region(region)
            .with_conditional_put(S3ConditionalPut::ETagMatch);
        if !settings.endpoint.is_empty() {
            builder =
                builder.with_endpoint(&settings.endpoint).with_allow_http(settings.endpoint.starts_with("http://"));
        }
        if !settings.access_key_id.is_empty() {
            builder =
                builder.with_access_key_id(&settings.access_key_id).with_secret_access_key(&settings.secret_access_key);
        }
        let store = builder.build().map_err(|cause| failed("open the bucket", cause))?;
        Ok(Self { store: Arc::new(store), prefix: settings.prefix.trim_matches('/').to_owned() })
    }

    fn path(&self, name: &str) -> Path {
        if self.prefix.is_empty() { Path::from(name) } else { Path::from(format!("{}/{name}", self.prefix)) }
    }
}

#[async_trait]
impl BlobStore for S3Blobs {
    async fn put(&self, key: &BlobKey, bytes: Bytes) -> Result<(), BlobError> {
        self.store.put(&self.path(key.as_str()), bytes.into()).await.map_err(|cause| failed("put", cause)).map(|_| ())
    }

    async fn put_if_absent(&self, key: &BlobKey, bytes: Bytes) -> Result<PutOutcome, BlobError> {
        let create = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.store.put_opts(&self.path(key.as_str()), bytes.into(), create).await {
            Ok(_) => Ok(PutOutcome::Written),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(PutOutcome::AlreadyThere),
            Err(cause) => Err(failed("put", cause)),
        }
    }

    async fn writer(&self) -> Result<Box<dyn BlobWriter>, BlobError> {
        let temporary = self.path(&format!("uploads/{}", ulid::Ulid::generate()));
        Ok(Box::new(S3Writer { blobs: self.clone(), temporary, upload: None, buffer: BytesMut::new() }))
    }

    async fn get(&self, key: &BlobKey, limit: u64) -> Result<Bytes, BlobError> {
        let found = self.store.get(&self.path(key.as_str())).await.map_err(|cause| missing(key, "get", cause))?;
        let bytes = found.meta.size;
        if bytes > limit {
            return Err(BlobError::TooLarge { key: key.clone(), bytes, limit });
        }
        found.bytes().await.map_err(|cause| failed("get", cause))
    }

    async fn read(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<ByteStream, BlobError> {
        let Some(range) = range else {
            let found = self.store.get(&self.path(key.as_str())).await.map_err(|cause| missing(key, "read", cause))?;
            return Ok(found.into_stream().map_err(|cause| failed("read", cause)).boxed());
        };
        // S3 refuses an empty or unsatisfiable range, the port gives an empty stream for it.
        let length = self.head(key).await?.ok_or_else(|| BlobError::NotFound(key.clone()))?.bytes;
        let range = range.start.min(length)..range.end.min(length);
        if range.is_empty() {
            return Ok(futures::stream::empty().boxed());
        }
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let found = self
            .store
            .get_opts(&self.path(key.as_str()), options)
            .await
            .map_err(|cause| missing(key, "read", cause))?;
        Ok(found.into_stream().map_err(|cause| failed("read", cause)).boxed())
    }

    async fn head(&self, key: &BlobKey) -> Result<Option<BlobMeta>, BlobError> {
        match self.store.head(&self.path(key.as_str())).await {
            Ok(meta) => Ok(Some(BlobMeta { bytes: meta.size })),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(cause) => Err(failed("measure", cause)),
        }
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), BlobError> {
        match self.store.delete(&self.path(key.as_str())).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(cause) => Err(failed("delete", cause)),
        }
    }

    async fn list(&self, prefix: &BlobKey) -> Result<Vec<BlobKey>, BlobError> {
        let within = self.path(prefix.as_str());
        let skip = if self.prefix.is_empty() { 0 } else { self.prefix.len() + 1 };
        let found: Vec<_> =
            self.store.list(Some(&within)).try_collect().await.map_err(|cause| failed("list", cause))?;
        let mut keys: Vec<BlobKey> =
            found.iter().filter_map(|meta| meta.location.as_ref().get(skip..)?.parse().ok()).collect();
        keys.sort();
        Ok(keys)
    }

    async fn check(&self) -> Result<(), BlobError> {
        let probe = self.path(&format!("uploads/probe-{}", ulid::Ulid::generate()));
        self.store
            .put(&probe, PutPayload::from_static(b"probe"))
            .await
            .map_err(|cause| failed("write a probe", cause))?;
        self.store.delete(&probe).await.map_err(|cause| failed("remove a probe", cause))
    }
}

struct S3Writer {
    blobs: S3Blobs,
    temporary: Path,
    upload: Option<Box<dyn MultipartUpload>>,
    buffer: BytesMut,
}

impl S3Writer {
    async fn send(&mut self, part: Bytes) -> Result<(), BlobError> {
        let upload = if let Some(upload) = &mut self.upload {
            upload
        } else {
            let begun = self.blobs.store.put_multipart(&self.temporary).await;
            self.upload.insert(begun.map_err(|cause| failed("begin an upload", cause))?)
        };
        upload.put_part(part.into()).await.map_err(|cause| failed("upload a part", cause))
    }
}

#[async_trait]
impl BlobWriter for S3Writer {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        self.buffer.extend_from_slice(&bytes);
        while self.buffer.len() >= PART {
            let part = self.buffer.split_to(PART).freeze();
            self.send(part).await?;
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>, key: &BlobKey) -> Result<(), BlobError> {
        let rest = self.buffer.split().freeze();
        if self.upload.is_none() {
            // Small enough for one put: no copy is needed.
            return self.blobs.put(key, rest).await;
        }
        if !rest.is_empty() {
            self.send(rest).await?;
        }
        if let Some(upload) = &mut self.upload {
            upload.complete().await.map_err(|cause| failed("complete an upload", cause))?;
        }
        let target = self.blobs.path(key.as_str());
        self.blobs.store.copy(&self.temporary, &target).await.map_err(|cause| failed("copy an upload", cause))?;
        self.blobs.store.delete(&self.temporary).await.map_err(|cause| failed("remove an upload", cause))
    }

    async fn abort(mut self: Box<Self>) -> Result<(), BlobError> {
        match &mut self.upload {
            Some(upload) => upload.abort().await.map_err(|cause| failed("abort an upload", cause)),
            None => Ok(()),
        }
    }
}

fn missing(key: &BlobKey, act: &str, cause: Error) -> BlobError {
    match cause {
        Error::NotFound { .. } => BlobError::NotFound(key.clone()),
        cause => failed(act, cause),
    }
}

fn failed(act: &str, cause: Error) -> BlobError {
    let act = act.to_owned();
    match cause {
        Error::PermissionDenied { .. }
        | Error::Unauthenticated { .. }
        | Error::NotSupported { .. }
        | Error::NotImplemented { .. }
        | Error::InvalidPath { .. }
        | Error::UnknownConfigurationKey { .. } => BlobError::Refused { act, cause: Box::new(cause) },
        cause => BlobError::Unavailable { act, cause: Box::new(cause) },
    }
}
