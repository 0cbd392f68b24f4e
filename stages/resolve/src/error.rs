//! How resolve fails.

use export_contract::event::WaitReason;
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
    /// The ledger holds nothing of what the run asks for, and the profile does not allow an empty bundle.
    #[error(
        "nothing was selected: the ledger holds 0 records of what the run asks for ({wanted}): there is no data, whatever \
         the selectors; at position {watermark} it holds {holds}; import evidence, or set allowEmpty in the profile if an \
         empty bundle is wanted"
    )]
    NoData {
        /// Kinds asked for.
        wanted: String,
        /// Records in the ledger, by kind.
        holds: String,
        /// Where the ledger was read.
        watermark: u64,
    },
    /// There are records, the selectors choose none of them, and the profile does not allow an empty bundle.
    #[error(
        "nothing was selected: the ledger holds {holds} at position {watermark}, and the selectors choose none of them \
         ({selectors}); widen them, or set allowEmpty in the profile if an empty bundle is wanted"
    )]
    NothingSelected {
        /// Records in the ledger, by kind.
        holds: String,
        /// Where the ledger was read.
        watermark: u64,
        /// The selectors that restrict.
        selectors: String,
    },
    /// The cut is too fine: a result record lists every part, and each part reads it.
    #[error(
        "the run has more than {limit} parts of {every} records; raise partitionRecords in the profile, or select less"
    )]
    TooManyParts {
        /// Records of a part.
        every: u32,
        /// Most parts.
        limit: usize,
    },
    /// The run was cancelled.
    #[error(transparent)]
    Cancelled(Cancelled),
}

impl Judged for ResolveError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Cut { cause, .. } if cause.is_transient() => Verdict::Wait { on: WaitReason::Evidence },
            Self::Cut { .. } => Verdict::FailRun(ErrorCode::SourceUnreadable),
            Self::NoData { .. } | Self::NothingSelected { .. } => Verdict::FailRun(ErrorCode::Empty),
            Self::TooManyParts { .. } => Verdict::FailRun(ErrorCode::InvalidProfile),
            Self::Cancelled(_) => Verdict::Cancelled,
        }
    }
}
