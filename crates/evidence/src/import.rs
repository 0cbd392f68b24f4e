//! Import: real documents into the ledger, every one of them or its name and the reason why not.
//!
//! Files, folders, lines, zip and tar archives are read as streams (the module `walk` says how sources are called and
//! what is passed over). Documents are recognised by what they hold ([`format`](mod@format)), brought into
//! canonical text and put into the ledger unchanged. Importing twice changes nothing; a changed document
//! supersedes the one before.
//!
//! One thread reads, two parse, and the caller's task writes, in reading order whatever the threads do. Some
//! 24 MiB of documents are on their way at most, or one larger document alone.

mod budget;
pub(crate) mod convert;
mod foreign;
pub mod format;
mod identity;
mod input;
mod links;
mod purl;
pub(crate) mod refusal;
pub(crate) mod summary;
pub(crate) mod tape;
mod walk;
mod write;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};

use export_contract::{TenantId, Timestamp};
use tokio::sync::mpsc;

pub use self::refusal::{Position, Refusal, RefusalCode};
pub use self::summary::{Class, Counts, ImportSummary, SummaryRow};

use self::budget::Budget;
use self::convert::{Converter, Outcome};
use self::input::{Batch, Batcher, GivenUp};
use self::refusal::RejectFile;
use self::write::{WriteError, Writer};
use crate::policy::PolicyStore;
use crate::{EvidenceLedger, LedgerError};

/// Threads that parse. More do not help: the ledger is the slower end.
const WORKERS: usize = 2;

/// Bytes of documents between reader and ledger.
const BYTES_ON_THE_WAY: usize = 24 << 20;

/// What to import, and how.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// Whose evidence it becomes.
    pub tenant: TenantId,
    /// When it was observed; one time for the whole import.
    pub observed_at: Timestamp,
    /// One name for the source of everything, instead of the names of folders and packs.
    pub source_name: Option<String>,
    /// Where to name every refused document, one JSON object a line.
    pub reject_file: Option<PathBuf>,
    /// Caps on hostile input.
    pub limits: ImportLimits,
}

impl ImportOptions {
    /// Default limits, no reject file, sources called by folders and packs.
    pub fn new(tenant: TenantId, observed_at: Timestamp) -> Self {
        Self { tenant, observed_at, source_name: None, reject_file: None, limits: ImportLimits::default() }
    }
}

/// Caps on hostile input. Going past one refuses the document, or the rest of the file, and the import goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportLimits {
    /// Longest document in bytes.
    pub document_bytes: u64,
    /// Most bytes that one compressed file or archive may unpack to.
    pub unpacked_bytes: u64,
    /// Most bytes that it may unpack to per byte on disk. What unpacks to no more than `document_bytes` is
    /// never refused for that.
    pub ratio: u64,
    /// Most lines of a file or entries of an archive.
    pub entries: u64,
}

impl Default for ImportLimits {
    /// 256 MiB a document, 64 GiB a file, 1 : 2,000 (real packs reach 1 : 100), 50 million entries.
    fn default() -> Self {
        Self { document_bytes: 256 << 20, unpacked_bytes: 64 << 30, ratio: 2_000, entries: 50_000_000 }
    }
}

impl ImportLimits {
    /// What a file of that length may unpack to.
    fn plain_bytes_of(&self, bytes: u64) -> u64 {
        bytes.saturating_mul(self.ratio).max(self.document_bytes).min(self.unpacked_bytes)
    }
}

/// Told how an import gets on, from several threads.
pub trait ImportProgress: Send + Sync + 'static {
    /// The walk is done: this many files of this many bytes on disk are to be read.
    fn started(&self, _files: u64, _bytes: u64) {}
    /// So many more bytes were read from disk.
    fn bytes_read(&self, _bytes: u64) {}
    /// One more file was read to its end.
    fn file_read(&self) {}
    /// So many more documents are in the ledger, or were refused.
    fn documents(&self, _documents: u64) {}
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl ImportProgress for NoProgress {}

