//! A deployment in which time passes by hand: profiles, runs that gateway, admission and stages bring forward, and passes of retention.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use export_blobs::folder::FolderBlobs;
use export_blobs::{BlobKey, BlobStore, Workspace};
use export_contract::event::EventType;
use export_contract::message::{Distribution, RunAdmitted};
use export_contract::profile::{DistributionKind, Profile, ProfileConfig, ProfileKind};
use export_contract::run::{Phase, Run, RunBundle, RunOptions, RunProgress, RunRef, RunStatus};
use export_contract::selectors::Selectors;
use export_contract::{Digest, Generation, RunId, TenantId, Timestamp, Version};
use export_orchestrator::{Admitter, Caps, Clock, Pass, Ports, Retention, Rules, Told};
use export_runs::{NewEvent, RetentionStore, SqliteRuns, StepOutcome, find_base};
use export_targets::{Download, Target};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::depot::Depot;
use super::fuse::{Fuse, Fused, Silence};

pub(crate) const HOUR: i64 = 3_600;
pub(crate) const DAY: i64 = 24 * HOUR;
pub(crate) const RULES: Rules =
    Rules { grace: Duration::from_hours(1), failed_for: Duration::from_hours(7 * 24), remove_orphans: false };

/// How long a profile keeps its bundles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keeps {
    pub(crate) days: Option<u32>,
    pub(crate) last: Option<u32>,
}

/// What is made: the profiles of each tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Makes {
    Full,
    Delta,
    /// Confirms what did not change.
    Raw,
}

impl Makes {
    pub(crate) const ALL: [Self; 3] = [Self::Full, Self::Delta, Self::Raw];

    pub(crate) fn kind(self) -> ProfileKind {
        match self {
            Self::Full => ProfileKind::MirrorFull,
            Self::Delta => ProfileKind::MirrorDelta,
            Self::Raw => ProfileKind::JsonRaw,
        }
    }
}

/// A run as the test knows it, whatever the ledger says.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) run: Run,
    pub(crate) makes: Makes,
    pub(crate) keeps: Keeps,
    /// What plan took as base.
    pub(crate) base: Option<RunId>,
    /// Whose bundle plan confirmed.
    pub(crate) confirms: Option<RunId>,
    pub(crate) planned: bool,
    pub(crate) artefacts: Vec<BlobKey>,
    pub(crate) handed_over: Vec<Distribution>,
    /// Where it was seen although it did not succeed.
    pub(crate) shown: Option<Distribution>,
}

pub(crate) struct World {
    pub(crate) ledger: Arc<dyn RetentionStore>,
    pub(crate) staging: Arc<dyn BlobStore>,
    pub(crate) bucket: Arc<Depot>,
    pub(crate) runs: BTreeMap<RunId, Known>,
    /// Requests whose base the gateway has found, and which are not written yet.
    pub(crate) drafts: Vec<Known>,
    /// Passes that are held up.
    held: Vec<(Arc<Fuse>, JoinHandle<()>)>,
    /// An admission that is about to write its record.
    admitting: Option<(Arc<Fuse>, JoinHandle<()>)>,
    /// Of processes that live on.
    pruners: Vec<Retention>,
    seconds: Arc<AtomicI64>,
    numbers: u64,
    folder: TempDir,
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    "2026-05-01T00:00:00Z".parse::<Timestamp>().unwrap().plus_seconds(seconds)
}

pub(crate) fn tenant(number: u8) -> TenantId {
    ["acme", "globex"][usize::from(number) % 2].parse().unwrap()
}

fn digest(run: &RunId, what: u8) -> Digest {
    let mut bytes = [what; 32];
    let text = run.as_str().as_bytes();
    bytes[..26].copy_from_slice(text);
    Digest::from_bytes(bytes)
}

impl World {
    /// A deployment whose profiles keep what they make like this.
    pub(crate) async fn new(keeps: [Keeps; 3]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger: Arc<dyn RetentionStore> = Arc::new(SqliteRuns::open(&folder.path().join("runs.db")).unwrap());
        let staging: Arc<dyn BlobStore> = Arc::new(FolderBlobs::open(&folder.path().join("staging")).await.unwrap());
        let seconds: Arc<AtomicI64> = Arc::default();
        let bucket = Arc::new(Depot::new(DistributionKind::Object, seconds.clone()));
        for number in 0..2 {
            for (makes, keeps) in Makes::ALL.into_iter().zip(keeps) {
                let built_in = Profile::built_in(tenant(number), makes.kind(), at(0));
                let confirms = makes == Makes::Raw;
                let config = ProfileConfig {
                    retention_days: keeps.days,
                    keep_last: keeps.last,
                    fresh_for_hours: confirms.then_some(1),
                    refresh_when_unchanged: confirms,
                    ..built_in.config.clone()
                };
                let profile = Profile { revision: 2, config, ..built_in };
                assert!(ledger.update_profile(&profile, 1).await.unwrap());
            }
        }
        let mut world = Self {
            pruners: Vec::new(),
            ledger,
            staging,
            bucket,
            runs: BTreeMap::new(),
            drafts: Vec::new(),
            held: Vec::new(),
            admitting: None,
            seconds,
            numbers: 0,
            folder,
        };
        world.pruners = vec![world.pruner(None).1, world.pruner(None).1];
        world
    }

