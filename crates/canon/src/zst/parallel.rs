//! Many frames at once, delivered in order.

use std::any::Any;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded, unbounded};

use super::{FrameEncoder, FrameInfo, FramesError, ZstError};

/// A worker gives back memory of a buffer beyond this much, so that one huge document does not stay resident.
const KEEP_CAPACITY: usize = 8 << 20;

/// What workers leave for those of the next row: an encoder and its buffers, tens of megabytes that would otherwise be taken from
/// the system and filled with zeros for each row. Cheap to clone; clones share.
#[derive(Clone, Debug, Default)]
pub struct Workbenches {
    free: Arc<Mutex<Vec<Workbench>>>,
}

#[derive(Debug)]
struct Workbench {
    level: i32,
    encoder: FrameEncoder,
    plain: Vec<u8>,
    compressed: Vec<u8>,
}

impl Workbenches {
    fn take(&self, level: i32) -> Result<Workbench, ZstError> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        match free.iter().position(|bench| bench.level == level) {
            Some(index) => Ok(free.swap_remove(index)),
            None => {
                // Those of another level are not wanted now, and would pile up.
                free.clear();
                Ok(Workbench { level, encoder: FrameEncoder::new(level)?, plain: Vec::new(), compressed: Vec::new() })
            }
        }
    }

    fn put_back(&self, bench: Workbench) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(bench);
    }
}

/// Makes the plain bytes of one frame, on a worker thread.
pub trait FrameJob<T, E>: Send + 'static {
    /// Appends the plain bytes to `plain`, which is empty; what it gives goes to the sink with the frame (a count of
    /// records, say).
    ///
    /// # Errors
    /// The job's own; the frame is then named in [`FramesError::Job`].
    fn make(self: Box<Self>, plain: &mut Vec<u8>) -> Result<T, E>;
}

impl<T, E, F: FnOnce(&mut Vec<u8>) -> Result<T, E> + Send + 'static> FrameJob<T, E> for F {
    fn make(self: Box<Self>, plain: &mut Vec<u8>) -> Result<T, E> {
        self(plain)
    }
}

/// A finished frame on its way to the sink.
#[derive(Debug)]
pub struct Frame<'a, T> {
    /// Place in the row, from 0.
    pub index: u64,
    /// What the job gave.
    pub made: T,
    /// The sizes.
    pub info: FrameInfo,
    /// The compressed frame.
    pub bytes: &'a [u8],
}

/// Compresses frames on long-lived worker threads and hands them to a sink strictly in the order of submission.
///
/// The sink runs on the caller's thread, inside [`submit`](Self::submit) and [`finish`](Self::finish). At most 2N+1 jobs and
/// frames are in flight for N workers; beyond that `submit` waits, so memory is bounded by the jobs' own size, one plain
/// buffer and one zstd context a worker, and 2N+1 compressed frames. The bytes delivered do not depend on N.
///
/// After the first error, which names the earliest frame that failed, nothing more is delivered or taken. Dropping it drops
/// jobs not begun and waits for those that are running.
pub struct ParallelFrames<T, E, S> {
    pool: Pool<T, E>,
    sink: S,
    early: BTreeMap<u64, Outcome<T, E>>,
    submitted: u64,
    delivered: u64,
    window: u64,
    failed: bool,
}

impl<T, E, S> ParallelFrames<T, E, S>
where
    T: Send + 'static,
    E: Error + Send + 'static,
    S: FnMut(Frame<'_, T>) -> Result<(), E>,
{
    /// Starts the workers. The level is zstd's.
    ///
    /// # Errors
    /// [`FramesError::Start`] and [`FramesError::StartEncoder`].
    pub fn new(threads: NonZeroUsize, level: i32, sink: S) -> Result<Self, FramesError<E>> {
        Self::with_benches(threads, level, &Workbenches::default(), sink)
    }

    /// The same with the workbenches that rows before have left.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_benches(
        threads: NonZeroUsize,
        level: i32,
        benches: &Workbenches,
        sink: S,
    ) -> Result<Self, FramesError<E>> {
        let window = threads.get() * 2 + 1;
        Ok(Self {
            pool: Pool::start(threads, level, window, benches)?,
            sink,
            early: BTreeMap::new(),
            submitted: 0,
            delivered: 0,
            window: window as u64,
            failed: false,
        })
    }

    /// Takes the job of the next frame. Waits while the window is full and delivers what is ready.
    ///
    /// # Errors
    /// The first error of any frame up to now; [`FramesError::Stopped`] after that.
    pub fn submit(&mut self, job: impl FrameJob<T, E>) -> Result<(), FramesError<E>> {
        if self.failed {
            return Err(FramesError::Stopped);
        }
        let result = self.try_submit(Box::new(job));
        self.note(result)
    }

    /// Waits until all frames submitted are delivered.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub fn drain(&mut self) -> Result<(), FramesError<E>> {
        if self.failed {
            return Err(FramesError::Stopped);
        }
        let result = self.deliver_until(0);
        self.note(result)
    }

    /// Frames delivered so far.
    pub const fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Delivers all frames, stops the workers and gives the number of frames.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub fn finish(mut self) -> Result<u64, FramesError<E>> {
        self.drain()?;
        Ok(self.delivered)
    }

    fn note(&mut self, result: Result<(), FramesError<E>>) -> Result<(), FramesError<E>> {
        if result.is_err() {
            self.failed = true;
            self.pool.cancel.store(true, Ordering::Relaxed);
        }
        result
    }

    fn try_submit(&mut self, job: Box<dyn FrameJob<T, E>>) -> Result<(), FramesError<E>> {
        self.deliver_until(self.window - 1)?;
        let jobs = self.pool.jobs.as_ref().ok_or(FramesError::Stopped)?;
        jobs.send((self.submitted, job)).map_err(|_| FramesError::Stopped)?;
        self.submitted += 1;
        loop {
            match self.pool.results.try_recv() {
                Ok((index, outcome)) => {
                    self.early.insert(index, outcome);
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Err(FramesError::Stopped),
            }
        }
        self.deliver_ready()
    }

    fn deliver_until(&mut self, in_flight: u64) -> Result<(), FramesError<E>> {
        loop {
            self.deliver_ready()?;
            if self.submitted - self.delivered <= in_flight {
                return Ok(());
            }
            let (index, outcome) = self.pool.results.recv().map_err(|_| FramesError::Stopped)?;
            self.early.insert(index, outcome);
        }
    }

    fn deliver_ready(&mut self) -> Result<(), FramesError<E>> {
        while let Some(outcome) = self.early.remove(&self.delivered) {
            let index = self.delivered;
            let Encoded { made, info, bytes } = outcome?;
            (self.sink)(Frame { index, made, info, bytes: &bytes })
                .map_err(|cause| FramesError::Sink { frame: index, cause })?;
            self.delivered += 1;
        }
        Ok(())
    }
}

