//! A ledger that can misbehave, staging in a folder, and runs over both.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use export_adapt::adapter::Tools;
use export_adapt::{AdaptError, AdaptPart, Assemble, Registry};
use export_blobs::folder::FolderBlobs;
use export_blobs::{BlobStore as _, Workspace};
use export_contract::event::ProgressTick;
use export_contract::evidence::Linkset;
use export_contract::message::{LedgerSource, Part, PartAdapted, PartsResolved, RunAdapted, RunPlanned, RunRequest};
use export_contract::profile::{Frames, Profile, ProfileKind};
use export_contract::run::{Phase, RunRef};
use export_contract::selectors::Selectors;
use export_contract::{
    Digest, Generation, PartIndex, RecordKey, RecordKind, RunId, Sequence, TenantId, Timestamp, Version,
};
use export_evidence::policy::SqlitePolicyStore;
use export_evidence::{
    EvidenceLedger, ImportSession, LedgerError, LineStream, NewRecord, PartSize, ReadRange, Selection, SqliteLedger,
    StoredLine, Watermark,
};
use export_pipeline::context::ProgressSink;
use export_pipeline::stage::PartResolved;
use export_pipeline::{Stage as _, StageContext};
use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;

/// Keeps what it is told.
#[derive(Default)]
pub(crate) struct Ticks(pub(crate) Mutex<Vec<ProgressTick>>);

impl ProgressSink for Ticks {
    fn tick(&self, tick: ProgressTick) {
        self.0.lock().unwrap().push(tick);
    }
}

/// What a read does once it has given as many lines as it may.
#[derive(Clone, Debug)]
pub(crate) enum Then {
    /// Says that the ledger does not answer.
    Break,
    /// Cancels this, and goes on.
    Cancel(CancellationToken),
    /// Tells this, and never answers again.
    Hang(CancellationToken),
}

/// A ledger that notes where reads begin, changes lines, and can break off.
#[derive(Debug)]
pub(crate) struct Watched {
    inner: SqliteLedger,
    /// The cursor of each read.
    pub(crate) cursors: Mutex<Vec<Option<RecordKey>>>,
    /// Lines given, over all reads.
    pub(crate) given: Arc<AtomicU64>,
    /// Lines of a batch.
    pub(crate) batch: AtomicUsize,
    /// After how many lines of a read something happens, and what.
    pub(crate) trouble: Mutex<Option<(u64, Then)>>,
    /// Changes each line.
    pub(crate) twist: Mutex<Option<fn(&mut StoredLine)>>,
}

#[async_trait]
impl EvidenceLedger for Watched {
    async fn watermark(&self, tenant: &TenantId) -> Result<Watermark, LedgerError> {
        self.inner.watermark(tenant).await
    }
    async fn as_of(&self, tenant: &TenantId, at: Sequence) -> Result<Option<Timestamp>, LedgerError> {
        self.inner.as_of(tenant, at).await
    }
    async fn sources(&self, tenant: &TenantId, at: Sequence) -> Result<Vec<LedgerSource>, LedgerError> {
        self.inner.sources(tenant, at).await
    }
    async fn cut(
        &self,
        selection: &Selection,
        kind: RecordKind,
        size: PartSize,
        first_index: u32,
    ) -> Result<Vec<Part>, LedgerError> {
        self.inner.cut(selection, kind, size, first_index).await
    }
    async fn read(&self, range: ReadRange) -> Result<LineStream, LedgerError> {
        self.cursors.lock().unwrap().push(range.after.clone());
        let (trouble, twist) = (self.trouble.lock().unwrap().clone(), *self.twist.lock().unwrap());
        let given = self.given.clone();
        let mut seen = 0;
        let lines = self.inner.read(range).await?.flat_map(|batch| futures::stream::iter(batch.unwrap()));
        let lines = lines.then(move |mut line| {
            seen += 1;
            given.fetch_add(1, Ordering::SeqCst);
            if let Some(twist) = twist {
                twist(&mut line);
            }
            let then = trouble.clone().filter(|(limit, _)| seen > *limit).map(|(_, then)| then);
            async move {
                match then {
                    None => Ok(line),
                    Some(Then::Break) => {
                        Err(LedgerError::Unavailable { act: "read".to_owned(), cause: "the ledger went away".into() })
                    }
                    Some(Then::Cancel(token)) => {
                        token.cancel();
                        Ok(line)
                    }
                    Some(Then::Hang(token)) => {
                        token.cancel();
                        std::future::pending().await
                    }
                }
            }
        });
        Ok(lines.chunks(self.batch.load(Ordering::SeqCst)).map(|lines| lines.into_iter().collect()).boxed())
    }
    async fn begin_import(&self, tenant: &TenantId) -> Result<Box<dyn ImportSession>, LedgerError> {
        self.inner.begin_import(tenant).await
    }
    async fn check(&self) -> Result<(), LedgerError> {
        self.inner.check().await
    }
}

