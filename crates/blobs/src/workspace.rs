//! What a stage sees of staging: one run of one tenant.
//!
//! ```text
//! <tenant>/<run>/artefacts/sha256-<hex>          named by content, shared by the generations of the run
//! <tenant>/<run>/g<n>/<phase>.json               result record of a stage
//! <tenant>/<run>/g<n>/<phase>.part-<p>.json      result record of one part
//! <tenant>/<run>/g<n>/handover/<kind>-<hex>.json where the bundle is going to be seen, written before it is
//! <tenant>/<run>/g<n>/scratch/<name>             checkpoints and half-written things, free to lose
//! ```

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use export_canon::digesting::{Digested, Digester, sha256};
use export_contract::message::{Artefact, ResultRef};
use export_contract::run::{Phase, RunRef};
use export_contract::{Digest, PartIndex, RunId, TenantId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::store::{BlobError, BlobKey, BlobStore, BlobWriter, ByteStream, PutOutcome};
use crate::sums::{is_as_written, with_sum};

/// Longest result record that is read: a run of 100,000 parts stays far below it.
pub const MAX_RESULT_BYTES: u64 = 256 << 20;

/// Waits before a record is read again that came spoilt, some eight seconds in all.
const READ_AGAIN: [Duration; 6] = [
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_millis(700),
    Duration::from_millis(1_500),
    Duration::from_millis(2_500),
    Duration::from_secs(3),
];

/// How many of these an artefact is read again after: a stage whose artefact came spoilt is begun again some times as well.
const ARTEFACT_AGAIN: usize = 2;

/// Pieces that may wait to be hashed.
const PIECES_AHEAD: usize = 4;

/// Why a result record could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ResultError {
    /// Staging failed.
    #[error("cannot reach result record `{key}`")]
    Store {
        /// Which.
        key: String,
        /// Why.
        #[source]
        cause: BlobError,
    },
    /// The record's bytes are not those that the event promised.
    #[error("result record `{key}` has digest {found}, the event promised {expected}")]
    Corrupt {
        /// Which.
        key: String,
        /// What the event said.
        expected: Digest,
        /// What staging holds.
        found: Digest,
    },
    /// The record is not what this build reads.
    #[error("result record `{key}` cannot be read")]
    Unreadable {
        /// Which.
        key: String,
        /// Why.
        #[source]
        cause: serde_json::Error,
    },
}

/// One run's corner of staging. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Workspace {
    store: Arc<dyn BlobStore>,
    run: RunRef,
}

impl Workspace {
    /// The corner of `run` in `store`.
    pub fn new(store: Arc<dyn BlobStore>, run: RunRef) -> Self {
        Self { store, run }
    }

    /// Which run.
    pub fn run(&self) -> &RunRef {
        &self.run
    }

    /// The store below, for readers of artefacts that live in another run.
    pub fn store(&self) -> &Arc<dyn BlobStore> {
        &self.store
    }

    /// The key of an artefact of any generation of a run.
    pub fn artefact_key(tenant: &TenantId, run: &RunId, digest: &Digest) -> BlobKey {
        key(format!("{tenant}/{run}/artefacts/sha256-{}", digest.hex()))
    }

    /// Where everything of a run lies.
    pub fn corner(tenant: &TenantId, run: &RunId) -> BlobKey {
        key(format!("{tenant}/{run}"))
    }

    /// Where the artefacts of a run lie.
    pub fn artefacts(tenant: &TenantId, run: &RunId) -> BlobKey {
        key(format!("{tenant}/{run}/artefacts"))
    }

    /// Where what may be lost lies, of this generation.
    pub fn scratch(&self) -> BlobKey {
        key(format!("{}/scratch", self.run))
    }

    /// The key of a result record.
    pub fn result_key(&self, phase: Phase, part: Option<PartIndex>) -> BlobKey {
        let RunRef { tenant, run, generation } = &self.run;
        match part {
            Some(part) => key(format!("{tenant}/{run}/{generation}/{phase}.part-{part}.json")),
            None => key(format!("{tenant}/{run}/{generation}/{phase}.json")),
        }
    }

    /// The key of the record that admission wrote.
    pub fn admission_key(&self) -> BlobKey {
        key(format!("{}/admission.json", self.run))
    }

    /// The key of something that may be lost; `name` must be a legal key name.
    pub fn scratch_key(&self, name: &str) -> Result<BlobKey, crate::store::ParseKeyError> {
        format!("{}/scratch/{name}", self.run).parse()
    }

