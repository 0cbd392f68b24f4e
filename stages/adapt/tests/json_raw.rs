//! `json:raw`: the same bytes whatever the threads, batches, crashes and repeats.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use export_adapt::adapter::Tools;
use export_adapt::{AdaptError, AdaptPart, Assemble, Registry};
use export_blobs::folder::FolderBlobs;
use export_blobs::{BlobStore as _, Workspace};
use export_contract::event::ProgressTick;
use export_contract::evidence::Linkset;
use export_contract::message::{
    AdapterRef, LedgerSource, Part, PartAdapted, PartsResolved, RunAdapted, RunPlanned, RunRequest,
};
use export_contract::profile::{Frames, Profile, ProfileKind};
use export_contract::run::{Phase, RunRef};
use export_contract::selectors::Selectors;
use export_contract::{
    Digest, Generation, PartIndex, RecordKey, RecordKind, RunId, Sequence, TenantId, Timestamp, Version,
};
use export_evidence::{
    EvidenceLedger, ImportSession, LedgerError, LineStream, NewRecord, ReadRange, Selection, SqliteLedger, Watermark,
};
use export_pipeline::context::ProgressSink;
use export_pipeline::stage::PartResolved;
use export_pipeline::{Judged as _, Stage as _, StageContext, Verdict};
use tokio_util::sync::CancellationToken;

struct Unwatched;

impl ProgressSink for Unwatched {
    fn tick(&self, _tick: ProgressTick) {}
}

/// A ledger that notes where reads begin, and can break off after some batches.
#[derive(Debug)]
struct Watched {
    inner: SqliteLedger,
    cursors: Mutex<Vec<Option<RecordKey>>>,
    batches_left: AtomicU64,
    cancel: Mutex<Option<CancellationToken>>,
    broken: AtomicBool,
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
        every: u32,
        first_index: u32,
    ) -> Result<Vec<Part>, LedgerError> {
        self.inner.cut(selection, kind, every, first_index).await
    }
    async fn read(&self, range: ReadRange) -> Result<LineStream, LedgerError> {
        use futures::StreamExt as _;
        self.cursors.lock().unwrap().push(range.after.clone());
        let limit = self.batches_left.load(Ordering::SeqCst);
        let cancel = self.cancel.lock().unwrap().clone();
        let broken = self.broken.load(Ordering::SeqCst);
        // One line a batch: batches of another size must not change the bytes.
        let lines = self.inner.read(range).await?.flat_map(|batch| {
            let lines: Vec<_> = batch.unwrap().into_iter().map(|line| Ok(vec![line])).collect();
            futures::stream::iter(lines)
        });
        let mut seen = 0;
        Ok(lines
            .map(move |batch| {
                seen += 1;
                if seen > limit {
                    if let Some(cancel) = &cancel {
                        cancel.cancel();
                    }
                    if broken {
                        let cause = Box::new(std::io::Error::other("the ledger went away"));
                        return Err(LedgerError::Unavailable { act: "read".to_owned(), cause });
                    }
                }
                batch
            })
            .boxed())
    }
    async fn begin_import(&self, tenant: &TenantId) -> Result<Box<dyn ImportSession>, LedgerError> {
        self.inner.begin_import(tenant).await
    }
    async fn check(&self) -> Result<(), LedgerError> {
        self.inner.check().await
    }
}

struct World {
    _folder: tempfile::TempDir,
    ledger: Arc<Watched>,
    blobs: Arc<FolderBlobs>,
    tenant: TenantId,
}

