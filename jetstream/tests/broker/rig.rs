//! A server, a staging folder, and stages made of closures.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use export_blobs::folder::FolderBlobs;
use export_blobs::{BlobStore, Workspace};
use export_contract::message::{Outcome, StageEvent};
use export_contract::run::{Phase, RunRef};
use export_contract::{Generation, PartIndex, RunId};
use export_jetstream::server::ServerConfig;
use export_jetstream::topology::{self, DEAD_STREAM, LOG_STREAM};
use export_jetstream::{
    Cancellations, DeadLetter, Deps, Metrics, Nats, NatsQueue, NatsServer, Settings, Step, Topology, Worker, connect,
};
use export_pipeline::{Done, Judged, RunQueue as _, Stage, StageContext, StageInput, UnreadableInput, Verdict};
use prometheus::Registry;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// No wait of a test is longer.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct Rig {
    pub(crate) server: NatsServer,
    pub(crate) nats: Nats,
    pub(crate) store: Arc<dyn BlobStore>,
    pub(crate) topology: Topology,
    pub(crate) registry: Registry,
    pub(crate) metrics: Metrics,
    pub(crate) queue: NatsQueue,
    pub(crate) dir: TempDir,
    runs: AtomicU32,
}

pub(crate) fn folder(dir: &TempDir) -> ServerConfig {
    ServerConfig { max_file_store: 1 << 30, ..ServerConfig::new(dir.path().join("nats")) }
}

impl Rig {
    pub(crate) async fn new() -> Self {
        Self::with(Topology { ack_wait: Duration::from_secs(1), max_deliver: 3, ..Topology::default() }).await
    }

    pub(crate) async fn with(topology: Topology) -> Self {
        // The layout's limits must fit into the small store of a test.
        let topology = Topology { log_max_bytes: 64 << 20, ..topology };
        let dir = tempfile::tempdir().unwrap();
        let server = NatsServer::start(folder(&dir)).await.expect("run `make tools` once to have a nats-server");
        let nats = connect(&server.url(), server.credentials()).await.unwrap();
        topology::ensure(&nats, &topology).await.unwrap();
        let store = FolderBlobs::open(&dir.path().join("staging")).await.unwrap();
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        let queue = NatsQueue::new(nats.clone(), metrics.clone());
        Self { server, nats, store: Arc::new(store), topology, registry, metrics, queue, dir, runs: AtomicU32::new(0) }
    }

    pub(crate) fn deps(&self) -> Deps {
        Deps {
            nats: self.nats.clone(),
            topology: self.topology.clone(),
            store: Arc::clone(&self.store),
            cancellations: Cancellations::watch(&self.nats),
            metrics: self.metrics.clone(),
        }
    }

    pub(crate) fn new_run(&self) -> RunRef {
        let number = self.runs.fetch_add(1, Ordering::Relaxed);
        RunRef {
            tenant: "acme".parse().unwrap(),
            run: RunId::from_parts(1_000, number.into()),
            generation: Generation::FIRST,
        }
    }

    pub(crate) fn workspace(&self, run: &RunRef) -> Workspace {
        Workspace::new(Arc::clone(&self.store), run.clone())
    }

    /// Puts a run with this input on the log.
    pub(crate) async fn admit(&self, run: &RunRef, input: &Note) {
        let workspace = self.workspace(run);
        let record = workspace.put_record(&workspace.admission_key(), input).await.unwrap();
        self.queue.admitted(run, &record).await.unwrap();
    }

    /// A new run on the log.
    pub(crate) async fn admit_new(&self, text: &str) -> RunRef {
        let run = self.new_run();
        self.admit(&run, &Note::of(text)).await;
        run
    }

    pub(crate) fn work<P: At>(&self, step: Step, toy: Toy<P>) -> Working {
        self.work_with(step, toy, quick())
    }