pub(crate) struct World {
    _folder: Option<tempfile::TempDir>,
    pub(crate) ledger: Arc<Watched>,
    pub(crate) blobs: Arc<FolderBlobs>,
    pub(crate) tenant: TenantId,
    /// What its runs make.
    pub(crate) kind: ProfileKind,
    /// Where databases grow.
    pub(crate) scratch: PathBuf,
    /// Sorted runs that are merged at once.
    pub(crate) fan_in: usize,
    /// Snapshots and findings.
    pub(crate) policy: Arc<SqlitePolicyStore>,
}

pub(crate) const RECORDS: usize = 600;

impl World {
    /// A ledger of [`RECORDS`] records.
    pub(crate) async fn new() -> Self {
        Self::holding(ProfileKind::JsonRaw, (0..RECORDS).map(record).collect()).await
    }

    /// A ledger of these records, for runs of this kind.
    pub(crate) async fn holding(kind: ProfileKind, records: Vec<NewRecord>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut world = Self::open(folder.path()).await;
        world.kind = kind;
        world.import(records).await;
        world._folder = Some(folder);
        world
    }

    /// What is in a folder.
    pub(crate) async fn open(folder: &Path) -> Self {
        let ledger = Arc::new(Watched {
            inner: SqliteLedger::open(&folder.join("evidence.db")).unwrap(),
            cursors: Mutex::default(),
            given: Arc::default(),
            batch: AtomicUsize::new(1),
            trouble: Mutex::default(),
            twist: Mutex::default(),
        });
        let blobs = Arc::new(FolderBlobs::open(&folder.join("staging")).await.unwrap());
        let scratch = folder.join("scratch");
        std::fs::create_dir_all(&scratch).unwrap();
        let tenant = "acme".parse().unwrap();
        let policy = Arc::new(SqlitePolicyStore::open(&folder.join("policy.db")).unwrap());
        Self { _folder: None, ledger, blobs, tenant, kind: ProfileKind::JsonRaw, scratch, fan_in: 2, policy }
    }

    pub(crate) async fn import(&self, records: Vec<NewRecord>) {
        let mut import = self.ledger.begin_import(&self.tenant).await.unwrap();
        for record in records {
            import.put(vec![record]).await.unwrap();
        }
        import.commit().await.unwrap();
    }

    /// From now on a read gives `lines` lines, and then this happens.
    pub(crate) fn after(&self, lines: u64, then: Then) {
        *self.ledger.trouble.lock().unwrap() = Some((lines, then));
    }

    /// From now on all goes well.
    pub(crate) fn heal(&self) {
        *self.ledger.trouble.lock().unwrap() = None;
    }

    /// Keys of the run's artefacts, and of its scratch.
    pub(crate) async fn staged(&self, run: &RunRef) -> (usize, usize) {
        let count = async |prefix: String| self.blobs.list(&prefix.parse().unwrap()).await.unwrap().len();
        (count(format!("{}/{}/artefacts", run.tenant, run.run)).await, count(format!("{run}/scratch")).await)
    }

    pub(crate) fn registry(&self, threads: usize) -> Registry {
        let tools = Tools {
            ledger: self.ledger.clone(),
            threads: NonZeroUsize::new(threads).unwrap(),
            scratch: self.scratch.clone(),
            fan_in: self.fan_in,
            policy: self.policy.clone(),
        };
        Registry::new(&tools, &BTreeSet::from([self.kind]))
    }

    /// A planned run, cut into parts of 250 records.
    pub(crate) async fn resolved(&self, run: u64, frames: Frames) -> PartsResolved {
        let mut plan = self.plan(run, frames);
        plan.watermark = self.ledger.watermark(&self.tenant).await.unwrap().sequence;
        self.cut(plan, 250).await
    }

    pub(crate) async fn cut(&self, plan: RunPlanned, every: u32) -> PartsResolved {
        let selection =
            Selection { tenant: self.tenant.clone(), watermark: plan.watermark, selectors: plan.selectors.clone() };
        let mut parts = Vec::new();
        for kind in plan.selectors.kinds.iter().copied() {
            let first = u32::try_from(parts.len()).unwrap();
            parts.extend(self.ledger.cut(&selection, kind, PartSize::records(every), first).await.unwrap());
        }
        PartsResolved { v: Version, plan, parts }
    }

