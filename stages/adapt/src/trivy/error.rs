//! How building a database fails.

use std::io;
use std::path::PathBuf;

use export_bolt::BoltError;
use export_canon::tar::TarError;
use export_canon::zst::ZstError;
use export_contract::ErrorCode;
use export_pipeline::{Cancelled, Verdict};
use export_trivy::BadRow;
use export_trivy::java::BuildError;

/// Why no database was built.
#[derive(Debug, thiserror::Error)]
pub enum TrivyError {
    /// A file of the scratch folder cannot be used.
    #[error("cannot {act} `{}` in the scratch folder", path.display())]
    Scratch {
        /// What was tried.
        act: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A frame of rows cannot be written or read.
    #[error("cannot {act} a frame of rows")]
    Frame {
        /// What was tried.
        act: &'static str,
        /// Why.
        #[source]
        cause: ZstError,
    },
    /// A frame does not hold whole rows.
    #[error("a frame of rows is cut short")]
    Cut,
    /// A row is damaged.
    #[error("a staged row is damaged")]
    Row(#[from] BadRow),
    /// The database cannot be written.
    #[error("cannot write trivy.db")]
    Bolt(#[from] BoltError),
    /// The index cannot be written.
    #[error("cannot write trivy-java.db")]
    Java(#[from] BuildError),
    /// The archive cannot be written.
    #[error("cannot pack `{name}`")]
    Pack {
        /// Which member.
        name: String,
        /// Why.
        #[source]
        cause: TarError,
    },
    /// The archive cannot be finished.
    #[error("cannot finish the archive")]
    Gzip(#[source] io::Error),
    /// The report cannot be written.
    #[error("cannot write the report")]
    Report(#[source] export_canon::CanonError),
    /// The ledger's newest observation has no tomorrow that can be written.
    #[error("cannot tell when the next update is due")]
    Time(#[source] export_contract::ParseTimestampError),
    /// The run was cancelled, or the host stops.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// The thread that did the work panicked.
    #[error("the work broke off")]
    Thread(#[source] tokio::task::JoinError),
}

impl TrivyError {
    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            // A full or failing disk of this worker: another one may have room.
            Self::Scratch { .. }
            | Self::Pack { cause: TarError::ReadBody { .. }, .. }
            | Self::Java(BuildError::Sync { .. } | BuildError::Sqlite { .. })
            | Self::Gzip(_) => Verdict::Redeliver { after: None },
            Self::Bolt(
                BoltError::Create { .. } | BoltError::Write { .. } | BoltError::Sync { .. } | BoltError::Rename { .. },
            ) => Verdict::Redeliver { after: None },
            Self::Frame { .. } | Self::Cut | Self::Row(_) | Self::Java(BuildError::Row(_)) => {
                Verdict::FailRun(ErrorCode::ArtefactCorrupt)
            }
            Self::Bolt(_) | Self::Pack { .. } | Self::Report(_) | Self::Time(_) | Self::Thread(_) => {
                Verdict::FailRun(ErrorCode::AdapterFailed)
            }
            Self::Cancelled(_) => Verdict::Cancelled,
        }
    }
}