    /// Stores `bytes` as an artefact. Storing the same bytes again is no error and writes nothing.
    pub async fn put_artefact(&self, bytes: Bytes) -> Result<Artefact, BlobError> {
        let artefact = Artefact { digest: digest_of(&bytes), bytes: bytes.len() as u64 };
        let key = Self::artefact_key(&self.run.tenant, &self.run.run, &artefact.digest);
        self.store.put_if_absent(&key, bytes).await?;
        Ok(artefact)
    }

    /// Opens an artefact whose digest is known only at its end.
    pub async fn artefact_writer(&self) -> Result<ArtefactWriter, BlobError> {
        Ok(ArtefactWriter::new(self.store.writer().await?, self.clone()))
    }

    /// The whole artefact, at most `limit` bytes. What came spoilt is read again, some times.
    pub async fn get_artefact(&self, digest: &Digest, limit: u64) -> Result<Bytes, BlobError> {
        let key = Self::artefact_key(&self.run.tenant, &self.run.run, digest);
        let mut waits = READ_AGAIN.into_iter().take(ARTEFACT_AGAIN);
        loop {
            let bytes = self.store.get(&key, limit).await?;
            // Bytes that are others still, after some tries, are for the caller to refuse, who knows what they are.
            let wait = if digest_of(&bytes) == *digest { None } else { waits.next() };
            match wait {
                None => return Ok(bytes),
                Some(wait) => tokio::time::sleep(wait).await,
            }
        }
    }

    /// The artefact as a stream.
    pub async fn read_artefact(&self, digest: &Digest) -> Result<ByteStream, BlobError> {
        self.store.read(&Self::artefact_key(&self.run.tenant, &self.run.run, digest), None).await
    }

    /// Writes the result record of a stage or part, unless there is one: of several workers the first wins, and all
    /// go on with what it wrote.
    ///
    /// # Errors
    /// When staging fails, or the record that is there cannot be read.
    pub async fn put_result<T: Serialize + Sync>(
        &self,
        phase: Phase,
        part: Option<PartIndex>,
        result: &T,
    ) -> Result<ResultRef, ResultError> {
        self.put_record(&self.result_key(phase, part), result).await
    }

    /// The same under a key of [`Self::admission_key`].
    pub async fn put_record<T: Serialize + Sync>(&self, key: &BlobKey, record: &T) -> Result<ResultRef, ResultError> {
        let unreadable = |cause| ResultError::Unreadable { key: key.to_string(), cause };
        let store = |cause| ResultError::Store { key: key.to_string(), cause };
        let bytes = Bytes::from(with_sum(serde_json::to_vec(record).map_err(unreadable)?));
        let stored = match self.store.put_if_absent(key, bytes.clone()).await.map_err(store)? {
            PutOutcome::Written => bytes,
            PutOutcome::AlreadyThere => self.get_sound(key, |stored| parses(key, stored)).await?,
        };
        Ok(ResultRef { key: key.to_string(), digest: digest_of(&stored) })
    }

    /// The reference of a result record that is there, `None` if the step was never done.
    pub async fn find_result(&self, phase: Phase, part: Option<PartIndex>) -> Result<Option<ResultRef>, ResultError> {
        let key = self.result_key(phase, part);
        match self.get_sound(&key, |bytes| parses(&key, bytes)).await {
            Ok(bytes) => Ok(Some(ResultRef { key: key.to_string(), digest: digest_of(&bytes) })),
            Err(ResultError::Store { cause: BlobError::NotFound(_), .. }) => Ok(None),
            Err(cause) => Err(cause),
        }
    }

    /// The bytes of a result record, checked against the digest that the event promised.
    ///
    /// # Errors
    /// When the record is of another run, cannot be reached, or is not what the event promised.
    pub async fn read_result(&self, result: &ResultRef) -> Result<Bytes, ResultError> {
        let refused = |cause| ResultError::Store { key: result.key.clone(), cause };
        let act = || "read a result record".to_owned();
        let key: BlobKey =
            result.key.parse().map_err(|cause| refused(BlobError::Refused { act: act(), cause: Box::new(cause) }))?;
        // The key came in a message: it must not lead into another tenant's corner.
        let RunRef { tenant, run, .. } = &self.run;
        if !key.as_str().starts_with(&format!("{tenant}/{run}/")) {
            let cause = format!("the record is not of run `{tenant}/{run}`").into();
            return Err(refused(BlobError::Refused { act: act(), cause }));
        }
        let promised = |bytes: &Bytes| {
            let found = digest_of(bytes);
            if found == result.digest {
                return Ok(());
            }
            Err(ResultError::Corrupt { key: result.key.clone(), expected: result.digest.clone(), found })
        };
        self.get_sound(&key, promised).await
    }

