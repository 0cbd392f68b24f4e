//! Runs to hand over, and staging that fails when it is told to.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use export_blobs::folder::FolderBlobs;
use export_blobs::{BlobError, BlobKey, BlobMeta, BlobStore, BlobWriter, ByteStream, PutOutcome, Workspace};
use export_contract::event::ProgressTick;
use export_contract::message::{Artefact, Distribution, RunSigned};
use export_contract::profile::DistributionKind;
use export_contract::refresh::{self, Refresh};
use export_contract::run::{Phase, RunRef};
use export_contract::{Digest, RunId, Timestamp};
use export_pipeline::{ProgressSink, StageContext};
use futures::{StreamExt as _, stream};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::delivery::{BUNDLE, Delivery};
use crate::error::TargetError;
use crate::port::Target;

const SAMPLE: &str = include_str!("../../../contract/tests/wire/run_signed.v1.json");
const REFRESHED: &str = include_str!("../../../contract/tests/wire/run_planned.refresh.v1.json");
/// More than one piece of every driver, and no whole number of them.
const BUNDLE_BYTES: usize = (9 << 20) + 7;
/// When the runs may be pruned.
const EXPIRES: &str = "2026-03-03T00:00:00Z";

/// What staging does to one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A byte in its middle is another one.
    Changed,
    /// It ends in its middle.
    Short,
    /// It is not there.
    Lost,
    /// Reading it fails in its middle, as when the store is away for a while.
    Away,
    /// Reading it never goes on after its middle: what is seen of a worker that is killed there.
    Hangs,
    /// The run is cancelled in its middle.
    Cancels,
}

/// A staging folder, and runs in it.
#[derive(Debug)]
pub struct Bench {
    kind: DistributionKind,
    staging: Arc<Staging>,
}

impl Bench {
    /// An empty one, for runs that are handed over in this way.
    ///
    /// # Panics
    /// When there is no room for a folder.
    pub async fn new(kind: DistributionKind) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = FolderBlobs::open(folder.path()).await.expect("a staging folder");
        let staging = Staging { inner, trouble: Mutex::default(), hangs: Arc::default(), _folder: folder };
        Self { kind, staging: Arc::new(staging) }
    }

    /// A run with a bundle of its own.
    pub async fn run(&self) -> Handed {
        self.run_of(BUNDLE_BYTES).await
    }

    /// The same with a bundle of this length.
    pub async fn run_of(&self, bytes: usize) -> Handed {
        let signed = self.fresh();
        let seed = signed.manifest.plan.run.run.to_string();
        self.staged(signed, noise(&seed, bytes), &seed).await
    }

    /// Another run that came to the same bundle, and signed it itself.
    ///
    /// # Panics
    /// When staging fails.
    pub async fn with_bundle_of(&self, other: &Handed) -> Handed {
        let signed = self.fresh();
        let seed = signed.manifest.plan.run.run.to_string();
        let bundle = other.files.get(BUNDLE).cloned().expect("a bundle");
        self.staged(signed, bundle, &seed).await
    }

    /// The same run in its next generation, with the same bytes.
    ///
    /// # Panics
    /// When there are too many.
    pub fn replayed(&self, earlier: &Handed) -> Handed {
        let mut signed = earlier.signed.clone();
        let run = &mut signed.manifest.plan.run;
        run.generation = export_contract::Generation(run.generation.0.checked_add(1).expect("one more"));
        self.handed(signed, earlier.files.clone())
    }

    /// A run that only confirms the bundle of `earlier`: the tar lies in that run's corner, the files beside it in both.
    ///
    /// # Panics
    /// When the sample of the wire cannot be read, or staging fails.
    pub async fn confirming(&self, earlier: &Handed) -> Handed {
        let mut signed = earlier.signed.clone();
        let plan = &mut signed.manifest.plan;
        let sample: export_contract::message::RunPlanned = serde_json::from_str(REFRESHED).expect("a sample");
        plan.refresh = Some(Refresh {
            run: plan.run.run.clone(),
            export_json: signed.manifest.export_json.clone(),
            bundle: signed.manifest.bundle.clone(),
            sidecars: earlier.signed.sidecars.clone(),
            expires_at: Some(earlier.expires_at),
            ..sample.refresh.expect("a refresh")
        });
        plan.run.run = next_run();
        let workspace = Workspace::new(self.staging.clone(), plan.run.clone());
        let mut files = earlier.files.clone();
        files.insert(refresh::FILE.to_owned(), noise(&format!("{} refresh", plan.run), 900));
        for (name, bytes) in files.iter().filter(|(name, _)| *name != BUNDLE) {
            let artefact = workspace.put_artefact(bytes.clone()).await.expect("staged");
            signed.sidecars.insert(name.clone(), artefact);
        }
        self.handed(signed, files)
    }

    /// Stages something more for a run.
    ///
    /// # Panics
    /// When staging fails.
    pub async fn put(&self, handed: &Handed, bytes: Bytes) -> Artefact {
        let workspace = Workspace::new(self.staging.clone(), handed.run().clone());
        workspace.put_artefact(bytes).await.expect("staged")
    }

    /// From now on staging does this to a file of a run, and to no other one.
    ///
    /// # Panics
    /// When the run has no such file.
    pub fn trouble(&self, handed: &Handed, name: &str, trouble: Trouble) {
        let signed = &handed.signed;
        let artefact = if name == BUNDLE { Some(&signed.manifest.bundle) } else { signed.sidecars.get(name) };
        let artefact = artefact.expect("a file of the run").clone();
        *self.staging.trouble() = Some((artefact, trouble, handed.cancel.clone()));
    }

    /// From now on it does as it is asked again.
    pub fn no_trouble(&self) {
        *self.staging.trouble() = None;
    }

    /// Waits until a read hangs.
    pub async fn hangs(&self) {
        self.staging.hangs.notified().await;
    }

    fn fresh(&self) -> RunSigned {
        let mut signed: RunSigned = serde_json::from_str(SAMPLE).expect("a sample");
        let plan = &mut signed.manifest.plan;
        plan.run.run = next_run();
        plan.profile.config.distribution = [self.kind].into();
        signed
    }

    async fn staged(&self, mut signed: RunSigned, bundle: Bytes, seed: &str) -> Handed {
        let workspace = Workspace::new(self.staging.clone(), signed.manifest.plan.run.clone());
        let mut files = BTreeMap::from([(BUNDLE.to_owned(), bundle)]);
        for (name, bytes) in [
            ("cosign.pub", 178),
            ("export.json", 4_000),
            ("export.json.sig", 96),
            ("export.json.sigstore.json", 700),
            ("provenance.json", 3_000),
            ("provenance.sigstore.json", 5_000),
        ] {
            files.insert(name.to_owned(), noise(&format!("{seed} {name}"), bytes));
        }
        signed.sidecars.clear();
        for (name, bytes) in &files {
            let artefact = workspace.put_artefact(bytes.clone()).await.expect("staged");
            match name.as_str() {
                BUNDLE => signed.manifest.bundle = artefact,
                name => drop(signed.sidecars.insert(name.to_owned(), artefact)),
            }
        }
        signed.manifest.export_json = signed.sidecars.get("export.json").cloned().expect("staged");
        self.handed(signed, files)
    }

    fn handed(&self, signed: RunSigned, files: BTreeMap<String, Bytes>) -> Handed {
        let store: Arc<dyn BlobStore> = self.staging.clone();
        let expires_at = EXPIRES.parse().expect("a time");
        Handed { signed, files, store, cancel: CancellationToken::new(), expires_at }
    }
}

