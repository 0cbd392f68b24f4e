//! Documents on their way to the workers, in batches.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use super::{GivenUp, RawDocument};
use crate::import::budget::Budget;
use crate::import::refusal::Refusal;

/// Documents of a batch; also the number of records that the ledger is given at once.
const BATCH_DOCUMENTS: usize = 256;

/// A batch is sent on when its documents reach this.
const BATCH_BYTES: usize = 4 << 20;

/// Something the reader came across.
#[derive(Debug)]
pub(crate) enum Item {
    Document(RawDocument),
    Refused(Refusal),
    /// A file passed over, of this source.
    Skipped(String),
}

/// Items in reading order.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) items: Vec<Item>,
    /// What it took from the budget.
    pub(crate) bytes: usize,
}

/// Deals batches out to the workers in turn; whoever takes the results in the same turn has them in reading order.
#[derive(Debug)]
pub(crate) struct Batcher {
    lanes: Vec<SyncSender<Batch>>,
    next: usize,
    budget: Arc<Budget>,
    batch: Batch,
}

impl Batcher {
    pub(crate) fn new(lanes: Vec<SyncSender<Batch>>, budget: Arc<Budget>) -> Self {
        Self { lanes, next: 0, budget, batch: Batch::default() }
    }

    pub(crate) fn push(&mut self, item: Item) -> Result<(), GivenUp> {
        if let Item::Document(document) = &item {
            self.batch.bytes += document.bytes.len();
        }
        self.batch.items.push(item);
        if self.batch.items.len() >= BATCH_DOCUMENTS || self.batch.bytes >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    pub(crate) fn flush(&mut self) -> Result<(), GivenUp> {
        if self.batch.items.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        if !self.budget.take(batch.bytes) {
            return Err(GivenUp);
        }
        let lane = &self.lanes[self.next];
        self.next = (self.next + 1) % self.lanes.len();
        lane.send(batch).map_err(|_| GivenUp)
    }
}
