//! Plan pins all that a run's bytes depend on, and refuses what cannot be exported.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "plan/refreshes.rs"]
mod refreshes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use export_blobs::Workspace;
use export_blobs::folder::FolderBlobs;
use export_contract::event::ProgressTick;
use export_contract::event::WaitReason;
use export_contract::evidence::Linkset;
use export_contract::message::{AdapterRef, LedgerSource, Part, RunAdmitted, RunPlanned, RunRequest};
use export_contract::profile::{DistributionKind, PolicySnapshotMode, Profile, ProfileKind};
use export_contract::run::{Phase, RunOptions, RunRef};
use export_contract::selectors::Selectors;
use export_contract::{ErrorCode, Generation, RecordKey, RecordKind, RunId, Sequence, TenantId, Timestamp, Version};
use export_evidence::policy::suite::{finding, snapshot};
use export_evidence::policy::{FindingStream, PolicySnapshot, SnapshotName};
use export_evidence::policy::{Findings, NoPolicy, PolicyError, PolicySource, PolicyStore as _, SqlitePolicyStore};
use export_evidence::{
    EvidenceLedger, ImportSession, LedgerError, LineStream, NewRecord, PartSize, ReadRange, Selection, SqliteLedger,
    Watermark,
};
use export_pipeline::context::ProgressSink;
use export_pipeline::{Judged as _, Stage as _, StageContext, Verdict};
use export_plan::{Destination, Plan, PlanError, Ways};
use tokio_util::sync::CancellationToken;

struct Unwatched;

impl ProgressSink for Unwatched {
    fn tick(&self, _tick: ProgressTick) {}
}

/// A ledger that does not answer.
#[derive(Debug)]
struct Away;

fn away() -> LedgerError {
    LedgerError::Unavailable { act: "read".to_owned(), cause: "gone".into() }
}

#[async_trait]
impl EvidenceLedger for Away {
    async fn watermark(&self, _: &TenantId) -> Result<Watermark, LedgerError> {
        Err(away())
    }
    async fn as_of(&self, _: &TenantId, _: Sequence) -> Result<Option<Timestamp>, LedgerError> {
        Err(away())
    }
    async fn sources(&self, _: &TenantId, _: Sequence) -> Result<Vec<LedgerSource>, LedgerError> {
        Err(away())
    }
    async fn cut(&self, _: &Selection, _: RecordKind, _: PartSize, _: u32) -> Result<Vec<Part>, LedgerError> {
        Err(away())
    }
    async fn read(&self, _: ReadRange) -> Result<LineStream, LedgerError> {
        Err(away())
    }
    async fn begin_import(&self, _: &TenantId) -> Result<Box<dyn ImportSession>, LedgerError> {
        Err(away())
    }
    async fn check(&self) -> Result<(), LedgerError> {
        Err(away())
    }
}

/// A policy engine that does not answer.
#[derive(Debug)]
struct EngineAway;

#[async_trait]
impl PolicySource for EngineAway {
    async fn snapshots(&self, _: &TenantId) -> Result<Vec<SnapshotName>, PolicyError> {
        Err(away().into())
    }
    async fn snapshot(&self, _: &TenantId, _: &str) -> Result<Option<PolicySnapshot>, PolicyError> {
        Err(away().into())
    }
    async fn newest(&self, _: &TenantId) -> Result<Option<PolicySnapshot>, PolicyError> {
        Err(away().into())
    }
    async fn findings(&self, _: &TenantId, _: &str) -> Result<FindingStream, PolicyError> {
        Err(away().into())
    }
}

struct World {
    folder: tempfile::TempDir,
    ledger: Arc<SqliteLedger>,
    policy: Arc<dyn PolicySource>,
    ways: Ways,
}

fn tenant() -> TenantId {
    "acme".parse().unwrap()
}

