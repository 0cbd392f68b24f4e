//! Who holds a command, and whether the holder is alive.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::jetstream::AckKind;
use async_nats::jetstream::message::Acker;
use tokio::time::Instant;

use crate::report::Backoff;

/// The commands that are at work in this process, by subject. A command that is delivered again while it is still at
/// work here joins the work instead of beginning it twice.
///
/// By subject and not by sequence: sequences begin anew when a server lost its store, subjects name the step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leases(Arc<Mutex<BTreeMap<String, Arc<Holder>>>>);

struct Holder {
    /// How to answer the newest delivery, and which one that is.
    newest: Mutex<(Arc<Acker>, u32)>,
}

impl std::fmt::Debug for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Holder").field("delivery", &lock(&self.newest).1).finish_non_exhaustive()
    }
}

/// The right to work on a command; ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    leases: Leases,
    subject: String,
    holder: Arc<Holder>,
}

impl Leases {
    /// The lease of a command, `None` if it is at work already and this delivery was joined to that.
    pub(crate) fn take(&self, subject: &str, acker: Acker, delivery: u32) -> Option<Lease> {
        let mut held = lock(&self.0);
        if let Some(holder) = held.get(subject) {
            *lock(&holder.newest) = (Arc::new(acker), delivery);
            return None;
        }
        let holder = Arc::new(Holder { newest: Mutex::new((Arc::new(acker), delivery)) });
        held.insert(subject.to_owned(), Arc::clone(&holder));
        Some(Lease { leases: self.clone(), subject: subject.to_owned(), holder })
    }
}

impl Lease {
    /// The number of the newest delivery, from 1.
    pub(crate) fn delivery(&self) -> u32 {
        lock(&self.holder.newest).1
    }

    fn acker(&self) -> Arc<Acker> {
        Arc::clone(&lock(&self.holder.newest).0)
    }

    /// Tells the server that the command is done with, and waits until it knows. Gives up after some tries: then the
    /// command comes again, finds its result, and is acknowledged.
    pub(crate) async fn settle(&self, kind: AckKind) {
        let mut backoff = Backoff::up_to(Duration::from_secs(1));
        for _ in 0..5 {
            match self.acker().double_ack_with(kind).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::debug!(subject = %self.subject, %error, "an acknowledgement got no answer");
                }
            }
            backoff.wait().await;
        }
        tracing::warn!(subject = %self.subject, "a command could not be acknowledged and will come again");
    }

    /// Tells the server something that needs no answer.
    pub(crate) async fn tell(&self, kind: AckKind) {
        if let Err(error) = self.acker().ack_with(kind).await {
            tracing::debug!(subject = %self.subject, %error, "the server was not told about a command");
        }
    }

    /// Keeps the lease, for as long as it is polled.
    pub(crate) async fn keep(&self, every: Duration) -> Infallible {
        loop {
            tokio::time::sleep(every).await;
            self.tell(AckKind::Progress).await;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        lock(&self.leases.0).remove(&self.subject);
    }
}

/// When a delivery last showed progress.
#[derive(Debug)]
pub(crate) struct Liveness {
    born: Instant,
    /// Milliseconds after `born`.
    last: AtomicU64,
}

impl Liveness {
    pub(crate) fn new() -> Self {
        Self { born: Instant::now(), last: AtomicU64::new(0) }
    }

    pub(crate) fn beat(&self) {
        self.last.store(self.age(), Ordering::Relaxed);
    }

    /// Returns when there was no progress for longer than `limit`.
    pub(crate) async fn silent_for(&self, limit: Duration) {
        while let Some(rest) = limit.checked_sub(self.silence()) {
            tokio::time::sleep(rest + Duration::from_millis(1)).await;
        }
    }

    fn silence(&self) -> Duration {
        Duration::from_millis(self.age().saturating_sub(self.last.load(Ordering::Relaxed)))
    }

    fn age(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code panics while it holds one of these locks, and what they guard is whole after every statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
