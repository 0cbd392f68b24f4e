//! The port: a flat store of immutable byte strings under path-like keys.

use std::fmt;
use std::ops::Range;
use std::pin::Pin;
use std::str::FromStr;

use async_trait::async_trait;
use bytes::Bytes;

/// A key: names of `[A-Za-z0-9._=-]` joined by `/`, none of which begins with `.`, at most 512 bytes.
///
/// Such a key is a safe path in a folder and a safe object name in S3 as it stands. What drivers keep for themselves
/// begins with `.`, so no key can name it. A key is never the beginning of another one up to a `/`: a folder cannot hold both.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobKey(String);

/// Why a text is not a [`BlobKey`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a staging key: use names of letters, digits, `.` (not first), `_`, `=`, `-` joined by `/`, at most 512 bytes"
)]
pub struct ParseKeyError(String);

impl BlobKey {
    /// A key made of parts that are legal by their types.
    pub(crate) fn assume(text: String) -> Self {
        debug_assert!(text.parse::<Self>().is_ok(), "{text}");
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BlobKey {
    type Err = ParseKeyError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let good_name = |name: &str| {
            !name.is_empty()
                && !name.starts_with('.')
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._=-".contains(&b))
        };
        if text.len() <= 512 && text.split('/').all(good_name) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseKeyError(text.chars().take(80).collect()))
        }
    }
}

impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is known of a blob without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobMeta {
    /// Its length.
    pub bytes: u64,
}

/// Whether a conditional put wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// The key was free and now holds the given bytes.
    Written,
    /// The key was taken; what it holds is untouched.
    AlreadyThere,
}

/// What failed, by outcome. The vendor's error is the source.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// No blob has that key.
    #[error("no blob `{0}`")]
    NotFound(BlobKey),
    /// The blob is larger than the caller takes.
    #[error("blob `{key}` has {bytes} bytes, at most {limit} are read here")]
    TooLarge {
        /// Which.
        key: BlobKey,
        /// Its length.
        bytes: u64,
        /// The caller's limit.
        limit: u64,
    },
    /// The store does not answer or the disk is full; worth another try.
    #[error("staging is unavailable: cannot {act}")]
    Unavailable {
        /// What was tried.
        act: String,
        /// Why it failed.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store refuses for good: permissions, wrong bucket, bad configuration.
    #[error("staging refused: cannot {act}")]
    Refused {
        /// What was tried.
        act: String,
        /// Why it failed.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl BlobError {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// The bytes of a blob as they arrive.
pub type ByteStream = Pin<Box<dyn futures::Stream<Item = Result<Bytes, BlobError>> + Send>>;

/// A store of blobs. Every promise here is kept by the conformance suite, which each driver runs.
#[async_trait]
pub trait BlobStore: Send + Sync + fmt::Debug {
    /// Stores `bytes` under `key`, durably, replacing what was there. Readers see the old or the new bytes, whole.
    async fn put(&self, key: &BlobKey, bytes: Bytes) -> Result<(), BlobError>;

    /// Stores `bytes` under `key`, durably, if the key is free; of several concurrent callers at most one is told that it
    /// wrote. A caller whose answer was lost on the way may be told [`PutOutcome::AlreadyThere`] of its own bytes.
    async fn put_if_absent(&self, key: &BlobKey, bytes: Bytes) -> Result<PutOutcome, BlobError>;

    /// Opens a blob for writing piece by piece; its key is given at the end, when its digest is known. Nothing is
    /// visible before [`BlobWriter::finish`]; a writer that is dropped or aborted leaves nothing that `list` shows.
    async fn writer(&self) -> Result<Box<dyn BlobWriter>, BlobError>;

    /// The whole blob, refused if it is longer than `limit` bytes.
    async fn get(&self, key: &BlobKey, limit: u64) -> Result<Bytes, BlobError>;

    /// The blob, or the bytes `range` of it, as a stream. A range past the end is cut.
    async fn read(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<ByteStream, BlobError>;

    /// The blob as an open file, where the store keeps it as one: whoever sends it on may leave the copying to the kernel. `None` where it
    /// does not; then [`Self::read`] is the way.
    async fn file(&self, key: &BlobKey) -> Result<Option<std::fs::File>, BlobError> {
        let _nothing_is_a_file_here = key;
        Ok(None)
    }

    /// Length of the blob, `None` if there is none.
    async fn head(&self, key: &BlobKey) -> Result<Option<BlobMeta>, BlobError>;

    /// Removes the blob; removing what is not there is no error.
    async fn delete(&self, key: &BlobKey) -> Result<(), BlobError>;

    /// Keys that begin with the names of `prefix`, in ascending order.
    async fn list(&self, prefix: &BlobKey) -> Result<Vec<BlobKey>, BlobError>;

    /// The names directly below `prefix`, or the first names of all keys, that lead on to further names: tenants, their runs. Ascending. A name
    /// may be there for longer than what is below it.
    async fn names(&self, prefix: Option<&BlobKey>) -> Result<Vec<String>, BlobError>;

    /// Lets go of what the store keeps for `prefix` itself (folders) where there is no blob below it any more. Whoever calls this knows
    /// that nobody writes there.
    async fn tidy(&self, prefix: &BlobKey) -> Result<(), BlobError>;

    /// Writes, reads and removes a probe; for readiness.
    async fn check(&self) -> Result<(), BlobError>;
}

/// A blob that is being written.
#[async_trait]
pub trait BlobWriter: Send {
    /// Appends `bytes`.
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError>;

    /// Makes what was written durable and visible under `key`, replacing what was there.
    async fn finish(self: Box<Self>, key: &BlobKey) -> Result<(), BlobError>;

    /// Throws away what was written.
    async fn abort(self: Box<Self>) -> Result<(), BlobError>;
}
