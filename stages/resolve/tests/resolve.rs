//! Resolve cuts what was selected, every record once, and says why there is nothing where there is nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use export_blobs::Workspace;
use export_blobs::folder::FolderBlobs;
use export_contract::event::ProgressTick;
use export_contract::event::WaitReason;
use export_contract::evidence::Linkset;
use export_contract::message::{AdapterRef, LedgerSource, Part, PartsResolved, RunPlanned, RunRequest};
use export_contract::profile::{Profile, ProfileKind};
use export_contract::run::{Phase, RunRef};
use export_contract::selectors::{Pattern, Selectors};
use export_contract::{
    Digest, ErrorCode, Generation, PartIndex, RecordKey, RecordKind, RunId, Sequence, TenantId, Timestamp, Version,
};
use export_evidence::{
    EvidenceLedger, ImportSession, LedgerError, LineStream, NewRecord, PartSize, ReadRange, Selection, SqliteLedger,
    Watermark,
};
use export_pipeline::context::ProgressSink;
use export_pipeline::{Judged as _, Stage as _, StageContext, Verdict};
use export_resolve::{Resolve, ResolveError};
use futures::TryStreamExt as _;
use tokio_util::sync::CancellationToken;

struct Unwatched;

impl ProgressSink for Unwatched {
    fn tick(&self, _tick: ProgressTick) {}
}

/// A ledger that answers one question, the cut, in one of these ways.
#[derive(Debug)]
enum Odd {
    Away,
    Refusing,
    Hanging(CancellationToken),
    Fine(usize),
}

fn refused() -> LedgerError {
    LedgerError::Refused { act: "read".to_owned(), cause: "no".into() }
}

#[async_trait]
impl EvidenceLedger for Odd {
    async fn watermark(&self, _: &TenantId) -> Result<Watermark, LedgerError> {
        Err(refused())
    }
    async fn as_of(&self, _: &TenantId, _: Sequence) -> Result<Option<Timestamp>, LedgerError> {
        Err(refused())
    }
    async fn sources(&self, _: &TenantId, _: Sequence) -> Result<Vec<LedgerSource>, LedgerError> {
        Err(refused())
    }
    async fn cut(&self, _: &Selection, kind: RecordKind, _: PartSize, first: u32) -> Result<Vec<Part>, LedgerError> {
        match self {
            Self::Away => Err(LedgerError::Unavailable { act: "cut".to_owned(), cause: "gone".into() }),
            Self::Refusing => Err(refused()),
            Self::Hanging(asked) => {
                asked.cancel();
                std::future::pending().await
            }
            Self::Fine(parts) => {
                let key = RecordKey { subject: "s".into(), document_id: "d".into(), source: "x".into() };
                let part =
                    |index| Part { index, tenant: None, kind, first: key.clone(), last: key.clone(), records: 1 };
                Ok((first..first + u32::try_from(*parts).unwrap()).map(|index| part(PartIndex(index))).collect())
            }
        }
    }
    async fn read(&self, _: ReadRange) -> Result<LineStream, LedgerError> {
        Err(refused())
    }
    async fn begin_import(&self, _: &TenantId) -> Result<Box<dyn ImportSession>, LedgerError> {
        Err(refused())
    }
    async fn check(&self) -> Result<(), LedgerError> {
        Err(refused())
    }
}

fn tenant() -> TenantId {
    "acme".parse().unwrap()
}

struct World {
    folder: tempfile::TempDir,
    ledger: Arc<SqliteLedger>,
}

