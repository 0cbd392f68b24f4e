//! Staging in an S3 bucket.
//!
//! A blob whose key is known only at its end is uploaded to `.uploads/<ulid>` first and then copied by the server: S3 has no
//! rename. One copy takes at most 5 GiB; what is larger goes through this process, piece by piece. No key begins with a dot,
//! so no listing shows an upload. What a crash leaves (an incomplete multipart upload, or a whole one that was not copied yet)
//! is cleared by two lifecycle rules of the bucket: `AbortIncompleteMultipartUpload`, and `Expiration` under `.uploads/`.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::aws::{AmazonS3Builder, AwsCredential, S3ConditionalPut};
use object_store::path::Path;
use object_store::{
    Certificate, ClientOptions, CredentialProvider, Error, GetOptions, GetRange, MultipartUpload, ObjectStore,
    ObjectStoreExt as _, PutMode, PutOptions, PutPayload,
};

use crate::access::AccessKeySource;
use crate::store::{BlobError, BlobKey, BlobMeta, BlobStore, BlobWriter, ByteStream, PutOutcome};

/// Bytes of one part of a multipart upload; S3 takes 10,000 parts, so a blob may have some 156 GiB.
const PART: usize = 16 << 20;
/// Most bytes that the server copies at once (`CopyObject` of the S3 API).
const COPY_LIMIT: u64 = 5 << 30;
/// Where blobs lie before their key is known.
const UPLOADS: &str = ".uploads";
/// A server that sends nothing for so long is given up. There is no limit for a whole request: a download takes as long as
/// its reader does.
const SILENCE: Duration = Duration::from_mins(1);
/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);

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
    /// Whoever keeps the access key; absent: the two below, or the machine's role.
    pub access: Option<Arc<dyn AccessKeySource>>,
    /// Access key id; empty takes the machine's role.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: String,
    /// Certificates (PEM) that the server's own must come from; `None` means those that the system trusts.
    pub ca_pem: Option<Vec<u8>>,
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

/// The keys of a source as the client of buckets asks for them.
#[derive(Debug)]
struct Kept(Arc<dyn AccessKeySource>);

#[async_trait]
impl CredentialProvider for Kept {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> Result<Arc<AwsCredential>, Error> {
        let key = self.0.access_key().await.map_err(|source| Error::Generic { store: "S3", source })?;
        Ok(Arc::new(AwsCredential { key_id: key.id, secret_key: key.secret, token: key.session_token }))
    }
}

/// A bucket of blobs.
#[derive(Clone, Debug)]
pub struct S3Blobs {
    store: Arc<dyn ObjectStore>,
    prefix: String,
    copy_limit: u64,
}

impl S3Blobs {
    /// The store that `settings` name. Connects at the first call.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn open(settings: &S3Settings) -> Result<Self, BlobError> {
        let region = if settings.region.is_empty() { "us-east-1" } else { &settings.region };
        let mut client =
            ClientOptions::new().with_timeout_disabled().with_read_timeout(SILENCE).with_connect_timeout(CONNECT);
        if let Some(pem) = &settings.ca_pem {
            for certificate in Certificate::from_pem_bundle(pem)
                .map_err(|cause| failed("read the certificates for the bucket", cause))?
            {
                client = client.with_root_certificate(certificate);
            }
        }
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&settings.bucket)
            .with_region(region)
            .with_client_options(client)
            .with_conditional_put(S3ConditionalPut::ETagMatch);
        if !settings.endpoint.is_empty() {
            builder =
                builder.with_endpoint(&settings.endpoint).with_allow_http(settings.endpoint.starts_with("http://"));
        }
        if let Some(source) = &settings.access {
            builder = builder.with_credentials(Arc::new(Kept(Arc::clone(source))));
        } else if !settings.access_key_id.is_empty() {
            builder =
                builder.with_access_key_id(&settings.access_key_id).with_secret_access_key(&settings.secret_access_key);
        }
        let store = builder.build().map_err(|cause| failed("open the bucket", cause))?;
        let prefix = settings.prefix.trim_matches('/').to_owned();
        Ok(Self { store: Arc::new(store), prefix, copy_limit: COPY_LIMIT })
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
        let temporary = self.path(&format!("{UPLOADS}/{}", ulid::Ulid::generate()));
        let parts = Parts::new(self.store.clone(), temporary);
        Ok(Box::new(S3Writer { blobs: self.clone(), parts }))
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

    async fn names(&self, prefix: Option<&BlobKey>) -> Result<Vec<String>, BlobError> {
        let within = match prefix {
            Some(prefix) => Some(self.path(prefix.as_str())),
            None => Some(Path::from(self.prefix.as_str())).filter(|_| !self.prefix.is_empty()),
        };
        let found = self.store.list_with_delimiter(within.as_ref()).await.map_err(|cause| failed("list", cause))?;
        let mut names: Vec<String> = found
            .common_prefixes
            .iter()
            .filter_map(|below| below.filename().filter(|name| !name.starts_with('.')).map(str::to_owned))
            .collect();
        names.sort();
        Ok(names)
    }

    /// A bucket has no folders.
    async fn tidy(&self, _prefix: &BlobKey) -> Result<(), BlobError> {
        Ok(())
    }

    async fn check(&self) -> Result<(), BlobError> {
        let probe = self.path(&format!("{UPLOADS}/probe-{}", ulid::Ulid::generate()));
        let payload = PutPayload::from_static(b"probe");
        self.store.put(&probe, payload).await.map_err(|cause| failed("write a probe", cause))?;
        self.store.head(&probe).await.map_err(|cause| failed("read a probe", cause))?;
        self.store.delete(&probe).await.map_err(|cause| failed("remove a probe", cause))
    }
}

