//! What can go wrong, and whether it may go right later.

use std::time::Duration;

use mongodb::error::{Error, ErrorKind, WriteFailure};

/// A database did not do what it was asked to. No variant shows the connection string.
#[derive(Debug, thiserror::Error)]
pub enum MongoError {
    /// The driver or the server refused or failed.
    #[error("cannot {act}")]
    Failed {
        /// What was tried.
        act: String,
        /// Why it failed.
        #[source]
        cause: Box<Error>,
    },
    /// The server took too long.
    #[error("cannot {act}: no answer within {} s", .limit.as_secs())]
    TimedOut {
        /// What was tried.
        act: String,
        /// How long it was waited for.
        limit: Duration,
    },
}

/// Codes of the server that mean "not now": see the retryable errors of the driver specification
/// "Retryable Writes", and `LockTimeout`, `CursorNotFound`, `ExceededTimeLimit`, `WriteConflict`, `MaxTimeMSExpired`.
const TRANSIENT_CODES: [i32; 19] =
    [6, 7, 24, 43, 50, 64, 89, 91, 112, 134, 189, 262, 9001, 10107, 11600, 11602, 13388, 13435, 13436];

const DUPLICATE_KEY: i32 = 11000;

impl MongoError {
    /// The error of an act that the driver reports.
    pub fn failed(act: &str, cause: Error) -> Self {
        Self::Failed { act: act.to_owned(), cause: Box::new(cause) }
    }

    /// Whether the same call may succeed later: no server, no answer, a change of primary.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Failed { cause, .. } => is_transient(cause),
            Self::TimedOut { .. } => true,
        }
    }

    /// Whether the driver could not make sense of an answer. One that is longer than a message may be is such: FerretDB 1
    /// fills an answer with as many documents as were asked for, however long they are.
    pub fn is_invalid_answer(&self) -> bool {
        matches!(self, Self::Failed { cause, .. } if matches!(cause.kind.as_ref(), ErrorKind::InvalidResponse { .. }))
    }

    /// Whether a unique index refused the write. Of a batch: whether nothing else is wrong with it.
    pub fn is_duplicate_key(&self) -> bool {
        match self {
            Self::Failed { cause, .. } => {
                let codes = codes(cause);
                !codes.is_empty() && codes.iter().all(|code| *code == DUPLICATE_KEY)
            }
            Self::TimedOut { .. } => false,
        }
    }
}

fn codes(error: &Error) -> Vec<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => vec![command.code],
        ErrorKind::Write(WriteFailure::WriteError(error)) => vec![error.code],
        ErrorKind::Write(WriteFailure::WriteConcernError(error)) => vec![error.code],
        ErrorKind::InsertMany(many) => many
            .write_errors
            .iter()
            .flatten()
            .map(|error| error.code)
            .chain(many.write_concern_error.iter().map(|error| error.code))
            .collect(),
        _ => Vec::new(),
    }
}

fn is_transient(error: &Error) -> bool {
    let locked = |message: &str| message.contains("SQLITE_BUSY") || message.contains("database is locked");
    match error.kind.as_ref() {
        ErrorKind::Io(_)
        | ErrorKind::ConnectionPoolCleared { .. }
        | ErrorKind::ServerSelection { .. }
        | ErrorKind::DnsResolve { .. } => true,
        // FerretDB on SQLite passes a lock on as an internal error.
        ErrorKind::Command(command) if locked(&command.message) => true,
        ErrorKind::Write(WriteFailure::WriteError(write)) if locked(&write.message) => true,
        _ => {
            error.contains_label("RetryableWriteError")
                || error.contains_label("TransientTransactionError")
                || codes(error).iter().any(|code| TRANSIENT_CODES.contains(code))
        }
    }
}