impl World {
    /// Twenty-five advisories, no VEX, twelve SBOMs.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Arc::new(SqliteLedger::open(&folder.path().join("evidence.db")).unwrap());
        let world = Self { folder, ledger };
        let advisories = (0..25).map(|number| record(RecordKind::Advisory, number));
        world.import(advisories.chain((0..12).map(|number| record(RecordKind::Sbom, number))).collect()).await;
        world
    }

    async fn import(&self, records: Vec<NewRecord>) {
        let mut import = self.ledger.begin_import(&tenant()).await.unwrap();
        import.put(records).await.unwrap();
        import.commit().await.unwrap();
    }

    /// A plan as plan makes it: at the newest position, ten records a part.
    async fn plan(&self, selectors: Selectors) -> RunPlanned {
        let at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let watermark = self.ledger.watermark(&tenant()).await.unwrap().sequence;
        let mut profile = Profile::built_in(tenant(), ProfileKind::JsonRaw, at);
        profile.config.partition_records = 10;
        let kinds = if selectors.kinds.is_empty() { RecordKind::ALL.into() } else { selectors.kinds.clone() };
        RunPlanned {
            v: Version,
            run: RunRef { tenant: tenant(), run: RunId::from_parts(1, 1), generation: Generation::FIRST },
            profile,
            config_digest: Digest::from_bytes([0; 32]),
            selectors: Selectors { kinds, ..selectors },
            watermark,
            as_of: Some(at),
            sources: self.ledger.sources(&tenant(), watermark).await.unwrap(),
            tenants: Vec::new(),
            policy_snapshot: None,
            base: None,
            adapter: AdapterRef { name: "json:raw".to_owned(), version: "1".to_owned() },
            request: RunRequest { by: "test".into(), at, admitted_at: at, correlation_id: "test".into() },
            refresh: None,
        }
    }

    async fn resolve(&self, plan: RunPlanned) -> Result<PartsResolved, ResolveError> {
        self.resolve_over(self.ledger.clone(), plan, CancellationToken::new()).await
    }

    async fn resolve_over(
        &self,
        ledger: Arc<dyn EvidenceLedger>,
        plan: RunPlanned,
        cancel: CancellationToken,
    ) -> Result<PartsResolved, ResolveError> {
        let blobs = FolderBlobs::open(&self.folder.path().join("staging")).await.unwrap();
        let workspace = Workspace::new(Arc::new(blobs), plan.run.clone());
        let cx = StageContext::new(workspace, Phase::Resolve, None, 1, cancel, Arc::new(Unwatched));
        Resolve::new(ledger).handle(plan, &cx).await
    }
}

fn record(kind: RecordKind, number: u32) -> NewRecord {
    NewRecord {
        kind,
        key: RecordKey {
            subject: format!("S-{number:03}"),
            document_id: format!("{kind}/{number}"),
            source: "nvd".to_owned(),
        },
        ecosystems: vec!["npm".to_owned()],
        observed_at: "2026-01-01T00:00:00Z".parse().unwrap(),
        linkset: Linkset::default(),
        format: "osv".to_owned(),
        spec_version: String::new(),
        raw: Bytes::from(format!(r#"{{"id":{number}}}"#)),
    }
}

#[tokio::test]
async fn every_selected_record_is_in_one_part_in_bundle_order() {
    let world = World::new().await;
    let resolved = world.resolve(world.plan(Selectors::default()).await).await.unwrap();
    let shape: Vec<_> = resolved.parts.iter().map(|part| (part.index.0, part.kind, part.records)).collect();
    let (advisory, sbom) = (RecordKind::Advisory, RecordKind::Sbom);
    assert_eq!(shape, [(0, advisory, 10), (1, advisory, 10), (2, advisory, 5), (3, sbom, 10), (4, sbom, 2)]);

    let mut seen = Vec::new();
    for part in resolved.parts {
        let plan = &resolved.plan;
        let range = ReadRange {
            selection: Selection { tenant: tenant(), watermark: plan.watermark, selectors: plan.selectors.clone() },
            kind: part.kind,
            first: Some(part.first.clone()),
            last: Some(part.last.clone()),
            after: None,
        };
        let lines: Vec<_> = world.ledger.read(range).await.unwrap().try_concat().await.unwrap();
        assert_eq!(lines.len() as u64, part.records);
        assert_eq!((&lines[0].key, &lines.last().unwrap().key), (&part.first, &part.last));
        seen.extend(lines.into_iter().map(|line| (part.kind, line.key)));
    }
    assert_eq!(seen.len(), 37);
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "each once, in order");
}

#[tokio::test]
async fn a_redelivery_after_an_import_gives_the_same_parts() {
    let world = World::new().await;
    let plan = world.plan(Selectors::default()).await;
    let first = world.resolve(plan.clone()).await.unwrap();
    let mut changed = record(RecordKind::Advisory, 3);
    changed.raw = Bytes::from_static(br#"{"id":"changed"}"#);
    world.import(vec![changed, record(RecordKind::Advisory, 900), record(RecordKind::Vex, 1)]).await;
    assert_eq!(world.resolve(plan).await.unwrap(), first);
}

#[tokio::test]
async fn selectors_that_choose_nothing_are_named_with_what_there_was() {
    let world = World::new().await;
    let selectors = Selectors {
        sources: (0..7).map(|number| format!("source-{number}")).collect(),
        ecosystems: BTreeSet::from(["npm".to_owned()]),
        exclude: BTreeSet::from([Pattern("S-*".to_owned())]),
        ..Selectors::default()
    };
    let error = world.resolve(world.plan(selectors).await).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::FailRun(ErrorCode::Empty));
    assert_eq!(
        error.to_string(),
        "nothing was selected: the ledger holds 25 advisory, 12 sbom records at position 37, and the selectors choose none \
         of them (kinds: advisory, vex, sbom; sources: source-0, source-1, source-2, source-3, source-4 and 2 more; \
         ecosystems: npm; exclude: S-*); widen them, or set allowEmpty in the profile if an empty bundle is wanted"
    );
}

#[tokio::test]
async fn a_ledger_without_such_records_is_no_data() {
    let world = World::new().await;
    let vex = Selectors { kinds: BTreeSet::from([RecordKind::Vex]), ..Selectors::default() };
    let error = world.resolve(world.plan(vex).await).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::FailRun(ErrorCode::Empty));
    assert_eq!(
        error.to_string(),
        "nothing was selected: the ledger holds 0 records of what the run asks for (vex): there is no data, whatever the \
         selectors; at position 37 it holds 25 advisory, 12 sbom records; import evidence, or set allowEmpty in the profile \
         if an empty bundle is wanted"
    );
    let mut nothing = world.plan(Selectors::default()).await;
    nothing.watermark = Sequence(0);
    nothing.sources.clear();
    let error = world.resolve(nothing).await.unwrap_err();
    assert!(error.to_string().contains("at position 0 it holds no records at all"), "{error}");
}