fn record(kind: RecordKind, source: &str, number: u32, observed_at: &str) -> NewRecord {
    NewRecord {
        kind,
        key: RecordKey {
            subject: format!("S-{number}"),
            document_id: format!("{source}/{number}"),
            source: source.to_owned(),
        },
        ecosystems: Vec::new(),
        observed_at: observed_at.parse().unwrap(),
        linkset: Linkset::default(),
        format: "osv".to_owned(),
        spec_version: String::new(),
        raw: Bytes::from(format!(r#"{{"id":{number}}}"#)),
    }
}

impl World {
    /// Two advisories and an SBOM, then one more advisory.
    async fn new() -> Self {
        let world = Self::empty();
        let first = [
            record(RecordKind::Advisory, "nvd", 1, "2026-01-01T00:00:00Z"),
            record(RecordKind::Advisory, "ghsa", 2, "2026-01-03T00:00:00Z"),
            record(RecordKind::Sbom, "build", 3, "2026-01-02T00:00:00Z"),
        ];
        world.import(first.into()).await;
        world.import(vec![record(RecordKind::Advisory, "nvd", 4, "2026-01-04T00:00:00Z")]).await;
        world
    }

    fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Arc::new(SqliteLedger::open(&folder.path().join("evidence.db")).unwrap());
        let ways = Ways { kinds: BTreeMap::from([(DistributionKind::Http, Vec::new())]), ..Ways::default() };
        Self { folder, ledger, policy: Arc::new(NoPolicy), ways }
    }

    /// The same with snapshots `old` of one finding and `new` of two.
    async fn with_policy() -> Self {
        let mut world = Self::new().await;
        let store = SqlitePolicyStore::open(&world.folder.path().join("policy.db")).unwrap();
        let findings = [("old", "pkg:a"), ("new", "pkg:a"), ("new", "pkg:b")];
        let findings = findings.map(|(id, subject)| finding(id, subject, "CVE-1", "blocked"));
        store.put_findings(&tenant(), findings.to_vec()).await.unwrap();
        store.put_snapshot(&tenant(), snapshot("new", 2, "x")).await.unwrap();
        store.put_snapshot(&tenant(), snapshot("old", 1, "x")).await.unwrap();
        world.policy = Arc::new(store);
        world
    }

    async fn import(&self, records: Vec<NewRecord>) {
        let mut import = self.ledger.begin_import(&tenant()).await.unwrap();
        import.put(records).await.unwrap();
        import.commit().await.unwrap();
    }

    async fn plan(&self, admitted: RunAdmitted) -> Result<RunPlanned, PlanError> {
        self.plan_over(self.ledger.clone(), admitted).await
    }

    async fn plan_over(&self, ledger: Arc<dyn EvidenceLedger>, admitted: RunAdmitted) -> Result<RunPlanned, PlanError> {
        let blobs = FolderBlobs::open(&self.folder.path().join("staging")).await.unwrap();
        let workspace = Workspace::new(Arc::new(blobs), admitted.run.clone());
        let cx = StageContext::new(workspace, Phase::Plan, None, 1, CancellationToken::new(), Arc::new(Unwatched));
        self.stage(ledger).handle(admitted, &cx).await
    }

    fn stage(&self, ledger: Arc<dyn EvidenceLedger>) -> Plan {
        let adapters =
            ["json:raw", "json:policy"].map(|name| AdapterRef { name: name.to_owned(), version: "7".to_owned() });
        Plan::new(ledger, self.policy.clone(), adapters.into(), self.ways.clone())
    }
}

fn admitted() -> RunAdmitted {
    let at: Timestamp = "2026-02-01T00:00:00Z".parse().unwrap();
    RunAdmitted {
        v: Version,
        run: RunRef { tenant: tenant(), run: RunId::from_parts(1, 1), generation: Generation::FIRST },
        profile: Profile::built_in(tenant(), ProfileKind::JsonRaw, at),
        selectors: Selectors::default(),
        options: RunOptions::default(),
        request: RunRequest { by: "test".into(), at, admitted_at: at, correlation_id: "test".into() },
        base: None,
        previous: None,
    }
}

fn source(kind: RecordKind, name: &str, records: u64) -> LedgerSource {
    LedgerSource { kind, name: name.to_owned(), records }
}

#[tokio::test]
async fn a_plan_pins_the_ledger_as_it_is() {
    let planned = World::new().await.plan(admitted()).await.unwrap();
    assert_eq!(planned.watermark, Sequence(4));
    assert_eq!(planned.as_of, Some("2026-01-04T00:00:00Z".parse().unwrap()));
    let expected = [
        source(RecordKind::Advisory, "ghsa", 1),
        source(RecordKind::Advisory, "nvd", 2),
        source(RecordKind::Sbom, "build", 1),
    ];
    assert_eq!(planned.sources, expected);
    assert_eq!(planned.adapter, AdapterRef { name: "json:raw".to_owned(), version: "7".to_owned() });
    assert_eq!(planned.selectors.kinds, RecordKind::ALL.into());
    assert_eq!(planned.policy_snapshot, None);
}

#[tokio::test]
async fn a_run_may_ask_for_an_older_position() {
    let world = World::new().await;
    let mut older = admitted();
    older.options.watermark = Some(Sequence(3));
    let planned = world.plan(older.clone()).await.unwrap();
    assert_eq!(planned.as_of, Some("2026-01-03T00:00:00Z".parse().unwrap()));
    assert!(planned.sources.contains(&source(RecordKind::Advisory, "nvd", 1)));
    world.import(vec![record(RecordKind::Vex, "late", 5, "2026-01-05T00:00:00Z")]).await;
    assert_eq!(world.plan(older).await.unwrap(), planned, "what comes later changes no plan of an older position");
}

#[tokio::test]
async fn a_position_that_the_ledger_has_not_reached_is_refused() {
    let mut ahead = admitted();
    ahead.options.watermark = Some(Sequence(5));
    let error = World::new().await.plan(ahead).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::FailRun(ErrorCode::InvalidSelector));
    assert_eq!(error.to_string(), "the run asks for ledger position 5, the ledger is at 4");
}

