//! Records that many commands name: read once, however many parts there are.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use export_contract::message::ResultRef;
use tokio::sync::OnceCell;

/// How many are kept: the commands of the parts of runs that run at once alternate on the log.
const KEPT: usize = 16;
/// Bytes of all that are kept, beside the two newest.
const KEPT_BYTES: usize = 16 << 20;

/// The records that were read last, newest first. All parts of a run share one, which tells of all of them: to read it
/// for each would be quadratic in their number.
#[derive(Debug)]
pub(crate) struct Records<R>(Mutex<VecDeque<(ResultRef, Cell<R>)>>);

type Cell<R> = Arc<OnceCell<(Arc<R>, usize)>>;

impl<R> Default for Records<R> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<R> Records<R> {
    /// The record of this name and digest: what is kept, else what `read` gives with its length in bytes. Who asks while it
    /// is being read waits for that; a read that fails, or is dropped, leaves it to the next.
    pub(crate) async fn get<E>(
        &self,
        name: &ResultRef,
        read: impl Future<Output = Result<(R, usize), E>>,
    ) -> Result<Arc<R>, E> {
        let cell = self.cell(name);
        let read = async { read.await.map(|(record, bytes)| (Arc::new(record), bytes)) };
        let record = Arc::clone(&cell.get_or_try_init(|| read).await?.0);
        self.forget();
        Ok(record)
    }

    fn cell(&self, name: &ResultRef) -> Cell<R> {
        // No code panics while it holds the lock, and what it guards is whole after every statement.
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.iter().position(|(known, _)| known == name).and_then(|at| kept.remove(at));
        let entry = known.unwrap_or_else(|| (name.clone(), Cell::default()));
        let cell = Arc::clone(&entry.1);
        kept.push_front(entry);
        kept.truncate(KEPT);
        cell
    }

    /// Lets go of the oldest while there are too many bytes.
    fn forget(&self) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = |kept: &VecDeque<(ResultRef, Cell<R>)>| -> usize {
            kept.iter().filter_map(|(_, cell)| cell.get().map(|(_, bytes)| *bytes)).sum()
        };
        while kept.len() > 2 && bytes(&kept) > KEPT_BYTES {
            kept.pop_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use export_contract::Digest;
    use export_contract::message::ResultRef;

    use super::Records;

    fn name(run: u8) -> ResultRef {
        ResultRef { key: format!("run-{run}"), digest: Digest::from_bytes([run; 32]) }
    }

    #[tokio::test]
    async fn a_record_is_read_once_while_runs_alternate_and_large_ones_are_two_at_most() {
        let (records, reads) = (Records::default(), AtomicU32::new(0));
        let ask = async |run: u8| {
            let read = async {
                reads.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                Ok::<_, ()>((run, super::KEPT_BYTES / 2))
            };
            assert_eq!(records.get(&name(run), read).await.map(|record| *record), Ok(run));
        };
        for _ in 0..10 {
            tokio::join!(ask(1), ask(2), ask(1), ask(2));
        }
        assert_eq!(reads.load(Ordering::SeqCst), 2);
        // A third one takes the place of the one that was asked for longest ago.
        ask(2).await;
        ask(3).await;
        ask(2).await;
        assert_eq!(reads.load(Ordering::SeqCst), 3);
        ask(1).await;
        assert_eq!(reads.load(Ordering::SeqCst), 4);
    }

    #[tokio::test]
    async fn small_records_of_many_runs_are_kept_at_once() {
        let (records, reads) = (Records::default(), AtomicU32::new(0));
        for _ in 0..5 {
            for run in 0..16 {
                let read = async {
                    reads.fetch_add(1, Ordering::SeqCst);
                    Ok::<_, ()>((run, 1_000))
                };
                assert_eq!(records.get(&name(run), read).await.map(|record| *record), Ok(run));
            }
        }
        assert_eq!(reads.load(Ordering::SeqCst), 16);
    }

    #[tokio::test]
    async fn a_read_that_fails_is_made_again() {
        let records = Records::default();
        assert_eq!(records.get(&name(1), async { Err("away") }).await, Err("away"));
        assert_eq!(records.get(&name(1), async { Ok::<_, &str>((7, 1)) }).await.map(|record| *record), Ok(7));
    }
}