    pub(crate) fn plan(&self, run: u64, frames: Frames) -> RunPlanned {
        let at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut profile = Profile::built_in(self.tenant.clone(), self.kind, at);
        // Small chunks, so that a part has many frames and several segments.
        profile.config.compression.chunk_bytes = 64 << 10;
        profile.config.compression.frames = frames;
        RunPlanned {
            v: Version,
            run: RunRef { tenant: self.tenant.clone(), run: RunId::from_parts(run, 0), generation: Generation::FIRST },
            profile,
            config_digest: Digest::from_bytes([0; 32]),
            selectors: Selectors { kinds: RecordKind::ALL.into_iter().collect(), ..Selectors::default() },
            watermark: Sequence(RECORDS as u64),
            as_of: Some(at),
            sources: Vec::new(),
            tenants: Vec::new(),
            policy_snapshot: None,
            base: None,
            adapter: self.registry(1).references().remove(0),
            request: RunRequest {
                by: "test".into(),
                at,
                admitted_at: at,
                correlation_id: "test".into(),
                traceparent: None,
            },
            refresh: None,
        }
    }

    pub(crate) fn context(
        &self,
        plan: &RunPlanned,
        part: Option<PartIndex>,
        cancel: CancellationToken,
    ) -> StageContext {
        let workspace = Workspace::new(self.blobs.clone(), plan.run.clone());
        StageContext::new(workspace, Phase::Adapt, part, 1, cancel, Arc::new(Ticks::default()))
    }

    pub(crate) async fn adapt(
        &self,
        resolved: &PartsResolved,
        part: &Part,
        threads: usize,
    ) -> Result<PartAdapted, AdaptError> {
        let cx = self.context(&resolved.plan, Some(part.index), CancellationToken::new());
        let input = PartResolved { plan: resolved.plan.clone(), part: part.clone() };
        AdaptPart::new(self.registry(threads)).handle(input, &cx).await
    }

    pub(crate) async fn whole_run(&self, run: u64, threads: usize, frames: Frames) -> RunAdapted {
        self.run(self.resolved(run, frames).await, threads).await
    }

    /// Every part, and the join.
    pub(crate) async fn run(&self, resolved: PartsResolved, threads: usize) -> RunAdapted {
        for part in &resolved.parts {
            let adapted = self.adapt(&resolved, part, threads).await.unwrap();
            let workspace = Workspace::new(self.blobs.clone(), resolved.plan.run.clone());
            workspace.put_result(Phase::Adapt, Some(part.index), &adapted).await.unwrap();
        }
        self.assemble(resolved).await.unwrap()
    }

    pub(crate) async fn assemble(&self, resolved: PartsResolved) -> Result<RunAdapted, AdaptError> {
        let cx = self.context(&resolved.plan, None, CancellationToken::new());
        Assemble::new(self.registry(1)).handle(resolved, &cx).await
    }

    pub(crate) async fn bytes(&self, adapted: &RunAdapted, path: &str) -> Bytes {
        let file = adapted.files.iter().find(|file| file.path == path).unwrap();
        let run = &adapted.plan.run;
        let key = Workspace::artefact_key(&run.tenant, &run.run, &file.artefact.digest);
        self.blobs.get(&key, u64::MAX).await.unwrap()
    }
}

/// Advisories of some 3 KB that do not compress to nothing, and a few SBOMs; there is no VEX.
pub(crate) fn record(number: usize) -> NewRecord {
    let noise: String = (0..1000).map(|n| format!("{:x}", (number * 7919 + n * 104_729) % 65_521)).collect();
    let raw = format!(r#"{{"id":"ADV-{number:05}","noise":"{noise}","severity":[1.0,1e3]}}"#);
    let kind = if number.is_multiple_of(50) { RecordKind::Sbom } else { RecordKind::Advisory };
    NewRecord {
        kind,
        key: RecordKey {
            subject: format!("ADV-{number:05}"),
            document_id: format!("pack/{number}"),
            source: format!("source-{}", number % 3),
        },
        ecosystems: Vec::new(),
        observed_at: "2026-01-01T00:00:00Z".parse().unwrap(),
        linkset: Linkset::default(),
        format: "osv".to_owned(),
        spec_version: String::new(),
        raw: Bytes::from(raw),
    }
}

pub(crate) fn digests(adapted: &RunAdapted) -> Vec<(String, Digest)> {
    adapted.files.iter().map(|file| (file.path.clone(), file.artefact.digest.clone())).collect()
}

pub(crate) fn decompress(bytes: &[u8]) -> String {
    use std::io::Read as _;
    let mut plain = String::new();
    export_canon::zst::BoundedDecoder::new(bytes, 64 << 20).unwrap().read_to_string(&mut plain).unwrap();
    plain
}
