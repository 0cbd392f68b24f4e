//! How adapt fails.

use export_blobs::{BlobError, ResultError};
use export_canon::CanonError;
use export_canon::zst::ZstError;
use export_contract::event::WaitReason;
use export_contract::message::AdapterRef;
use export_contract::{ErrorCode, PartIndex, RecordKind};
use export_evidence::LedgerError;
use export_mirror::MirrorError;
use export_pipeline::{Cancelled, Judged, Verdict};

/// Why a part or a run was not adapted.
#[derive(Debug, thiserror::Error)]
pub enum AdaptError {
    /// The plan names an adapter that this process does not have, as may be for a moment in a rolling upgrade.
    #[error("the plan wants adapter {}@{}, this process does not have it", .0.name, .0.version)]
    NoAdapter(AdapterRef),
    /// The ledger cannot be read.
    #[error("cannot read the {kind} records of part {part}")]
    Read {
        /// Which part.
        part: PartIndex,
        /// Of which kind.
        kind: RecordKind,
        /// Why.
        #[source]
        cause: LedgerError,
    },
    /// The ledger gave another number of records than resolve counted: it does not keep its promise about watermarks.
    #[error("part {part} has {found} records, resolve counted {expected}")]
    Count {
        /// Which part.
        part: PartIndex,
        /// What resolve counted.
        expected: u64,
        /// What the ledger gave.
        found: u64,
    },
    /// A stored line does not decompress to what the ledger says it is, or is not one line of JSON.
    #[error("record `{document_id}` of `{source_name}` is damaged in the ledger")]
    Line {
        /// Which record.
        document_id: String,
        /// Of which source.
        source_name: String,
        /// Why, where decompression failed.
        #[source]
        cause: Option<ZstError>,
    },
    /// A record breaks the aggregation-only contract.
    #[error("record `{document_id}` carries the forbidden member `{member}`")]
    Aoc {
        /// Which record.
        document_id: String,
        /// Which member.
        member: String,
    },
    /// The threads that compress cannot be started: this machine lacks something now.
    #[error("cannot start compressing part {part}")]
    Workers {
        /// Which part.
        part: PartIndex,
        /// Why.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Frames cannot be compressed.
    #[error("cannot compress part {part}")]
    Compress {
        /// Which part.
        part: PartIndex,
        /// Why.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A frame or table of a joined file cannot be written.
    #[error("cannot write `{path}`")]
    Frames {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        cause: ZstError,
    },
    /// The work on a joined file did not come to its end.
    #[error("the work on `{path}` broke off")]
    Join {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        cause: tokio::task::JoinError,
    },
    /// A database could not be built.
    #[error("cannot build the database")]
    Trivy(#[from] crate::trivy::TrivyError),
    /// The policy snapshot or its findings could not be exported.
    #[error("cannot export the policy snapshot")]
    Policy(#[from] crate::json::policy::PolicyExportError),
    /// Staging failed.
    #[error("cannot stage {what}")]
    Stage {
        /// What.
        what: String,
        /// Why.
        #[source]
        cause: BlobError,
    },
    /// The result of a part cannot be read.
    #[error("cannot join part {part}")]
    Part {
        /// Which.
        part: PartIndex,
        /// Why.
        #[source]
        cause: ResultError,
    },
    /// A staged segment, or the record of its part, is not what was promised.
    #[error("a segment of part {part} is not what its part promised")]
    Segment {
        /// Which part.
        part: PartIndex,
    },
    /// A document of ours has no canonical form.
    #[error("cannot write `{path}`")]
    Canonical {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        cause: CanonError,
    },
    /// A mirror would have too many files.
    #[error(
        "the mirror would hold {count} SBOM documents, at most {limit} are files of their own; select fewer, or set mirrorSboms in the profile to `lines`"
    )]
    TooManyDocuments {
        /// How many there are.
        count: usize,
        /// Most.
        limit: usize,
    },
    /// The record of a delta's base cannot be had.
    #[error("cannot read what the base of the delta is made of")]
    Base(#[source] ResultError),
    /// The record of a delta's base cannot be read.
    #[error("cannot read what the base of the delta is made of")]
    BaseRecord(#[source] serde_json::Error),
    /// A file of a delta's base, or of the new mirror, cannot be had.
    #[error("cannot read `{path}` to compare it")]
    BaseFile {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        cause: BlobError,
    },
    /// Base and new mirror cannot be compared.
    #[error("cannot compare the mirror with its base")]
    Mirror(#[source] MirrorError),
    /// Work that was done is not there.
    #[error("the work on `{path}` broke off")]
    BrokeOff {
        /// Which file.
        path: String,
    },
    /// The run was cancelled.
    #[error(transparent)]
    Cancelled(Cancelled),
}

impl Judged for AdaptError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::NoAdapter(_) | Self::Workers { .. } => Verdict::Redeliver { after: None },
            Self::Read { cause, .. } if cause.is_transient() => Verdict::Wait { on: WaitReason::Evidence },
            Self::Read { .. } | Self::Count { .. } | Self::Line { .. } => Verdict::FailRun(ErrorCode::SourceUnreadable),
            Self::Aoc { .. } => Verdict::FailRun(ErrorCode::AocViolation),
            Self::Compress { .. } | Self::Frames { .. } | Self::Join { .. } => {
                Verdict::FailRun(ErrorCode::AdapterFailed)
            }
            Self::Stage { cause, .. } => cause.verdict(),
            Self::Canonical { .. } => Verdict::FailRun(ErrorCode::Internal),
            Self::TooManyDocuments { .. } => Verdict::FailRun(ErrorCode::InvalidProfile),
            Self::Base(ResultError::Store { cause, .. }) | Self::BaseFile { cause, .. } if cause.is_transient() => {
                Verdict::Wait { on: WaitReason::Staging }
            }
            Self::Base(_) | Self::BaseRecord(_) | Self::BaseFile { .. } => Verdict::FailRun(ErrorCode::BaseMissing),
            Self::Mirror(cause) if cause.is_hostile() => Verdict::FailRun(ErrorCode::ArtefactCorrupt),
            Self::Mirror(_) | Self::BrokeOff { .. } => Verdict::Redeliver { after: None },
            Self::Part { cause, .. } => cause.verdict(),
            Self::Trivy(cause) => cause.verdict(),
            Self::Policy(cause) => cause.verdict(),
            Self::Segment { .. } => Verdict::FailRun(ErrorCode::ArtefactCorrupt),
            Self::Cancelled(_) => Verdict::Cancelled,
        }
    }
}