#[tokio::test]
async fn a_profile_may_allow_nothing() {
    let world = World::new().await;
    let mut plan = world.plan(Selectors { sources: BTreeSet::from(["x".to_owned()]), ..Selectors::default() }).await;
    plan.profile.config.allow_empty = true;
    assert!(world.resolve(plan).await.unwrap().parts.is_empty());
}

#[tokio::test]
async fn a_cancelled_run_does_not_wait_for_the_ledger() {
    let world = World::new().await;
    let plan = world.plan(Selectors::default()).await;
    // The ledger cancels the run when it is asked, and then never answers.
    let cancel = CancellationToken::new();
    let error = world.resolve_over(Arc::new(Odd::Hanging(cancel.clone())), plan, cancel).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::Cancelled);
}

#[tokio::test]
async fn a_failing_ledger_is_judged_by_its_failure() {
    let world = World::new().await;
    for (ledger, verdict) in [
        (Odd::Away, Verdict::Wait { on: WaitReason::Evidence }),
        (Odd::Refusing, Verdict::FailRun(ErrorCode::SourceUnreadable)),
    ] {
        let plan = world.plan(Selectors::default()).await;
        let error = world.resolve_over(Arc::new(ledger), plan, CancellationToken::new()).await.unwrap_err();
        assert_eq!(error.verdict(), verdict);
    }
}

#[tokio::test]
async fn a_cut_that_is_too_fine_is_refused() {
    let world = World::new().await;
    for (parts, good) in [(33_333, true), (33_334, false)] {
        let plan = world.plan(Selectors::default()).await;
        let resolved = world.resolve_over(Arc::new(Odd::Fine(parts)), plan, CancellationToken::new()).await;
        match resolved {
            Ok(resolved) => assert!(good && resolved.parts.len() == 99_999),
            Err(error) => assert!(!good && error.verdict() == Verdict::FailRun(ErrorCode::InvalidProfile), "{error}"),
        }
    }
}

#[tokio::test]
async fn a_run_that_confirms_an_earlier_bundle_has_no_parts() {
    let world = World::new().await;
    let planned = include_str!("../../../crates/contract/tests/wire/run_planned.refresh.v1.json");
    let mut plan = world.plan(Selectors::default()).await;
    plan.refresh = serde_json::from_str::<RunPlanned>(planned).unwrap().refresh;
    let resolved = world.resolve(plan.clone()).await.unwrap();
    assert_eq!(resolved, PartsResolved { v: Version, plan, parts: Vec::new() });
}