const RECORDS: usize = 600;

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let inner = SqliteLedger::open(&folder.path().join("evidence.db")).unwrap();
        let tenant: TenantId = "acme".parse().unwrap();
        let mut import = inner.begin_import(&tenant).await.unwrap();
        import.put((0..RECORDS).map(record).collect()).await.unwrap();
        import.commit().await.unwrap();
        let blobs = Arc::new(FolderBlobs::open(&folder.path().join("staging")).await.unwrap());
        let ledger = Arc::new(Watched {
            inner,
            cursors: Mutex::default(),
            batches_left: AtomicU64::new(u64::MAX),
            cancel: Mutex::default(),
            broken: AtomicBool::new(false),
        });
        Self { _folder: folder, ledger, blobs, tenant }
    }

    fn registry(&self, threads: usize) -> Registry {
        let tools = Tools { ledger: self.ledger.clone(), threads: NonZeroUsize::new(threads).unwrap() };
        Registry::new(&tools, &BTreeSet::from([ProfileKind::JsonRaw]))
    }

    async fn resolved(&self, run: u64, frames: Frames) -> PartsResolved {
        let plan = self.plan(run, frames);
        let selection =
            Selection { tenant: self.tenant.clone(), watermark: plan.watermark, selectors: plan.selectors.clone() };
        let mut parts = Vec::new();
        for kind in RecordKind::ALL {
            let first = u32::try_from(parts.len()).unwrap();
            parts.extend(self.ledger.cut(&selection, kind, 250, first).await.unwrap());
        }
        PartsResolved { v: Version, plan, parts }
    }

    fn plan(&self, run: u64, frames: Frames) -> RunPlanned {
        let at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut profile = Profile::built_in(self.tenant.clone(), ProfileKind::JsonRaw, at);
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
            policy_snapshot: None,
            adapter: AdapterRef { name: "json:raw".to_owned(), version: "1".to_owned() },
            request: RunRequest { by: "test".into(), at, admitted_at: at, correlation_id: "test".into() },
        }
    }

    fn context(&self, plan: &RunPlanned, part: Option<PartIndex>, cancel: CancellationToken) -> StageContext {
        let workspace = Workspace::new(self.blobs.clone(), plan.run.clone());
        StageContext::new(workspace, Phase::Adapt, part, 1, cancel, Arc::new(Unwatched))
    }

    async fn adapt(&self, resolved: &PartsResolved, part: &Part, threads: usize) -> Result<PartAdapted, AdaptError> {
        let cx = self.context(&resolved.plan, Some(part.index), CancellationToken::new());
        let input = PartResolved { plan: resolved.plan.clone(), part: part.clone() };
        AdaptPart::new(self.registry(threads)).handle(input, &cx).await
    }

    async fn whole_run(&self, run: u64, threads: usize, frames: Frames) -> RunAdapted {
        let resolved = self.resolved(run, frames).await;
        for part in &resolved.parts {
            let adapted = self.adapt(&resolved, part, threads).await.unwrap();
            let workspace = Workspace::new(self.blobs.clone(), resolved.plan.run.clone());
            workspace.put_result(Phase::Adapt, Some(part.index), &adapted).await.unwrap();
        }
        self.assemble(resolved).await.unwrap()
    }

    async fn assemble(&self, resolved: PartsResolved) -> Result<RunAdapted, AdaptError> {
        let cx = self.context(&resolved.plan, None, CancellationToken::new());
        Assemble::new(self.registry(1)).handle(resolved, &cx).await
    }

    async fn bytes(&self, adapted: &RunAdapted, path: &str) -> Bytes {
        let file = adapted.files.iter().find(|file| file.path == path).unwrap();
        let run = &adapted.plan.run;
        let key = Workspace::artefact_key(&run.tenant, &run.run, &file.artefact.digest);
        self.blobs.get(&key, u64::MAX).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_larger_than_the_room_in_flight_pass_one_after_the_other() {
    let world = World::new().await;
    let tenant: TenantId = "acme".parse().unwrap();
    let mut import = world.ledger.begin_import(&tenant).await.unwrap();
    for number in 0..6 {
        let raw = format!(r#"{{"id":"BIG-{number}","text":"{}"}}"#, "x".repeat(16 << 20));
        let mut big = record(50 * number);
        big.key.document_id = format!("big/{number}");
        big.raw = Bytes::from(raw);
        import.put(vec![big]).await.unwrap();
    }
    let watermark = import.commit().await.unwrap();
    let mut resolved = world.resolved(1, Frames::Multi).await;
    resolved.plan.watermark = watermark.sequence;
    let selection =
        Selection { tenant: tenant.clone(), watermark: watermark.sequence, selectors: resolved.plan.selectors.clone() };
    let parts = world.ledger.cut(&selection, RecordKind::Sbom, 250, 0).await.unwrap();
    let adapted = world.adapt(&resolved, &parts[0], 1).await.unwrap();
    assert!(adapted.plain_bytes > 6 * (16 << 20), "{}", adapted.plain_bytes);
}

/// Advisories of some 3 KB that do not compress to nothing, and a few SBOMs; there is no VEX.
fn record(number: usize) -> NewRecord {
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

fn digests(adapted: &RunAdapted) -> Vec<(String, Digest)> {
    adapted.files.iter().map(|file| (file.path.clone(), file.artefact.digest.clone())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_are_the_same_for_one_thread_and_for_four() {
    let world = World::new().await;
    let one = world.whole_run(1, 1, Frames::Multi).await;
    let four = world.whole_run(2, 4, Frames::Multi).await;
    assert_eq!(digests(&one), digests(&four));
    let paths: Vec<&str> = one.files.iter().map(|file| file.path.as_str()).collect();
    let expected = ["README.md", "data/raw/advisories.jsonl.zst", "data/raw/sboms.jsonl.zst", "data/raw/vex.jsonl.zst"];
    assert_eq!(paths, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_is_there_once_in_order_with_its_literals() {
    let world = World::new().await;
    let adapted = world.whole_run(1, 2, Frames::Multi).await;
    let file = world.bytes(&adapted, "data/raw/advisories.jsonl.zst").await;
    let plain = decompress(&file);
    let lines: Vec<&str> = plain.lines().collect();
    assert_eq!(lines.len(), RECORDS - RECORDS / 50);
    assert!(lines.iter().all(|line| line.contains(r#""severity":[1.0,1e3]"#)));
    let subjects: Vec<&str> =
        lines.iter().map(|line| line.split(r#""subject":""#).nth(1).unwrap().split('"').next().unwrap()).collect();
    assert!(subjects.is_sorted() && subjects.first() == Some(&"ADV-00001"));
    let entry = adapted.files.iter().find(|file| file.path.contains("advisories")).unwrap();
    assert_eq!(entry.plain_bytes, Some(plain.len() as u64));
    assert!(entry.frames.unwrap() > 10);
    let records: u64 = adapted.sources.iter().map(|source| source.records).sum();
    assert_eq!(records, RECORDS as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_kind_is_a_valid_file_without_records() {
    let world = World::new().await;
    let adapted = world.whole_run(1, 1, Frames::Multi).await;
    let entry = adapted.files.iter().find(|file| file.path.contains("vex")).unwrap();
    assert_eq!((entry.records, entry.frames, entry.plain_bytes), (Some(0), Some(1), Some(0)));
    assert_eq!(decompress(&world.bytes(&adapted, "data/raw/vex.jsonl.zst").await), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_frame_holds_the_same_lines() {
    let world = World::new().await;
    let many = world.whole_run(1, 2, Frames::Multi).await;
    let single = world.whole_run(2, 2, Frames::Single).await;
    let path = "data/raw/advisories.jsonl.zst";
    let frame = world.bytes(&single, path).await;
    let plain = export_canon::zst::decompress_frame(&frame, 64 << 20).expect("exactly one frame");
    assert_eq!(String::from_utf8(plain).unwrap(), decompress(&world.bytes(&many, path).await));
    let again = world.whole_run(3, 4, Frames::Single).await;
    assert_eq!(digests(&single), digests(&again));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_part_goes_on_after_its_cursor_to_the_same_bytes() {
    let world = World::new().await;
    let undisturbed = {
        let resolved = world.resolved(1, Frames::Multi).await;
        world.adapt(&resolved, &resolved.parts[0], 2).await.unwrap()
    };
    let resolved = world.resolved(2, Frames::Multi).await;
    world.ledger.broken.store(true, Ordering::SeqCst);
    world.ledger.batches_left.store(240, Ordering::SeqCst);
    let error = world.adapt(&resolved, &resolved.parts[0], 2).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::Redeliver { after: None });

    world.ledger.batches_left.store(u64::MAX, Ordering::SeqCst);
    let resumed = world.adapt(&resolved, &resolved.parts[0], 3).await.unwrap();
    assert_eq!(resumed, undisturbed);
    let cursor = world.ledger.cursors.lock().unwrap().last().unwrap().clone();
    assert!(cursor.is_some_and(|key| key > resolved.parts[0].first), "the second read began at the beginning");
    assert_eq!(scratch(&world, &resolved).await, 0, "a finished part leaves no checkpoint");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_part_destroys_what_it_wrote() {
    let world = World::new().await;
    let resolved = world.resolved(1, Frames::Multi).await;
    let cancel = CancellationToken::new();
    *world.ledger.cancel.lock().unwrap() = Some(cancel.clone());
    world.ledger.batches_left.store(240, Ordering::SeqCst);
    let part = &resolved.parts[0];
    let cx = world.context(&resolved.plan, Some(part.index), cancel);
    let input = PartResolved { plan: resolved.plan.clone(), part: part.clone() };
    let error = AdaptPart::new(world.registry(1)).handle(input, &cx).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::Cancelled);
    assert_eq!(scratch(&world, &resolved).await, 0);
    let run = &resolved.plan.run;
    let left = world.blobs.list(&format!("{}/{}/artefacts", run.tenant, run.run).parse().unwrap()).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_segment_is_found_when_parts_are_joined() {
    let world = World::new().await;
    let resolved = world.resolved(1, Frames::Multi).await;
    let workspace = Workspace::new(world.blobs.clone(), resolved.plan.run.clone());
    for part in &resolved.parts {
        let adapted = world.adapt(&resolved, part, 1).await.unwrap();
        workspace.put_result(Phase::Adapt, Some(part.index), &adapted).await.unwrap();
        let run = &resolved.plan.run;
        let key = Workspace::artefact_key(&run.tenant, &run.run, &adapted.segments[0].artefact.digest);
        let mut bytes = world.blobs.get(&key, u64::MAX).await.unwrap().to_vec();
        bytes[100] ^= 1;
        world.blobs.put(&key, Bytes::from(bytes)).await.unwrap();
    }
    let error = world.assemble(resolved).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::FailRun(export_contract::ErrorCode::ArtefactCorrupt));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_for_another_adapter_version_waits_for_a_worker_that_has_it() {
    let world = World::new().await;
    let mut resolved = world.resolved(1, Frames::Multi).await;
    resolved.plan.adapter.version = "999".to_owned();
    let error = world.adapt(&resolved, &resolved.parts[0], 1).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::Redeliver { after: None });
}

async fn scratch(world: &World, resolved: &PartsResolved) -> usize {
    world.blobs.list(&format!("{}/scratch", resolved.plan.run).parse().unwrap()).await.unwrap().len()
}

fn decompress(bytes: &[u8]) -> String {
    use std::io::Read as _;
    let mut plain = String::new();
    export_canon::zst::BoundedDecoder::new(bytes, 64 << 20).unwrap().read_to_string(&mut plain).unwrap();
    plain
}