#[tokio::test]
async fn an_empty_ledger_can_be_planned() {
    let planned = World::empty().plan(admitted()).await.unwrap();
    assert_eq!((planned.watermark, planned.as_of), (Sequence(0), None));
    assert!(planned.sources.is_empty());
}

#[tokio::test]
async fn kinds_are_those_that_selectors_and_profile_both_want() {
    let world = World::new().await;
    let mut narrow = admitted();
    narrow.profile.config.include = BTreeSet::from([RecordKind::Advisory, RecordKind::Vex]);
    assert_eq!(world.plan(narrow.clone()).await.unwrap().selectors.kinds, narrow.profile.config.include);
    narrow.selectors.kinds = BTreeSet::from([RecordKind::Vex, RecordKind::Sbom]);
    assert_eq!(world.plan(narrow.clone()).await.unwrap().selectors.kinds, BTreeSet::from([RecordKind::Vex]));
    narrow.selectors.kinds = BTreeSet::from([RecordKind::Sbom]);
    let error = world.plan(narrow).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::FailRun(ErrorCode::InvalidSelector));
}

#[tokio::test]
async fn the_configuration_digest_is_of_the_configuration_alone() {
    let world = World::new().await;
    let digest = |run| async { world.plan(run).await.unwrap().config_digest };
    let built_in = digest(admitted()).await;
    // sha256 over the RFC 8785 text of the built-in configuration, made by the `rfc8785` package of Python.
    assert_eq!(built_in.hex(), "1e7a1b68b9275cf08e1d51effbfb703d8669ee02926e29e002dbdcb7ba8db571");
    let mut renamed = admitted();
    renamed.profile.name = "another name".to_owned();
    renamed.profile.labels.insert("team".to_owned(), "x".to_owned());
    assert_eq!(digest(renamed).await, built_in);
    let mut changed = admitted();
    changed.profile.config.compression.level = 4;
    assert_ne!(digest(changed).await, built_in);
}

#[tokio::test]
async fn what_cannot_be_exported_fails_with_its_code() {
    let world = World::new().await;
    let verdict = |change: fn(&mut RunAdmitted)| {
        let mut run = admitted();
        change(&mut run);
        let world = &world;
        async move { world.plan(run).await.unwrap_err().verdict() }
    };
    let unsupported = verdict(|run| run.profile.kind = ProfileKind::TrivyDb).await;
    assert_eq!(unsupported, Verdict::FailRun(ErrorCode::ProfileUnsupported));
    let refused = verdict(|run| run.profile.config.distribution = BTreeSet::from([DistributionKind::Oci])).await;
    assert_eq!(refused, Verdict::FailRun(ErrorCode::DistributionRefused));
    let missing = verdict(|run| run.profile.config.policy_snapshot_mode = PolicySnapshotMode::Required).await;
    assert_eq!(missing, Verdict::FailRun(ErrorCode::SnapshotMissing));
    let invalid = verdict(|run| run.profile.config.partition_records = 0).await;
    assert_eq!(invalid, Verdict::FailRun(ErrorCode::InvalidProfile));
}

#[tokio::test]
async fn a_run_speaks_to_the_hosts_that_its_deployment_allows_and_to_no_other() {
    let mut world = World::new().await;
    let at = |host: &str, may_be_reached| Destination { host: host.to_owned(), may_be_reached };
    let registries = vec![at("a.example", true), at("b.example", false)];
    world.ways.kinds.insert(DistributionKind::Oci, registries);
    let to = |registry: Option<&str>| {
        let mut run = admitted();
        run.profile.config.distribution = BTreeSet::from([DistributionKind::Http, DistributionKind::Oci]);
        run.profile.config.oci_registry = registry.map(str::to_owned);
        run
    };
    world.plan(to(None)).await.unwrap();
    world.plan(to(Some("a.example"))).await.unwrap();
    let unlisted = world.plan(to(Some("c.example"))).await.unwrap_err();
    assert_eq!(unlisted.verdict(), Verdict::FailRun(ErrorCode::DistributionRefused));
    assert!(unlisted.to_string().contains("ociRegistry to one of: a.example, b.example"), "{unlisted}");
    let offline = world.plan(to(Some("b.example"))).await.unwrap_err();
    assert_eq!(offline.verdict(), Verdict::FailRun(ErrorCode::Offline));
    assert!(offline.to_string().contains("distribution `oci` leads to `b.example`"), "{offline}");
    world.ways.services.insert("policy.base_url".to_owned(), at("policy.example", false));
    let service = world.plan(admitted()).await.unwrap_err();
    assert_eq!(service.verdict(), Verdict::FailRun(ErrorCode::Offline));
    assert!(service.to_string().contains("`policy.base_url` leads to `policy.example`"), "{service}");
}

