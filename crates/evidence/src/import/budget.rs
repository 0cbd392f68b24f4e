//! A bound on the bytes that are between the reader and the ledger.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes of documents on their way. A document larger than the limit travels alone.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    used: usize,
    closed: bool,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default(), freed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `bytes` more may travel. False when the import was given up.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        let mut state = self.state();
        while !state.closed && state.used > 0 && state.used + bytes > self.limit {
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.used += bytes;
        !state.closed
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        self.state().used -= bytes;
        self.freed.notify_all();
    }

    /// Ends every wait, now and later.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.freed.notify_all();
    }
}
