//! Who may use the machine: one heavy test, or two light ones.

use tokio::sync::{Semaphore, SemaphorePermit};

static PLACES: Semaphore = Semaphore::const_new(2);

/// A place on the machine, held by a test from its first line to its last.
#[derive(Debug)]
pub struct Turn {
    _place: Option<SemaphorePermit<'static>>,
}

/// Waits for one of the two places.
pub async fn light() -> Turn {
    Turn { _place: PLACES.acquire().await.ok() }
}

/// Waits for both places.
pub async fn heavy() -> Turn {
    Turn { _place: PLACES.acquire_many(2).await.ok() }
}