#[tokio::test]
async fn a_ledger_that_is_away_is_asked_again() {
    let error = World::empty().plan_over(Arc::new(Away), admitted()).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::Wait { on: WaitReason::Evidence });
}

fn with_snapshot(mode: PolicySnapshotMode, id: Option<&str>) -> RunAdmitted {
    let mut run = admitted();
    run.profile = Profile::built_in(tenant(), ProfileKind::JsonPolicy, run.request.at);
    run.profile.config.policy_snapshot_mode = mode;
    run.options.policy_snapshot_id = id.map(str::to_owned);
    run
}

#[tokio::test]
async fn the_newest_snapshot_is_pinned_with_its_findings_unless_the_run_names_one() {
    let world = World::with_policy().await;
    for (mode, asked, expected, count) in [
        (PolicySnapshotMode::Required, None, "new", 2),
        (PolicySnapshotMode::Optional, None, "new", 2),
        (PolicySnapshotMode::Required, Some("old"), "old", 1),
        (PolicySnapshotMode::Optional, Some("old"), "old", 1),
    ] {
        let pinned = world.plan(with_snapshot(mode, asked)).await.unwrap().policy_snapshot.unwrap();
        let snapshot = world.policy.snapshot(&tenant(), expected).await.unwrap().unwrap();
        assert_eq!((&pinned.id, &pinned.digest), (&snapshot.snapshot_id, &snapshot.digest));
        assert_eq!((pinned.policy_version.as_str(), pinned.inputs_hash.as_str()), ("7", "sha256:inputs"));
        assert_eq!(pinned.decision_trace.as_deref(), Some("sha256:trace"));
        let findings = Findings::read(&*world.policy, &tenant(), expected, |_, _| {}).await.unwrap();
        assert_eq!((pinned.findings, findings.reference.count), (Some(findings.reference.clone()), count));
    }
    let none = world.plan(with_snapshot(PolicySnapshotMode::None, None)).await.unwrap();
    assert_eq!(none.policy_snapshot, None);
    assert_eq!(world.plan(admitted()).await.unwrap().policy_snapshot, None, "json:raw takes none");
}

#[tokio::test]
async fn a_snapshot_that_is_missing_fails_where_it_is_required_or_named() {
    let missing = Verdict::FailRun(ErrorCode::SnapshotMissing);
    let without = World::new().await;
    let error = without.plan(with_snapshot(PolicySnapshotMode::Required, None)).await.unwrap_err();
    assert_eq!(error.verdict(), missing);
    assert!(error.to_string().contains("exportd evidence import"), "{error}");
    let optional = without.plan(with_snapshot(PolicySnapshotMode::Optional, None)).await.unwrap();
    assert_eq!(optional.policy_snapshot, None);
    let world = World::with_policy().await;
    for mode in [PolicySnapshotMode::Required, PolicySnapshotMode::Optional] {
        let error = world.plan(with_snapshot(mode, Some("gone"))).await.unwrap_err();
        assert_eq!(error.verdict(), missing);
        assert!(error.to_string().contains("no policy snapshot `gone`"), "{error}");
    }
}

#[tokio::test]
async fn a_snapshot_that_would_not_be_in_the_bundle_is_not_taken_silently() {
    let world = World::with_policy().await;
    let mut raw = admitted();
    raw.options.policy_snapshot_id = Some("new".to_owned());
    for run in [raw, with_snapshot(PolicySnapshotMode::None, Some("new"))] {
        let error = world.plan(run).await.unwrap_err();
        assert_eq!(error.verdict(), Verdict::FailRun(ErrorCode::InvalidRequest), "{error}");
    }
}

#[tokio::test]
async fn a_policy_engine_that_is_away_is_asked_again() {
    let mut world = World::new().await;
    world.policy = Arc::new(EngineAway);
    let error = world.plan(with_snapshot(PolicySnapshotMode::Required, None)).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::Redeliver { after: None });
    world.plan(admitted()).await.expect("who takes no snapshot does not wait for the engine");
}
