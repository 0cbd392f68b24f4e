//! A ledger, a log, staging and a clock that is set by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use export_blobs::BlobStore;
use export_blobs::folder::FolderBlobs;
use export_contract::audit::AuditEntry;
use export_contract::event::EventType;
use export_contract::profile::ProfileKind;
use export_contract::run::{Run, RunOptions, RunProgress, RunRef, RunStatus};
use export_contract::selectors::Selectors;
use export_contract::{Generation, RunId, TenantId, Timestamp, Version};
use export_orchestrator::{Caps, Clock, Orchestrator, Patience, Ports};
use export_pipeline::RunQueue;
use export_runs::{AuditFilter, AuditStore, CreateOutcome, RetentionStore, SqliteRuns};
use tempfile::TempDir;

use super::log::Log;
use super::stages::Work;

pub(crate) const PATIENCE: Patience = Patience { silence: Duration::from_mins(1), give_up: Duration::from_hours(10) };

pub(crate) struct Desk {
    pub(crate) ledger: Arc<dyn RetentionStore>,
    pub(crate) log: Arc<Log>,
    pub(crate) staging: Arc<dyn BlobStore>,
    pub(crate) folder: TempDir,
    seconds: Arc<AtomicI64>,
    runs: AtomicU64,
}

impl Desk {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            ledger: Arc::new(SqliteRuns::open(&folder.path().join("runs.db")).unwrap()),
            log: Arc::default(),
            staging: Arc::new(FolderBlobs::open(&folder.path().join("staging")).await.unwrap()),
            folder,
            seconds: Arc::default(),
            runs: AtomicU64::new(0),
        }
    }

    /// An orchestrator process: its own handles on the same ledger and staging.
    pub(crate) fn orchestrator(&self) -> Orchestrator {
        Orchestrator::new(self.ports(), Caps::default(), PATIENCE)
    }

    /// What an orchestrator process works on.
    pub(crate) fn ports(&self) -> Ports {
        let seconds = Arc::clone(&self.seconds);
        let clock: Clock = Arc::new(move || at(seconds.load(Ordering::SeqCst)));
        let ledger = Arc::new(SqliteRuns::open(&self.folder.path().join("runs.db")).unwrap());
        let audit = Some(ledger.clone() as Arc<dyn AuditStore>);
        Ports { ledger, queue: self.log.clone(), staging: self.staging.clone(), clock, audit }
    }

    /// The audit log, oldest first.
    pub(crate) async fn audit(&self) -> Vec<AuditEntry> {
        let log = SqliteRuns::open(&self.folder.path().join("runs.db")).unwrap();
        let page = log.entries_of(&acme(), &AuditFilter { limit: 500, ..AuditFilter::default() }).await.unwrap();
        page.entries.into_iter().rev().collect()
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, seconds: i64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Submits a run as the gateway does.
    pub(crate) async fn submit(&self) -> RunRef {
        self.submit_with(|_| ()).await
    }

    /// The same of a run that asks for something of its own.
    pub(crate) async fn submit_with(&self, change: impl FnOnce(&mut Run)) -> RunRef {
        let number = self.runs.fetch_add(1, Ordering::SeqCst);
        let mut run = Run {
            v: Version,
            id: RunId::from_parts(1_800_000_000_000 + number, 0),
            tenant: acme(),
            profile_id: ProfileKind::JsonRaw.built_in_id(),
            profile_revision: 1,
            profile_kind: ProfileKind::JsonRaw,
            selectors: Selectors::default(),
            options: RunOptions::default(),
            approval: None,
            requested_by: "alice".to_owned(),
            requested_at: at(0),
            correlation_id: "correlation".to_owned(),
            status: RunStatus::Pending,
            generation: Generation::FIRST,
            replay: None,
            phase: None,
            started_at: None,
            completed_at: None,
            duration_ms: None,
            error_code: None,
            error_message: None,
            policy_snapshot_id: None,
            waiting: None,
            progress: RunProgress::default(),
            base: None,
            bundle: None,
            expiry: None,
            inputs: Vec::new(),
            distributions: Vec::new(),
        };
        change(&mut run);
        assert!(matches!(self.ledger.create_run(&run, None).await.unwrap(), CreateOutcome::Created(_)));
        self.log.requested(&run.reference()).await.unwrap();
        run.reference()
    }

    /// Hands the log to an orchestrator, from its first event on.
    pub(crate) async fn deliver(&self, orchestrator: &Orchestrator) {
        let mut next = 0;
        while let Some(entry) = self.log.all().get(next) {
            orchestrator.on_event(&entry.event, entry.phase).await.unwrap();
            next += 1;
        }
    }

    /// Does the work up to and with `last`, a second each, and hands each event to the orchestrator.
    pub(crate) async fn work_up_to(&self, orchestrator: &Orchestrator, run: &RunRef, last: Work) {
        for work in Work::ALL {
            self.pass(1);
            self.work(run, work, true).await;
            self.deliver(orchestrator).await;
            if work == last {
                return;
            }
        }
    }

    pub(crate) async fn run(&self, run: &RunRef) -> Run {
        self.ledger.run(&run.tenant, &run.run).await.unwrap().unwrap()
    }

    pub(crate) async fn types(&self, run: &RunRef) -> Vec<EventType> {
        let events = self.ledger.events(&run.tenant, &run.run, 0, 1_000).await.unwrap();
        events.into_iter().map(|event| event.event_type).collect()
    }
}

pub(crate) fn acme() -> TenantId {
    "acme".parse().unwrap()
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    "2026-05-01T12:00:00Z".parse::<Timestamp>().unwrap().plus_seconds(seconds)
}
