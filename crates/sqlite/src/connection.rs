//! How a connection is set up, and how a file gets its schema.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::error::{SqliteError, failed, is_transient};

/// How long a connection waits for another one, of this or another process, that holds the lock it needs.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Mapped bytes of a dedicated reader. Bounded, because mapped pages count as memory of the process.
const MAPPED_BYTES: i64 = 64 << 20;

/// Page cache of every connection in KiB, negative as SQLite wants it.
const CACHE_KIB: i64 = -8 * 1024;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Write,
    Read,
    /// Long reads in order, for which mapping the file pays.
    Scan,
}

pub(crate) fn open(path: &Path, purpose: Use) -> rusqlite::Result<Connection> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if purpose == Use::Write {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "cache_size", CACHE_KIB)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    match purpose {
        Use::Write => {
            connection.pragma_update(None, "journal_mode", "wal")?;
            // FULL: a commit that was acknowledged outlives a power failure (design D1 builds on it).
            connection.pragma_update(None, "synchronous", "full")?;
        }
        Use::Read => connection.pragma_update(None, "query_only", true)?,
        Use::Scan => {
            connection.pragma_update(None, "query_only", true)?;
            connection.pragma_update(None, "mmap_size", MAPPED_BYTES)?;
        }
    }
    Ok(connection)
}

/// Opens the writer, creates the file where it is absent, and applies the schema steps that the file has not seen.
///
/// Changing to the write-ahead log does not wait for the busy timeout where another process does the same at the same
/// moment, so it is tried again here.
#[expect(clippy::disallowed_methods, reason = "blocking code, off the runtime: tokio's clock is not its own")]
pub(crate) fn open_writer(path: &Path, schema: &[&str]) -> Result<Connection, SqliteError> {
    let give_up = Instant::now() + BUSY_TIMEOUT;
    loop {
        match open(path, Use::Write).map_err(failed("open the database")).and_then(|mut connection| {
            migrate(&mut connection, path, schema)?;
            Ok(connection)
        }) {
            Err(SqliteError::Failed { cause, .. })
                if is_transient(&cause)
                    && cause.sqlite_error_code() != Some(rusqlite::ErrorCode::CannotOpen)
                    && Instant::now() < give_up =>
            {
                std::thread::sleep(Duration::from_millis(20));
            }
            outcome => return outcome,
        }
    }
}

fn migrate(connection: &mut Connection, path: &Path, schema: &[&str]) -> Result<(), SqliteError> {
    let act = "bring the database to the current schema";
    let version = |connection: &Connection| {
        connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0)).map_err(failed(act))
    };
    let applied = |version: i64| -> Result<usize, SqliteError> {
        let found = usize::try_from(version).unwrap_or(usize::MAX);
        if found <= schema.len() {
            return Ok(found);
        }
        Err(SqliteError::NewerSchema { path: path.display().to_string(), found, known: schema.len() })
    };
    if applied(version(connection)?)? == schema.len() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed(act))?;
    // Read again under the lock: another process may have been faster.
    let done = applied(version(&transaction)?)?;
    for step in schema.iter().skip(done) {
        transaction.execute_batch(step).map_err(failed(act))?;
    }
    transaction
        .pragma_update(None, "user_version", i64::try_from(schema.len()).unwrap_or(i64::MAX))
        .map_err(failed(act))?;
    transaction.commit().map_err(failed(act))
}
