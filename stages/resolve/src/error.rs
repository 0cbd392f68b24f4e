//! How resolve fails.

use export_contract::{ErrorCode, RecordKind};
use export_evidence::LedgerError;
use export_pipeline::{Cancelled, Judged, Verdict};

/// Why a run was not cut into parts.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The ledger cannot be read.
    #[error("cannot cut the {kind} records into parts")]
    Cut {
        /// Of which kind.
        kind: RecordKind,
        /// Why.
        #[source]
        cause: LedgerError,
    },
    /// Nothing was selected and the profile does not allow that. Says whether there was anything to select from, because
    /// "no data" and "no findings" must never look alike (design D11).
    #[error(
        "nothing was selected: the ledger holds {visible} records at position {watermark} and the selectors choose none of them; \
         set allowEmpty in the profile if an empty bundle is wanted"
    )]
    Empty {
        /// Records before selection.
        visible: u64,
        /// Where the ledger was read.
        watermark: u64,
    },
    /// The run was cancelled.
    #[error(transparent)]
    Cancelled(Cancelled),
}

impl Judged for ResolveError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Cut { cause, .. } if cause.is_transient() => Verdict::Redeliver { after: None },
            Self::Cut { .. } => Verdict::FailRun(ErrorCode::SourceUnreadable),
            Self::Empty { .. } => Verdict::FailRun(ErrorCode::Empty),
            Self::Cancelled(_) => Verdict::Cancelled,
        }
    }
}