impl<T, E, S> fmt::Debug for ParallelFrames<T, E, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParallelFrames")
            .field("submitted", &self.submitted)
            .field("delivered", &self.delivered)
            .field("window", &self.window)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

struct Encoded<T> {
    made: T,
    info: FrameInfo,
    bytes: Vec<u8>,
}

type Outcome<T, E> = Result<Encoded<T>, FramesError<E>>;
type Numbered<J> = (u64, J);
type Job<T, E> = Numbered<Box<dyn FrameJob<T, E>>>;

/// The workers. Dropping it ends them.
struct Pool<T, E> {
    jobs: Option<Sender<Job<T, E>>>,
    results: Receiver<Numbered<Outcome<T, E>>>,
    cancel: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
}

impl<T: Send + 'static, E: Error + Send + 'static> Pool<T, E> {
    fn start(threads: NonZeroUsize, level: i32, window: usize, benches: &Workbenches) -> Result<Self, FramesError<E>> {
        let (jobs, job_queue) = bounded(window);
        // The window bounds this one too.
        let (result_queue, results) = unbounded();
        let cancel = Arc::new(AtomicBool::new(false));
        let mut pool = Self { jobs: Some(jobs), results, cancel, workers: Vec::with_capacity(threads.get()) };
        for number in 0..threads.get() {
            let bench = benches.take(level).map_err(FramesError::StartEncoder)?;
            let benches = benches.clone();
            let (job_queue, result_queue) = (job_queue.clone(), result_queue.clone());
            let cancel = Arc::clone(&pool.cancel);
            let worker = thread::Builder::new()
                .name(format!("frames-{number}"))
                .spawn(move || benches.put_back(work(bench, &job_queue, &result_queue, &cancel)))
                .map_err(FramesError::Start)?;
            pool.workers.push(worker);
        }
        Ok(pool)
    }
}

impl<T, E> Drop for Pool<T, E> {
    fn drop(&mut self) {
        self.cancel.store(true, Ordering::Relaxed);
        self.jobs = None;
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its jobs, so there is nothing to learn from its own end.
            drop(worker.join());
        }
    }
}

fn work<T: 'static, E: Error + 'static>(
    mut bench: Workbench,
    jobs: &Receiver<Job<T, E>>,
    results: &Sender<Numbered<Outcome<T, E>>>,
    cancel: &AtomicBool,
) -> Workbench {
    let Workbench { encoder, plain, compressed, .. } = &mut bench;
    for (frame, job) in jobs {
        if cancel.load(Ordering::Relaxed) {
            // Go on receiving, so that what the jobs hold is dropped now.
            continue;
        }
        plain.clear();
        compressed.clear();
        let outcome = match catch_unwind(AssertUnwindSafe(|| job.make(plain))) {
            Ok(Ok(made)) => match encoder.encode(plain, compressed) {
                Ok(info) => Ok(Encoded { made, info, bytes: compressed.as_slice().to_vec() }),
                Err(cause) => Err(FramesError::Encode { frame, cause }),
            },
            Ok(Err(cause)) => Err(FramesError::Job { frame, cause }),
            Err(panic) => Err(FramesError::Panicked { frame, message: panic_message(panic.as_ref()) }),
        };
        let heard = results.send((frame, outcome)).is_ok();
        plain.clear();
        plain.shrink_to(KEEP_CAPACITY);
        compressed.clear();
        compressed.shrink_to(KEEP_CAPACITY);
        if !heard {
            break;
        }
    }
    bench
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests;