/// A multipart upload that begins with its first full part. Dropped unfinished, it is never visible.
struct Parts {
    store: Arc<dyn ObjectStore>,
    path: Path,
    upload: Option<Box<dyn MultipartUpload>>,
    buffer: BytesMut,
    sent: u64,
}

impl Parts {
    fn new(store: Arc<dyn ObjectStore>, path: Path) -> Self {
        Self { store, path, upload: None, buffer: BytesMut::new(), sent: 0 }
    }

    async fn push(&mut self, mut bytes: Bytes) -> Result<(), BlobError> {
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PART - self.buffer.len()));
            self.buffer.extend_from_slice(&piece);
            if self.buffer.len() == PART {
                self.send().await?;
            }
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), BlobError> {
        let part = self.buffer.split().freeze();
        self.sent += part.len() as u64;
        let upload = if let Some(upload) = &mut self.upload {
            upload
        } else {
            let begun = self.store.put_multipart(&self.path).await;
            self.upload.insert(begun.map_err(|cause| failed("begin an upload", cause))?)
        };
        upload.put_part(part.into()).await.map_err(|cause| failed("upload a part", cause))
    }

    async fn complete(&mut self) -> Result<(), BlobError> {
        if !self.buffer.is_empty() || self.upload.is_none() {
            self.send().await?;
        }
        let Some(upload) = &mut self.upload else {
            return Ok(());
        };
        upload.complete().await.map_err(|cause| failed("complete an upload", cause)).map(|_| ())
    }

    async fn abort(&mut self) -> Result<(), BlobError> {
        match &mut self.upload {
            Some(upload) => upload.abort().await.map_err(|cause| failed("abort an upload", cause)),
            None => Ok(()),
        }
    }
}

struct S3Writer {
    blobs: S3Blobs,
    parts: Parts,
}

impl S3Writer {
    async fn copy_to(&mut self, target: Path) -> Result<(), BlobError> {
        let (store, temporary) = (&self.blobs.store, &self.parts.path);
        if self.parts.sent <= self.blobs.copy_limit {
            return store.copy(temporary, &target).await.map_err(|cause| failed("copy an upload", cause));
        }
        let relayed = |cause| failed("read an upload back", cause);
        let mut pieces = store.get(temporary).await.map_err(relayed)?.into_stream();
        let mut parts = Parts::new(store.clone(), target);
        while let Some(piece) = pieces.try_next().await.map_err(relayed)? {
            parts.push(piece).await?;
        }
        parts.complete().await
    }
}

#[async_trait]
impl BlobWriter for S3Writer {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        self.parts.push(bytes).await
    }

    async fn finish(mut self: Box<Self>, key: &BlobKey) -> Result<(), BlobError> {
        if self.parts.upload.is_none() {
            // Small enough for one put: no copy is needed.
            return self.blobs.put(key, self.parts.buffer.split().freeze()).await;
        }
        self.parts.complete().await?;
        let copied = self.copy_to(self.blobs.path(key.as_str())).await;
        // The blob is where it belongs, or the error says that it is not; an upload that stays is cleared by lifecycle.
        drop(self.blobs.store.delete(&self.parts.path).await);
        copied
    }

    async fn abort(mut self: Box<Self>) -> Result<(), BlobError> {
        self.parts.abort().await
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
        // Where a blob may be absent, that is told apart before; here it is the bucket.
        Error::NotFound { .. }
        | Error::PermissionDenied { .. }
        | Error::Unauthenticated { .. }
        | Error::NotSupported { .. }
        | Error::NotImplemented { .. }
        | Error::InvalidPath { .. }
        | Error::UnknownConfigurationKey { .. } => BlobError::Refused { act, cause: Box::new(cause) },
        cause => BlobError::Unavailable { act, cause: Box::new(cause) },
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn a_blob_that_the_server_cannot_copy_at_once_is_relayed() {
        let blobs = S3Blobs { store: Arc::new(InMemory::new()), prefix: "p".to_owned(), copy_limit: 1 << 20 };
        let key: BlobKey = "t/large".parse().unwrap();
        let piece = Bytes::from((0..6_000_000_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect::<Vec<u8>>());
        let mut writer = blobs.writer().await.unwrap();
        for _ in 0..6 {
            writer.write(piece.clone()).await.unwrap();
        }
        writer.finish(&key).await.unwrap();
        assert!(blobs.get(&key, u64::MAX).await.unwrap() == [&piece[..]; 6].concat());
        let names: Vec<_> =
            blobs.store.list(None).map_ok(|meta| meta.location.to_string()).try_collect().await.unwrap();
        assert_eq!(names, ["p/t/large"], "the upload is removed");
    }

    #[test]
    fn settings_print_no_secret() {
        let settings = S3Settings { secret_access_key: "hunter2".to_owned(), ..S3Settings::default() };
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
