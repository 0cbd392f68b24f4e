//! What can go wrong, and whether it may go right later.

use rusqlite::ErrorCode;

/// A database did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum SqliteError {
    /// SQLite refused or failed.
    #[error("cannot {act}")]
    Failed {
        /// What was tried.
        act: String,
        /// Why it failed.
        #[source]
        cause: rusqlite::Error,
    },
    /// The work was stopped: the runtime shuts down, or it panicked.
    #[error("cannot {act}: the work was stopped")]
    Stopped {
        /// What was tried.
        act: String,
        /// Why it stopped.
        #[source]
        cause: tokio::task::JoinError,
    },
    /// A later version of this program wrote the file.
    #[error("`{path}` has schema {found}, but this build knows schemas up to {known}")]
    NewerSchema {
        /// The file.
        path: String,
        /// Schema of the file.
        found: usize,
        /// Newest schema that this build knows.
        known: usize,
    },
}

impl SqliteError {
    /// Whether the same call may succeed later: the file is busy, the disk is full or does not answer.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Failed { cause, .. } => is_transient(cause),
            Self::Stopped { cause, .. } => cause.is_cancelled(),
            Self::NewerSchema { .. } => false,
        }
    }

    /// Whether a unique index or primary key refused the write.
    pub fn is_duplicate(&self) -> bool {
        use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_ROWID, SQLITE_CONSTRAINT_UNIQUE};
        let Self::Failed { cause: rusqlite::Error::SqliteFailure(failure, _), .. } = self else {
            return false;
        };
        [SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_ROWID, SQLITE_CONSTRAINT_UNIQUE]
            .contains(&failure.extended_code)
    }
}

/// Names the act that a SQLite error interrupted.
pub(crate) fn failed(act: &str) -> impl FnOnce(rusqlite::Error) -> SqliteError + '_ {
    move |cause| SqliteError::Failed { act: act.to_owned(), cause }
}

pub(crate) fn is_transient(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::SystemIoFailure
                | ErrorCode::DiskFull
                | ErrorCode::CannotOpen
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::OperationInterrupted
                | ErrorCode::OutOfMemory
        )
    )
}

/// The error of a closure that found a value in column `column` which it cannot read, such as text that is not the
/// expected JSON. Never transient.
pub fn undecodable(column: usize, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, cause.into())
}
