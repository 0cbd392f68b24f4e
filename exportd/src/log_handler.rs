//! The recorder on the log: hands each event to the orchestrator.

use async_trait::async_trait;
use export_blobs::ResultError;
use export_contract::message::StageEvent;
use export_contract::run::Phase;
use export_jetstream::{HandlerError, LogHandler, ParsedSubject, What};
use export_orchestrator::{Orchestrator, OrchestratorError};
use export_runs::RunStoreError;

/// Folds the log.
pub(crate) struct Recording(pub(crate) Orchestrator);

#[async_trait]
impl LogHandler for Recording {
    async fn handle(&self, subject: ParsedSubject, event: StageEvent) -> Result<(), HandlerError> {
        let phase = match subject.what {
            What::Done(phase) | What::PartDone(phase, _) | What::Failed(phase) => Some(phase),
            What::Joined => Some(Phase::Adapt),
            What::Requested | What::Admitted | What::Cancelled | What::Retry(..) | What::PartRetry(..) => None,
        };
        match self.0.on_event(&event, phase).await {
            Ok(_) => Ok(()),
            Err(error) => Err(HandlerError { transient: is_transient(&error), cause: Box::new(error) }),
        }
    }
}

/// Whether the same event may be taken later. The log waits for what is; what is not becomes a dead letter, so that one
/// unreadable record does not hold up every other run.
fn is_transient(error: &OrchestratorError) -> bool {
    match error {
        OrchestratorError::Queue(_) | OrchestratorError::Ledger(RunStoreError::Unavailable { .. }) => true,
        OrchestratorError::Staging(ResultError::Store { cause, .. }) => cause.is_transient(),
        OrchestratorError::Ledger(RunStoreError::Refused { .. })
        | OrchestratorError::Staging(ResultError::Corrupt { .. } | ResultError::Unreadable { .. }) => false,
    }
}
