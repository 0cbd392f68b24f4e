//! A log in memory: a subject takes one event, as the broker's compare-and-set has it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use export_contract::message::{Outcome, ResultRef, StageEvent, Summary};
use export_contract::run::{Phase, RunRef};
use export_contract::{PartIndex, RunId, TenantId, Timestamp, Version};
use export_pipeline::{QueueError, RunQueue};

/// One event with its subject and the stage that the subject names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) subject: String,
    pub(crate) phase: Option<Phase>,
    pub(crate) event: StageEvent,
}

#[derive(Debug, Default)]
pub(crate) struct Log {
    entries: Mutex<Vec<Entry>>,
    broken: AtomicBool,
    told: Mutex<Vec<RunId>>,
    /// Steps whose commands no worker has or will get.
    lost: Mutex<Vec<(RunRef, Phase, Option<PartIndex>)>>,
}

impl Log {
    /// From now on nothing is taken, or everything again.
    pub(crate) fn set_broken(&self, broken: bool) {
        self.broken.store(broken, Ordering::SeqCst);
    }

    /// From now on no worker has the command of a step, or of a part, until it is commanded again.
    pub(crate) fn lose(&self, run: &RunRef, phase: Phase, part: Option<PartIndex>) {
        self.lost.lock().unwrap().push((run.clone(), phase, part));
    }

    /// All that is lost when a broker loses its store.
    pub(crate) fn wipe(&self) {
        self.entries().clear();
    }

    /// Everything on the log, in order.
    pub(crate) fn all(&self) -> Vec<Entry> {
        self.entries().clone()
    }

    /// The subjects on the log without the run's name, sorted.
    pub(crate) fn subjects(&self, run: &RunRef) -> Vec<String> {
        let of_run = |entry: &Entry| entry.subject.strip_prefix(&format!("{run}.")).map(str::to_owned);
        let mut subjects: Vec<String> = self.entries().iter().filter_map(of_run).collect();
        subjects.sort();
        subjects
    }

    /// How often watchers of a run were told to look.
    pub(crate) fn times_told(&self, run: &RunId) -> usize {
        self.told.lock().unwrap().iter().filter(|told| *told == run).count()
    }

    /// A stage gave up.
    pub(crate) fn failed(&self, run: &RunRef, phase: Phase, outcome: Outcome) {
        self.put(run, &format!("{phase}.failed"), Some(phase), outcome).unwrap();
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap()
    }

    fn put(&self, run: &RunRef, what: &str, phase: Option<Phase>, outcome: Outcome) -> Result<(), QueueError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(QueueError { act: format!("publish {what}"), cause: "the broker is down".into() });
        }
        let subject = format!("{run}.{what}");
        let event = StageEvent { v: Version, run: run.clone(), outcome, at: Timestamp::from(std::time::UNIX_EPOCH) };
        let mut entries = self.entries();
        if entries.iter().all(|entry| entry.subject != subject) {
            entries.push(Entry { subject, phase, event });
        }
        Ok(())
    }
}

#[async_trait]
impl RunQueue for Log {
    async fn requested(&self, run: &RunRef) -> Result<(), QueueError> {
        self.put(run, "requested", None, Outcome::Requested)
    }

    async fn admitted(&self, run: &RunRef, admission: &ResultRef) -> Result<(), QueueError> {
        self.put(run, "admitted", None, Outcome::Admitted { result: admission.clone() })
    }

    async fn done(
        &self,
        run: &RunRef,
        phase: Phase,
        part: Option<PartIndex>,
        parts: Option<u32>,
        result: &ResultRef,
        summary: Summary,
    ) -> Result<(), QueueError> {
        let what = part.map_or_else(|| format!("{phase}.done"), |part| format!("{phase}.part.{part}.done"));
        self.put(run, &what, Some(phase), Outcome::Done { result: result.clone(), part, parts, summary })
    }

    async fn retry(&self, run: &RunRef, phase: Phase, part: Option<PartIndex>) -> Result<bool, QueueError> {
        let mut lost = self.lost.lock().unwrap();
        let Some(at) = lost.iter().position(|(of, step, piece)| of == run && *step == phase && *piece == part) else {
            return Ok(false);
        };
        lost.remove(at);
        let piece = part.map_or_else(String::new, |part| format!("part.{part}."));
        // What a command says does not matter here.
        self.put(run, &format!("{phase}.{piece}retry.1"), None, Outcome::Requested)?;
        Ok(true)
    }

    async fn cancelled(&self, run: &RunRef, by: &str) -> Result<(), QueueError> {
        self.put(run, "cancelled", None, Outcome::Cancelled { by: by.to_owned() })
    }

    async fn recorded(&self, _tenant: &TenantId, run: &RunId) {
        self.told.lock().unwrap().push(run.clone());
    }

    async fn check(&self) -> Result<(), QueueError> {
        Ok(())
    }
}