    pub(crate) fn now(&self) -> Timestamp {
        at(self.seconds.load(Ordering::SeqCst))
    }

    /// A pruner in a process of its own, which is killed after so many calls.
    pub(crate) fn pruner(&self, killed_after: Option<u16>) -> (Arc<Fuse>, Retention) {
        let fuse = Fuse::after(killed_after);
        let ledger: Arc<dyn RetentionStore> = Arc::new(SqliteRuns::open(&self.folder.path().join("runs.db")).unwrap());
        let targets: Vec<Arc<dyn Target>> = vec![Arc::new(Download), self.bucket.clone()];
        let targets = targets
            .into_iter()
            .map(|inner| Arc::new(Fused::<dyn Target> { fuse: fuse.clone(), inner }) as Arc<dyn Target>)
            .collect();
        let retention = Retention::new(
            Arc::new(Fused::<dyn RetentionStore> { fuse: fuse.clone(), inner: ledger }),
            Arc::new(Fused::<dyn BlobStore> { fuse: fuse.clone(), inner: self.staging.clone() }),
            targets,
            clock(&self.seconds),
            RULES,
        );
        (fuse, retention)
    }

    /// A pass by other rules; gives what it tells.
    pub(crate) async fn pass_by(&self, rules: Rules) -> Vec<Told> {
        let told: Mutex<Vec<Told>> = Mutex::default();
        let targets: Vec<Arc<dyn Target>> = vec![Arc::new(Download), self.bucket.clone()];
        let clock = clock(&self.seconds);
        let retention = Retention::new(self.ledger.clone(), self.staging.clone(), targets, clock, rules);
        retention.pass(false, &|line| told.lock().unwrap().push(line)).await;
        told.into_inner().unwrap()
    }

    /// A pass of a process that lives on.
    pub(crate) async fn pass(&self, pruner: usize) -> Pass {
        self.pruners[pruner % self.pruners.len()].pass(false, &|_| ()).await
    }

    /// A pass that is killed.
    pub(crate) async fn killed_pass(&self, after: u16) {
        let (fuse, retention) = self.pruner(Some(after));
        fuse.guards(retention.pass(false, &|_| ())).await;
    }

    /// A pass that is held up, and goes on before the next time passes.
    pub(crate) async fn held_pass(&mut self, after: u16) {
        let (fuse, retention) = self.pruner(Some(after));
        let mut task = tokio::spawn(async move {
            retention.pass(false, &|_| ()).await;
        });
        tokio::select! {
            done = &mut task => done.unwrap(),
            () = fuse.reached() => self.held.push((fuse, task)),
        }
    }

    /// Two passes at once, each of which may be killed.
    pub(crate) async fn passes(&self, first: Option<u16>, second: Option<u16>) {
        let ((one, a), (other, b)) = (self.pruner(first), self.pruner(second));
        tokio::join!(one.guards(a.pass(false, &|_| ())), other.guards(b.pass(false, &|_| ())));
    }