    /// The result record of a part, parsed.
    pub async fn part_result<T: DeserializeOwned>(&self, phase: Phase, part: PartIndex) -> Result<T, ResultError> {
        self.record(&self.result_key(phase, Some(part))).await
    }

    /// Any record of the run, parsed; `None` where there is none.
    ///
    /// # Errors
    /// When staging fails, or the record cannot be read.
    pub async fn find_record<T: DeserializeOwned>(&self, key: &BlobKey) -> Result<Option<T>, ResultError> {
        match self.record(key).await {
            Ok(record) => Ok(Some(record)),
            Err(ResultError::Store { cause: BlobError::NotFound(_), .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A record that must be there, parsed.
    pub(crate) async fn record<T: DeserializeOwned>(&self, key: &BlobKey) -> Result<T, ResultError> {
        let bytes = self.get_sound(key, |bytes| parses(key, bytes)).await?;
        serde_json::from_slice(&bytes).map_err(|cause| ResultError::Unreadable { key: key.to_string(), cause })
    }

    /// A record whose bytes are what they should be. Bytes that are not may have been spoilt on the way and be whole in the store, so they are read
    /// again, some times: a run must not fail over what a network did, and an event must not promise the digest of it.
    pub(crate) async fn get_sound(
        &self,
        key: &BlobKey,
        judge: impl Fn(&Bytes) -> Result<(), ResultError> + Send + Sync,
    ) -> Result<Bytes, ResultError> {
        let mut waits = READ_AGAIN.into_iter();
        loop {
            let bytes = self.store.get(key, MAX_RESULT_BYTES).await;
            let bytes = bytes.map_err(|cause| ResultError::Store { key: key.to_string(), cause })?;
            match (judge(&bytes), waits.next()) {
                (Ok(()), _) => return Ok(bytes),
                (Err(error), None) => return Err(error),
                (Err(_), Some(wait)) => tokio::time::sleep(wait).await,
            }
        }
    }
}

/// A record is JSON, whatever else it is, and what its sum says.
pub(crate) fn parses(key: &BlobKey, bytes: &Bytes) -> Result<(), ResultError> {
    let unreadable = |cause| ResultError::Unreadable { key: key.to_string(), cause };
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).map_err(unreadable)?;
    if is_as_written(bytes) {
        return Ok(());
    }
    let cause = io::Error::new(io::ErrorKind::InvalidData, "it is not what was written");
    Err(unreadable(serde_json::Error::io(cause)))
}

/// An artefact that is being written; hashes what passes through, beside the writing.
pub struct ArtefactWriter {
    writer: Box<dyn BlobWriter>,
    /// Its end tells the hashing thread to give its result.
    pieces: mpsc::Sender<Bytes>,
    digested: JoinHandle<Digested>,
    workspace: Workspace,
}

impl std::fmt::Debug for ArtefactWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArtefactWriter").field("run", &self.workspace.run).finish_non_exhaustive()
    }
}

impl ArtefactWriter {
    fn new(writer: Box<dyn BlobWriter>, workspace: Workspace) -> Self {
        let (pieces, mut queue) = mpsc::channel::<Bytes>(PIECES_AHEAD);
        let digested = tokio::task::spawn_blocking(move || {
            let mut digester = Digester::new();
            while let Some(piece) = queue.blocking_recv() {
                digester.update(&piece);
            }
            digester.finish()
        });
        Self { writer, pieces, digested, workspace }
    }

    /// Appends `bytes`.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        // It hangs up only if it panicked; `finish` then says so.
        let _hung_up = self.pieces.send(bytes.clone()).await;
        self.writer.write(bytes).await
    }

    /// Makes the artefact visible under its digest.
    pub async fn finish(self) -> Result<Artefact, BlobError> {
        let Self { writer, pieces, digested, workspace } = self;
        drop(pieces);
        let digested = digested
            .await
            .map_err(|cause| BlobError::Unavailable { act: "hash an artefact".to_owned(), cause: Box::new(cause) })?;
        let digest = Digest::from_bytes(*digested.sha256.as_bytes());
        let key = Workspace::artefact_key(&workspace.run.tenant, &workspace.run.run, &digest);
        writer.finish(&key).await?;
        Ok(Artefact { digest, bytes: digested.bytes })
    }

    /// Throws away what was written.
    pub async fn abort(self) -> Result<(), BlobError> {
        self.writer.abort().await
    }
}

pub(crate) fn key(text: String) -> BlobKey {
    // Tenants, runs, phases and digests consist of legal key characters only, so this cannot fail; an impossible
    // key names a blob that is never there.
    BlobKey::assume(text)
}

pub(crate) fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_bytes(*sha256(bytes).as_bytes())
}