    pub(crate) fn work_with<P: At>(&self, step: Step, toy: Toy<P>, settings: Settings) -> Working {
        let shutdown = CancellationToken::new();
        let worker = Worker::new(toy, step, self.deps(), settings);
        let task = tokio::spawn(worker.run(shutdown.clone()));
        Working { stop: shutdown, task }
    }

    /// Everything on the log in order: what follows the generation, and the event. Of one run, or of all.
    pub(crate) async fn log_of(&self, run: &RunRef) -> Vec<(String, StageEvent)> {
        let prefix = format!("export.{}.{}.{}.", run.tenant, run.run, run.generation);
        self.messages(LOG_STREAM)
            .await
            .into_iter()
            .filter_map(|(subject, payload)| {
                let what = subject.strip_prefix(&prefix)?.to_owned();
                Some((what, serde_json::from_slice(&payload).ok()?))
            })
            .collect()
    }

    pub(crate) async fn messages(&self, stream: &str) -> Vec<(String, Vec<u8>)> {
        let stream = self.nats.jetstream().get_stream(stream).await.unwrap();
        let state = &stream.cached_info().state;
        let mut messages = Vec::new();
        for sequence in state.first_sequence..=state.last_sequence {
            if let Ok(message) = stream.get_raw_message(sequence).await {
                messages.push((message.subject.to_string(), message.payload.to_vec()));
            }
        }
        messages
    }

    /// The event of a run on the log once it is there.
    pub(crate) async fn event(&self, run: &RunRef, what: &str) -> StageEvent {
        let subject = format!("export.{}.{}.{}.{what}", run.tenant, run.run, run.generation);
        let mut found = None;
        eventually(&subject, async || {
            let Ok(stream) = self.nats.jetstream().get_stream(LOG_STREAM).await else {
                return false;
            };
            found = stream.get_last_raw_message_by_subject(&subject).await.ok();
            found.is_some()
        })
        .await;
        serde_json::from_slice(&found.unwrap().payload).unwrap()
    }

    /// What the stage wrote for a phase or part that is done.
    pub(crate) async fn result(&self, run: &RunRef, what: &str) -> Note {
        let Outcome::Done { result, .. } = self.event(run, what).await.outcome else {
            panic!("{what} is no done event")
        };
        serde_json::from_slice(&self.workspace(run).read_result(&result).await.unwrap()).unwrap()
    }

    pub(crate) async fn dead_letters(&self) -> Vec<DeadLetter> {
        self.messages(DEAD_STREAM)
            .await
            .iter()
            .filter_map(|(_, payload)| serde_json::from_slice(payload).ok())
            .collect()
    }

    /// Until a step has no command that is waiting or at work.
    pub(crate) async fn idle(&self, step: Step) {
        eventually(step.durable(), async || {
            let Ok(stream) = self.nats.jetstream().get_stream(LOG_STREAM).await else {
                return false;
            };
            stream
                .consumer_info(step.durable())
                .await
                .is_ok_and(|info| info.num_pending == 0 && info.num_ack_pending == 0)
        })
        .await;
    }

    /// The sum of a metric over the series whose labels contain `labels`.
    pub(crate) fn metric(&self, name: &str, labels: &BTreeMap<&str, &str>) -> u64 {
        let families = self.registry.gather();
        let series = families
            .iter()
            .filter(|family| family.name() == name)
            .flat_map(prometheus::proto::MetricFamily::get_metric);
        let fits = series.filter(|one| {
            labels
                .iter()
                .all(|(key, value)| one.get_label().iter().any(|pair| pair.name() == *key && pair.value() == *value))
        });
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counters hold small whole numbers"
        )]
        fits.map(|one| one.get_counter().get_value() as u64).sum()
    }

    pub(crate) async fn kill_server(&self) {
        let pid = self.server.pid();
        kill(pid).await;
        eventually("another server", async || self.server.pid() != pid).await;
    }

    pub(crate) async fn stop(self) {
        self.nats.close().await;
        self.server.stop().await;
    }
}

/// `kill -9`.
pub(crate) async fn kill(pid: u32) {
    let status = tokio::process::Command::new("sh").arg("-c").arg(format!("kill -9 {pid}")).status().await.unwrap();
    assert!(status.success());
}