/// A run with its staging, ready to be handed over.
#[derive(Debug)]
pub struct Handed {
    signed: RunSigned,
    files: BTreeMap<String, Bytes>,
    store: Arc<dyn BlobStore>,
    cancel: CancellationToken,
    expires_at: Timestamp,
}

impl Handed {
    /// Which run.
    pub fn run(&self) -> &RunRef {
        &self.signed.manifest.plan.run
    }

    /// What it made.
    pub fn signed(&self) -> &RunSigned {
        &self.signed
    }

    /// The same, to be made another run than it is.
    pub fn signed_mut(&mut self) -> &mut RunSigned {
        &mut self.signed
    }

    /// Its files by name, the bundle among them.
    pub fn files(&self) -> &BTreeMap<String, Bytes> {
        &self.files
    }

    /// When it may be pruned.
    pub fn expires_at(&self) -> Option<Timestamp> {
        Some(self.expires_at)
    }

    /// The same, to be pruned at another time.
    #[must_use]
    pub fn until(mut self, expires_at: Timestamp) -> Self {
        self.expires_at = expires_at;
        self
    }

    /// Cancels it.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Hands it over, as the stage does.
    ///
    /// # Errors
    /// As the target.
    pub async fn over(&self, target: &dyn Target) -> Result<Distribution, TargetError> {
        let cx = self.context();
        target.distribute(&Delivery { signed: &self.signed, cx: &cx, expires_at: Some(self.expires_at) }).await
    }

    /// Where it will be.
    ///
    /// # Errors
    /// As the target.
    pub async fn place(&self, target: &dyn Target) -> Result<Option<Distribution>, TargetError> {
        let cx = self.context();
        target.place(&Delivery { signed: &self.signed, cx: &cx, expires_at: Some(self.expires_at) }).await
    }

    fn context(&self) -> StageContext {
        let workspace = Workspace::new(self.store.clone(), self.run().clone());
        StageContext::new(workspace, Phase::Distribute, None, 1, self.cancel.clone(), Arc::new(Silent))
    }
}

struct Silent;

impl ProgressSink for Silent {
    fn tick(&self, _tick: ProgressTick) {}
}

