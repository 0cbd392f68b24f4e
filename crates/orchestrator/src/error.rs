//! What keeps the orchestrator from its work.

use std::error::Error;
use std::fmt;

use export_blobs::ResultError;
use export_pipeline::{Judged, QueueError, Verdict};
use export_runs::RunStoreError;

/// A port did not do its part. Nothing is lost: the same call may be made again.
#[derive(Debug, thiserror::Error)]
pub enum OrchestratorError {
    /// The run ledger.
    #[error(transparent)]
    Ledger(#[from] RunStoreError),
    /// A record in staging.
    #[error(transparent)]
    Staging(#[from] ResultError),
    /// The broker.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl Judged for OrchestratorError {
    /// Never fails the run: what makes a run fail is recorded, not returned.
    fn verdict(&self) -> Verdict {
        match self {
            Self::Ledger(_) | Self::Staging(_) | Self::Queue(_) => Verdict::Redeliver { after: None },
        }
    }
}

/// An error and its causes, joined by `: `, for the log.
pub(crate) struct Chain<'a>(pub(crate) &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