/// Waits until `holds`, and fails the test naming `what` when that takes too long.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "waited in vain for {what}");
}

/// The same for one future.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, future).await;
    waited.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// Settings under which nothing waits long.
pub(crate) fn quick() -> Settings {
    Settings { retry_delays: vec![Duration::from_millis(50)], ..Settings::default() }
}

/// A worker in its task.
pub(crate) struct Working {
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<()>,
}

impl Working {
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        soon("the end of a worker", self.task).await.unwrap();
    }
}

/// Input and output of every toy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) text: String,
    #[serde(default)]
    pub(crate) parts: Option<u32>,
}

impl Note {
    pub(crate) fn of(text: impl Into<String>) -> Self {
        Self { text: text.into(), parts: None }
    }

    pub(crate) fn then(&self, text: impl std::fmt::Display) -> Self {
        Self::of(format!("{}>{text}", self.text))
    }
}

impl StageInput for Note {
    type Record = Self;

    fn parse(record: &[u8]) -> Result<Self, UnreadableInput> {
        serde_json::from_slice(record).map_err(UnreadableInput::Parse)
    }

    fn take(record: Arc<Self>, _part: Option<PartIndex>) -> Result<Self, UnreadableInput> {
        Ok(Arc::unwrap_or_clone(record))
    }
}

impl Done for Note {
    fn fan_out(&self) -> Option<u32> {
        self.parts
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the toy broke")]
pub(crate) struct Broken(pub(crate) Verdict);

impl Judged for Broken {
    fn verdict(&self) -> Verdict {
        self.0.clone()
    }
}

/// A phase as a type.
pub(crate) trait At: Debug + Send + Sync + 'static {
    const PHASE: Phase;
}

macro_rules! phases {
    ($($name:ident),+) => {$(
        #[derive(Debug)]
        pub(crate) struct $name;
        impl At for $name {
            const PHASE: Phase = Phase::$name;
        }
    )+};
}

phases!(Plan, Resolve, Adapt);

type Handled = Pin<Box<dyn Future<Output = Result<Note, Broken>> + Send>>;
type Handle = dyn Fn(Note, StageContext) -> Handled + Send + Sync;

/// A stage made of a closure.
pub(crate) struct Toy<P> {
    handle: Box<Handle>,
    at: PhantomData<P>,
}

impl<P: At> Toy<P> {
    pub(crate) fn new<F>(handle: impl Fn(Note, StageContext) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Note, Broken>> + Send + 'static,
    {
        Self { handle: Box::new(move |note, cx| Box::pin(handle(note, cx))), at: PhantomData }
    }
}

impl<P: At> Stage for Toy<P> {
    const PHASE: Phase = P::PHASE;
    type Input = Note;
    type Output = Note;
    type Error = Broken;

    async fn handle(&self, input: Note, cx: &StageContext) -> Result<Note, Broken> {
        (self.handle)(input, cx.clone()).await
    }
}

/// Plan, resolve into `parts`, adapt and assemble, each by `copies` workers.
pub(crate) fn pipeline(rig: &Rig, parts: u32, copies: usize) -> Vec<Working> {
    let mut working = Vec::new();
    for _ in 0..copies {
        working.push(rig.work(Step::Plan, Toy::<Plan>::new(|note, _| async move { Ok(note.then("plan")) })));
        working.push(rig.work(
            Step::Resolve,
            Toy::<Resolve>::new(move |note, _| async move { Ok(Note { parts: Some(parts), ..note.then("resolve") }) }),
        ));
        working.push(
            rig.work(Step::AdaptPart, Toy::<Adapt>::new(|note, cx| async move { Ok(note.then(cx.part().unwrap())) })),
        );
        working.push(rig.work(
            Step::Assemble,
            Toy::<Adapt>::new(|note, cx| async move {
                assert_eq!(cx.part(), None);
                Ok(note.then("assembled"))
            }),
        ));
    }
    working
}
