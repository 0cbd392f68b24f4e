//! One at a time of this process does something about a digest.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, Weak};

use export_contract::Digest;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// The digests that somebody is at.
#[derive(Debug, Default)]
pub(super) struct Turns(std::sync::Mutex<BTreeMap<Digest, Weak<Mutex<()>>>>);

impl Turns {
    /// Waits for the turn; it ends with the guard.
    pub(super) async fn at(&self, digest: &Digest) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| turn.strong_count() > 0);
            let taken = turns.get(digest).and_then(Weak::upgrade);
            taken.unwrap_or_else(|| {
                let turn = Arc::default();
                turns.insert(digest.clone(), Arc::downgrade(&turn));
                turn
            })
        };
        turn.lock_owned().await
    }
}