    /// Lets time pass. Whoever was about to write does so before: nobody takes as long as the grace.
    pub(crate) async fn wait(&mut self, seconds: i64) {
        for (fuse, task) in std::mem::take(&mut self.held) {
            fuse.mend();
            task.await.unwrap();
        }
        self.write_drafts().await;
        self.end_admission().await;
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Asks for a run as the gateway does: a delta on `base` if that is offered. A slow one is written later.
    pub(crate) async fn submit(&mut self, whose: u8, makes: Makes, keeps: Keeps, base: Option<&RunId>, slow: bool) {
        let tenant = tenant(whose);
        let mut options = RunOptions::default();
        if let Some(base) = base {
            let found = find_base(&*self.ledger, &tenant, base.as_str()).await.unwrap();
            let Some(found) = found.filter(|run| run.expiry.is_none() && run.bundle.is_some()) else { return };
            options.base_export_id = Some(found.id.to_string());
        }
        self.numbers += 1;
        let run = Run {
            v: Version,
            id: RunId::from_parts(1_777_593_600_000 + self.numbers, 0),
            tenant,
            profile_id: makes.kind().built_in_id(),
            profile_revision: 2,
            profile_kind: makes.kind(),
            selectors: Selectors::default(),
            options,
            approval: None,
            requested_by: "alice".to_owned(),
            requested_at: self.now(),
            correlation_id: "correlation".to_owned(),
            traceparent: None,
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
        self.drafts.push(Known {
            run,
            makes,
            keeps,
            base: None,
            confirms: None,
            planned: false,
            artefacts: Vec::new(),
            handed_over: Vec::new(),
            shown: None,
        });
        if !slow {
            self.write_drafts().await;
        }
    }

    pub(crate) async fn write_drafts(&mut self) {
        for known in std::mem::take(&mut self.drafts) {
            self.ledger.create_run(&known.run, None).await.unwrap();
            self.runs.insert(known.run.id.clone(), known);
        }
    }

    /// Admits whatever waits, or stops just before the first record of it is written.
    pub(crate) async fn admit(&mut self, whose: u8, slow: bool) {
        self.end_admission().await;
        let staging: Arc<dyn BlobStore> = self.staging.clone();
        let fuse = Fuse::after(slow.then_some(0));
        let gated: Arc<dyn BlobStore> = Arc::new(Fused::<dyn BlobStore> { fuse: fuse.clone(), inner: staging });
        let ports = Ports {
            ledger: self.ledger.clone(),
            queue: Arc::new(Silence),
            staging: gated,
            clock: clock(&self.seconds),
            audit: None,
        };
        let admitter = Admitter::new(ports, Caps { default: 100, ..Caps::default() });
        let tenant = tenant(whose);
        let mut task = tokio::spawn(async move {
            admitter.admit(&tenant).await.unwrap();
        });
        tokio::select! {
            done = &mut task => done.unwrap(),
            () = fuse.reached() => self.admitting = Some((fuse, task)),
        }
    }

    async fn end_admission(&mut self) {
        if let Some((fuse, task)) = self.admitting.take() {
            fuse.mend();
            task.await.unwrap();
        }
    }

    /// What the admission of a run named.
    pub(crate) async fn admission(&self, run: &RunRef) -> Option<RunAdmitted> {
        let key = Workspace::new(self.staging.clone(), run.clone()).admission_key();
        let bytes = self.staging.get(&key, 1 << 20).await.ok()?;
        Some(serde_json::from_slice(&bytes).unwrap())
    }

    /// Plans an admitted run as the stage does.
    pub(crate) async fn plan(&mut self, id: &RunId, unchanged: bool) {
        let known = self.runs[id].clone();
        let Some(admitted) = self.admission(&known.run.reference()).await else { return };
        let base = admitted.base.map(|base| base.run.run);
        if known.makes == Makes::Delta && known.run.options.base_export_id.is_some() {
            let base = base.clone().expect("a base that the gateway found is there at admission");
            self.is_whole(&base, "as a base");
        }
        let confirms = admitted.previous.filter(|_| unchanged).map(|previous| previous.run);
        if let Some(confirmed) = &confirms {
            self.is_whole(confirmed, "as what is confirmed");
        }
        let outcome = StepOutcome { base: base.clone(), ..StepOutcome::default() };
        assert!(self.record(id, "plan.done", EventType::StageCompleted, &outcome).await);
        let known = self.runs.get_mut(id).unwrap();
        (known.base, known.confirms, known.planned) = (base, confirms, true);
    }

    /// Ends a planned run: whatever it needs is read once more.
    pub(crate) async fn end(&mut self, id: &RunId, succeeds: bool) {
        let known = self.runs[id].clone();
        for needed in known.base.iter().chain(&known.confirms) {
            self.is_whole(needed, "at the end of a run");
        }
        let reference = known.run.reference();
        let workspace = Workspace::new(self.staging.clone(), reference);
        let scratch = workspace.scratch_key("checkpoint").unwrap();
        self.staging.put(&scratch, Bytes::from_static(b"half")).await.unwrap();
        let mut artefacts = Vec::new();
        for part in 0..2 {
            let made = workspace.put_artefact(format!("{id} {part}").into()).await.unwrap();
            artefacts.push(Workspace::artefact_key(&known.run.tenant, id, &made.digest));
        }
        workspace.put_result(Phase::Distribute, None, &"what was done").await.unwrap();
        self.runs.get_mut(id).unwrap().artefacts = artefacts;
        if !succeeds {
            // Distribute had come to one of two places when it gave up.
            self.shows(id).await;
            let outcome = StepOutcome { terminal: Some(RunStatus::Failed), ..StepOutcome::default() };
            assert!(self.record(id, "sign.failed", EventType::RunFailed, &outcome).await);
            return;
        }
        let distributions = self.hand_over(&known);
        workspace.put_hand_over(&distributions[1]).await.unwrap();
        let maker = known.confirms.as_ref().unwrap_or(id);
        let bundle = RunBundle {
            digest: digest(maker, 1),
            bytes: 1,
            manifest_digest: digest(maker, 2),
            rerun_hash: digest(maker, 3),
            records: 1,
            as_of: None,
            key_id: "key-1".to_owned(),
            sidecars: BTreeMap::new(),
            state_digest: (known.makes != Makes::Raw).then(|| digest(id, 4)),
            verification: None,
            refreshes: known.confirms.clone(),
        };
        let outcome = StepOutcome {
            terminal: Some(RunStatus::Succeeded),
            bundle: Some(bundle),
            distributions: distributions.clone(),
            ..StepOutcome::default()
        };
        assert!(self.record(id, "distribute.done", EventType::RunSucceeded, &outcome).await);
        self.runs.get_mut(id).unwrap().handed_over = distributions;
    }

    /// Distribute writes down where the object will be, and puts it there.
    pub(crate) async fn shows(&mut self, id: &RunId) -> Distribution {
        let known = self.runs[id].clone();
        let object = self.hand_over(&known).remove(1);
        let workspace = Workspace::new(self.staging.clone(), known.run.reference());
        workspace.put_hand_over(&object).await.unwrap();
        self.runs.get_mut(id).unwrap().shown = Some(object.clone());
        object
    }

    fn hand_over(&self, known: &Known) -> Vec<Distribution> {
        let days = |days: u32| self.now().plus_seconds(i64::from(days) * DAY);
        let made = known.confirms.as_ref().map(|maker| self.runs[maker].handed_over[0].expires_at);
        let place = |kind, location: String| Distribution {
            kind,
            location,
            sha256: digest(&known.run.id, 1),
            size_bytes: 1,
            expires_at: made.unwrap_or_else(|| known.keeps.days.map(days)),
            tags: Vec::new(),
            locked_until: None,
            pruned_at: None,
        };
        let mut object = place(DistributionKind::Object, format!("s3://bucket/{}", known.run.id));
        // Locked for as long as it is kept, and by somebody at the target for ten more days, which the ledger does not know.
        object.locked_until = object.expires_at;
        self.bucket.hand_over(&object.location, object.expires_at.map(|at| at.plus_seconds(10 * DAY)));
        vec![place(DistributionKind::Http, format!("/download/{}", known.run.id)), object]
    }

    pub(crate) async fn cancel(&mut self, id: &RunId) {
        let tenant = self.runs[id].run.tenant.clone();
        self.ledger.cancel(&tenant, id, "bob", self.now()).await.unwrap();
    }

    async fn record(&self, id: &RunId, what: &str, event_type: EventType, outcome: &StepOutcome) -> bool {
        let event = NewEvent {
            key: format!("g1.{what}"),
            event_type,
            phase: None,
            message: what.to_owned(),
            at: self.now(),
            metrics: BTreeMap::new(),
            actor: None,
        };
        self.ledger.record(&self.runs[id].run.reference(), &event, outcome).await.unwrap()
    }

    /// Asserts that every byte that a run made is where it was put.
    pub(crate) fn is_whole(&self, id: &RunId, why: &str) {
        let known = &self.runs[id];
        for key in &known.artefacts {
            let path = self.folder.path().join("staging").join(key.as_str());
            assert!(path.is_file(), "{key} is gone, and needed {why}");
        }
        for place in known.handed_over.iter().filter(|place| place.kind == DistributionKind::Object) {
            assert!(self.bucket.holds(&place.location), "{} is gone, and needed {why}", place.location);
        }
    }

    /// What the ledger says of a run.
    pub(crate) async fn ledger_says(&self, id: &RunId) -> Run {
        self.ledger.run(&self.runs[id].run.tenant, id).await.unwrap().unwrap()
    }
}

fn clock(seconds: &Arc<AtomicI64>) -> Clock {
    let seconds = Arc::clone(seconds);
    Arc::new(move || at(seconds.load(Ordering::SeqCst)))
}