/// Run ids that rise, and differ between the tests of a program.
fn next_run() -> RunId {
    static RUNS: AtomicU64 = AtomicU64::new(1);
    let next = RUNS.fetch_add(1, Ordering::Relaxed);
    RunId::from_parts(1_760_000_000_000 + next, u128::from(next))
}

/// Bytes that no other seed has.
fn noise(seed: &str, bytes: usize) -> Bytes {
    let start = Digest::from_bytes(*export_canon::digesting::sha256(seed.as_bytes()).as_bytes());
    let mut state = start
        .hex()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mut made = Vec::with_capacity(bytes + 8);
    while made.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        made.extend_from_slice(&state.to_le_bytes());
    }
    made.truncate(bytes);
    made.into()
}

/// A staging folder, one of whose files may be in trouble.
#[derive(Debug)]
struct Staging {
    inner: FolderBlobs,
    trouble: Mutex<Option<(Artefact, Trouble, CancellationToken)>>,
    hangs: Arc<Notify>,
    _folder: TempDir,
}

impl Staging {
    fn trouble(&self) -> std::sync::MutexGuard<'_, Option<(Artefact, Trouble, CancellationToken)>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trouble_with(&self, key: &BlobKey) -> Option<(Artefact, Trouble, CancellationToken)> {
        self.trouble().clone().filter(|(artefact, ..)| key.as_str().ends_with(artefact.digest.hex()))
    }
}

fn away() -> BlobError {
    BlobError::Unavailable { act: "read".to_owned(), cause: "staging is away".into() }
}

#[async_trait]
impl BlobStore for Staging {
    async fn put(&self, key: &BlobKey, bytes: Bytes) -> Result<(), BlobError> {
        self.inner.put(key, bytes).await
    }

    async fn put_if_absent(&self, key: &BlobKey, bytes: Bytes) -> Result<PutOutcome, BlobError> {
        self.inner.put_if_absent(key, bytes).await
    }

    async fn writer(&self) -> Result<Box<dyn BlobWriter>, BlobError> {
        self.inner.writer().await
    }

    async fn get(&self, key: &BlobKey, limit: u64) -> Result<Bytes, BlobError> {
        let mut pieces = self.read(key, None).await?;
        let mut whole = Vec::new();
        while let Some(piece) = pieces.next().await {
            whole.extend_from_slice(&piece?);
        }
        let bytes = whole.len() as u64;
        if bytes > limit { Err(BlobError::TooLarge { key: key.clone(), bytes, limit }) } else { Ok(whole.into()) }
    }

    async fn read(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<ByteStream, BlobError> {
        let Some((artefact, trouble, cancel)) = self.trouble_with(key) else {
            return self.inner.read(key, range).await;
        };
        if trouble == Trouble::Lost {
            return Err(BlobError::NotFound(key.clone()));
        }
        let asked = range.unwrap_or(0..artefact.bytes);
        let middle = (artefact.bytes / 2).clamp(asked.start, asked.end.min(artefact.bytes));
        let before = self.inner.read(key, Some(asked.start..middle)).await?;
        let after = self.inner.read(key, Some(middle..asked.end)).await?;
        let hangs = self.hangs.clone();
        Ok(match trouble {
            Trouble::Lost | Trouble::Short => before,
            Trouble::Away => Box::pin(before.chain(stream::once(async { Err(away()) }))),
            Trouble::Hangs => Box::pin(before.chain(stream::once(async move {
                hangs.notify_one();
                std::future::pending().await
            }))),
            Trouble::Cancels => Box::pin(
                before
                    .chain(stream::once(async move {
                        cancel.cancel();
                        Ok(Bytes::new())
                    }))
                    .chain(after),
            ),
            Trouble::Changed => Box::pin(before.chain(after.enumerate().map(|(at, piece)| {
                let mut piece = piece?.to_vec();
                if let (0, Some(first)) = (at, piece.first_mut()) {
                    *first ^= 1;
                }
                Ok(Bytes::from(piece))
            }))),
        })
    }

    async fn head(&self, key: &BlobKey) -> Result<Option<BlobMeta>, BlobError> {
        match self.trouble_with(key) {
            Some((_, Trouble::Lost, _)) => Ok(None),
            _ => self.inner.head(key).await,
        }
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), BlobError> {
        self.inner.delete(key).await
    }

    async fn list(&self, prefix: &BlobKey) -> Result<Vec<BlobKey>, BlobError> {
        self.inner.list(prefix).await
    }

    async fn names(&self, prefix: Option<&BlobKey>) -> Result<Vec<String>, BlobError> {
        self.inner.names(prefix).await
    }

    async fn tidy(&self, prefix: &BlobKey) -> Result<(), BlobError> {
        self.inner.tidy(prefix).await
    }

    async fn check(&self) -> Result<(), BlobError> {
        self.inner.check().await
    }
}