/// An import that could not be done. Nothing of it is visible, and doing it again is safe. Refused documents
/// are no errors.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A path that was given cannot be read.
    #[error("cannot read `{}`", .path.display())]
    Input {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The reject file cannot be written.
    #[error("cannot write the reject file `{}`", .path.display())]
    RejectFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The ledger or the policy store failed.
    #[error("cannot store what was read")]
    Store(#[source] LedgerError),
    /// A thread of the import ended before its time.
    #[error("the {0} of the import stopped unexpectedly")]
    Stopped(&'static str),
}

/// Imports everything under `paths` for one tenant.
///
/// Evidence becomes visible all at once at the end, policy findings with their snapshot right after it;
/// catalogues (KEV) as they come. Dropping the future gives the import up.
///
/// # Errors [`ImportError`]; refused documents are counted in the summary instead.
pub async fn import(
    ledger: &dyn EvidenceLedger,
    policy: &dyn PolicyStore,
    paths: &[PathBuf],
    options: ImportOptions,
    progress: Arc<dyn ImportProgress>,
) -> Result<ImportSummary, ImportError> {
    let found = {
        let paths = paths.to_owned();
        let walked = tokio::task::spawn_blocking(move || walk::walk(&paths)).await;
        walked.map_err(|_| ImportError::Stopped("walk"))?.map_err(|(path, cause)| ImportError::Input { path, cause })?
    };
    progress.started(found.files.len() as u64, found.files.iter().map(|file| file.bytes).sum());
    let (limits, told) = (options.limits, Arc::clone(&progress));
    let feed = move |out: &mut Batcher| input::read_all(found, &limits, &*told, out);
    import_fed(ledger, policy, feed, options, progress).await
}

/// Imports documents that were made here, each with the name of its source.
pub(crate) async fn import_documents(
    ledger: &dyn EvidenceLedger,
    policy: &dyn PolicyStore,
    documents: impl Iterator<Item = (&'static str, Vec<u8>)> + Send + 'static,
    options: ImportOptions,
    progress: Arc<dyn ImportProgress>,
) -> Result<ImportSummary, ImportError> {
    let feed = move |out: &mut Batcher| input::read_made(documents, out);
    import_fed(ledger, policy, feed, options, progress).await
}

async fn import_fed(
    ledger: &dyn EvidenceLedger,
    policy: &dyn PolicyStore,
    feed: impl FnOnce(&mut Batcher) -> Result<(), GivenUp> + Send + 'static,
    options: ImportOptions,
    progress: Arc<dyn ImportProgress>,
) -> Result<ImportSummary, ImportError> {
    let reject_failed = |cause| {
        let path = options.reject_file.clone().unwrap_or_default();
        ImportError::RejectFile { path, cause }
    };
    let rejects = RejectFile::create(options.reject_file.as_deref()).map_err(reject_failed)?;
    let session = ledger.begin_import(&options.tenant).await.map_err(ImportError::Store)?;
    let mut writer = Writer::new(session, policy, options.tenant.clone(), rejects);
    let outcome = match Lanes::start(feed, &options) {
        Ok(lanes) => run(lanes, &mut writer, &*progress).await,
        Err(error) => Err(error.into()),
    };
    let outcome = match outcome {
        Ok(()) => writer.finish().await,
        Err(error) => {
            writer.abandon().await;
            Err(error)
        }
    };
    outcome.map_err(|error| error.into_import(reject_failed))
}

/// Carries everything from the lanes to the writer.
async fn run(mut lanes: Lanes, writer: &mut Writer<'_>, progress: &dyn ImportProgress) -> Result<(), WriteError> {
    while let Some(converted) = lanes.next().await {
        let documents = converted.outcomes.len() as u64;
        writer.write(converted.outcomes).await?;
        lanes.budget.give_back(converted.bytes);
        progress.documents(documents);
    }
    Ok(lanes.finish()?)
}

/// Outcomes of a batch, in reading order.
struct Converted {
    outcomes: Vec<Outcome>,
    bytes: usize,
}

/// The reading thread and the parsing threads. The reader deals batches out in turn and [`Lanes::next`] takes
/// results in the same turn, so their order is the reading order.
struct Lanes {
    budget: Arc<Budget>,
    results: Vec<mpsc::Receiver<Converted>>,
    turn: usize,
    threads: Vec<(&'static str, JoinHandle<()>)>,
}

impl Lanes {
    fn start(
        feed: impl FnOnce(&mut Batcher) -> Result<(), GivenUp> + Send + 'static,
        options: &ImportOptions,
    ) -> Result<Self, ImportError> {
        let budget = Arc::new(Budget::new(BYTES_ON_THE_WAY));
        let mut lanes = Self { budget: Arc::clone(&budget), results: Vec::new(), turn: 0, threads: Vec::new() };
        let mut inputs = Vec::new();
        for _ in 0..WORKERS {
            let (batches, input) = sync_channel::<Batch>(2);
            let (output, results) = mpsc::channel(2);
            let mut converter = Converter::new(&options.limits, options.observed_at, options.source_name.clone());
            lanes.spawn("parser", move || {
                for batch in input {
                    let outcomes = batch.items.into_iter().map(|item| converter.convert(item)).collect();
                    if output.blocking_send(Converted { outcomes, bytes: batch.bytes }).is_err() {
                        return;
                    }
                }
            })?;
            inputs.push(batches);
            lanes.results.push(results);
        }
        lanes.spawn("reader", move || {
            // Giving up is the writer's word; there is nobody left to tell.
            feed(&mut Batcher::new(inputs, budget)).unwrap_or_default();
        })?;
        Ok(lanes)
    }

    fn spawn(&mut self, name: &'static str, work: impl FnOnce() + Send + 'static) -> Result<(), ImportError> {
        let builder = thread::Builder::new().name(format!("import-{name}"));
        let handle = builder.spawn(work).map_err(|_| ImportError::Stopped(name))?;
        self.threads.push((name, handle));
        Ok(())
    }

    /// The next batch in reading order. The first lane in turn that has ended is the end of all.
    async fn next(&mut self) -> Option<Converted> {
        let converted = self.results[self.turn].recv().await?;
        self.turn = (self.turn + 1) % self.results.len();
        Some(converted)
    }

    /// Makes sure that the end was the end, and not a thread that broke off.
    fn finish(mut self) -> Result<(), ImportError> {
        self.results.clear();
        for (name, thread) in self.threads.drain(..) {
            thread.join().map_err(|_| ImportError::Stopped(name))?;
        }
        Ok(())
    }
}

impl Drop for Lanes {
    /// Wakes a reader that waits for room, so that its thread ends with the import.
    fn drop(&mut self) {
        self.budget.close();
    }
}
