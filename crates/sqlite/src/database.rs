//! A database file with its connections.

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{Mutex as AsyncMutex, Semaphore};

use crate::connection::{self, Use};
use crate::error::{SqliteError, failed};

/// Readers at work at once; a machine with fewer cores loses nothing by the idle ones.
const READERS: usize = 4;

/// An open database. Cheap to clone; the clones share connections.
#[derive(Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    writer: Arc<AsyncMutex<Connection>>,
    idle_readers: Mutex<Vec<Connection>>,
    reading: Semaphore,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

impl Database {
    /// Opens the file, creates it where it is absent, and applies the steps of `schema` that it has not seen, all of
    /// them in one transaction. Step `n` of `schema` leads from schema version `n` to `n + 1`, so steps are only ever
    /// appended. Blocks for at most about [`crate::BUSY_TIMEOUT`] and is meant for start-up.
    ///
    /// # Errors
    /// [`SqliteError::NewerSchema`] where the file has seen more steps than there are, otherwise what SQLite says.
    pub fn open(path: &Path, schema: &[&str]) -> Result<Self, SqliteError> {
        let writer = connection::open_writer(path, schema)?;
        tracing::debug!(path = %path.display(), "opened database");
        Ok(Self {
            inner: Arc::new(Inner {
                path: path.to_owned(),
                writer: Arc::new(AsyncMutex::new(writer)),
                idle_readers: Mutex::default(),
                reading: Semaphore::new(READERS),
            }),
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Runs `work` on one snapshot of the database: all its statements see the same state. `act` completes the sentence
    /// "cannot …" of an error.
    ///
    /// # Errors
    /// What `work` gives, as [`SqliteError::Failed`].
    pub async fn read<T, W>(&self, act: &str, work: W) -> Result<T, SqliteError>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        // The semaphore is never closed.
        let _permit = self.inner.reading.acquire().await.ok();
        let inner = Arc::clone(&self.inner);
        blocking(act, move || {
            let idle = inner.idle_readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = match idle {
                Some(connection) => connection,
                None => connection::open(&inner.path, Use::Read)?,
            };
            // `unchecked` only means that the borrow checker does not see that there is no transaction inside another.
            let snapshot = connection.unchecked_transaction()?;
            let value = work(&snapshot)?;
            drop(snapshot);
            inner.idle_readers.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            Ok(value)
        })
        .await
    }

    /// Runs `work` in a transaction that has the write lock from its beginning. `Ok` commits, an error or a panic rolls
    /// back. Writers of this process take turns; those of other processes are waited for up to the busy timeout.
    ///
    /// # Errors
    /// What `work` or the commit gives, as [`SqliteError::Failed`].
    pub async fn write<T, W>(&self, act: &str, work: W) -> Result<T, SqliteError>
    where
        T: Send + 'static,
        W: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        match self.try_write(act, move |transaction| work(transaction).map(Ok::<T, Infallible>)).await? {
            Ok(value) => Ok(value),
            Err(never) => match never {},
        }
    }

    /// As [`Self::write`], for work that may refuse: an inner `Err` rolls back and is handed out.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn try_write<T, E, W>(&self, act: &str, work: W) -> Result<Result<T, E>, SqliteError>
    where
        T: Send + 'static,
        E: Send + 'static,
        W: FnOnce(&Transaction<'_>) -> rusqlite::Result<Result<T, E>> + Send + 'static,
    {
        let mut writer = Arc::clone(&self.inner.writer).lock_owned().await;
        blocking(act, move || {
            let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let outcome = work(&transaction)?;
            if outcome.is_ok() {
                transaction.commit()?;
            } else {
                transaction.rollback()?;
            }
            Ok(outcome)
        })
        .await
    }

    /// A reader of its own for a long read, to be used and dropped on a blocking thread.
    ///
    /// # Errors
    /// What SQLite gives on opening the file.
    pub fn dedicated_reader(&self) -> rusqlite::Result<Connection> {
        connection::open(&self.inner.path, Use::Scan)
    }
}

async fn blocking<T: Send + 'static>(
    act: &str,
    work: impl FnOnce() -> rusqlite::Result<T> + Send + 'static,
) -> Result<T, SqliteError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome.map_err(failed(act)),
        Err(cause) => Err(SqliteError::Stopped { act: act.to_owned(), cause }),
    }
}

#[cfg(test)]
mod tests;
