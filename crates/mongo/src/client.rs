//! Connecting, and waiting no longer than makes sense.

use std::future::IntoFuture;
use std::time::Duration;

use mongodb::bson::doc;
use mongodb::options::{Acknowledgment, ClientOptions, ReadConcern, WriteConcern};
use mongodb::{Client, Collection, Database, IndexModel};

use crate::MongoError;

/// How long a connection, or the choice of a server, may take where the connection string says nothing.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one operation may take. The driver itself waits for ever on a server that holds the connection open.
const OPERATION_TIMEOUT: Duration = Duration::from_mins(2);

/// A handle on `database` of the server or cluster at `uri`. Writes are acknowledged by the majority and the journal,
/// reads see only what the majority has, unless the connection string says otherwise; so what was read cannot be
/// rolled back by a change of primary.
///
/// Does not wait for the server: the first operation does, or [`ping`].
///
/// # Errors
/// When `uri` is no connection string, or its name cannot be resolved.
pub async fn connect(uri: &str, database: &str) -> Result<Database, MongoError> {
    let act = "use the MongoDB connection string";
    let mut options = ClientOptions::parse(uri).await.map_err(|cause| MongoError::failed(act, cause))?;
    options.app_name.get_or_insert_with(|| "export-center".to_owned());
    options.connect_timeout.get_or_insert(CONNECT_TIMEOUT);
    options.server_selection_timeout.get_or_insert(CONNECT_TIMEOUT);
    options.read_concern.get_or_insert_with(ReadConcern::majority);
    options
        .write_concern
        .get_or_insert_with(|| WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build());
    let client = Client::with_options(options).map_err(|cause| MongoError::failed(act, cause))?;
    Ok(client.database(database))
}

/// The servers that `uri` names, sorted, without user and password.
///
/// # Errors
/// When `uri` is no connection string, or its name cannot be resolved.
pub async fn servers(uri: &str) -> Result<String, MongoError> {
    let act = "use the MongoDB connection string";
    let options = ClientOptions::parse(uri).await.map_err(|cause| MongoError::failed(act, cause))?;
    let mut servers: Vec<String> = options.hosts.iter().map(ToString::to_string).collect();
    servers.sort_unstable();
    Ok(servers.join(","))
}

/// Asks the server whether it answers.
///
/// # Errors
/// [`MongoError`], transient where nobody answers.
pub async fn ping(database: &Database) -> Result<(), MongoError> {
    perform("reach the MongoDB server", database.run_command(doc! { "ping": 1 })).await.map(drop)
}

/// Performs one operation of the driver within the time that any operation may take. `act` completes the sentence
/// "cannot …" of an error.
///
/// # Errors
/// What the driver reports, or [`MongoError::TimedOut`]; the outcome on the server is then unknown.
pub async fn perform<T>(
    act: &str,
    operation: impl IntoFuture<Output = mongodb::error::Result<T>>,
) -> Result<T, MongoError> {
    perform_within(OPERATION_TIMEOUT, act, operation).await
}

/// As [`perform`], for an operation of which it is known that it is short: a server that falls silent holds up what waits for it no
/// longer than `limit`.
///
/// # Errors
/// As [`perform`].
pub async fn perform_within<T>(
    limit: Duration,
    act: &str,
    operation: impl IntoFuture<Output = mongodb::error::Result<T>>,
) -> Result<T, MongoError> {
    match tokio::time::timeout(limit, operation.into_future()).await {
        Ok(outcome) => outcome.map_err(|cause| MongoError::failed(act, cause)),
        Err(_) => Err(MongoError::TimedOut { act: act.to_owned(), limit }),
    }
}

/// Attempts of [`perform_again`], and the wait after the first; it doubles up to half a second, some three seconds in all.
const ATTEMPTS: u32 = 10;
const FIRST_WAIT: Duration = Duration::from_millis(10);

/// As [`perform`], for an operation that may be done twice with the outcome of once: while the failure is transient, it is
/// done again, some times. FerretDB on SQLite refuses a writer that comes upon another one, with `SQLITE_BUSY`, and a
/// MongoDB that changes its primary refuses all for a moment. Silence is not answered by more of it.
///
/// # Errors
/// Those of the last attempt.
pub async fn perform_again<T, O>(act: &str, mut operation: impl FnMut() -> O) -> Result<T, MongoError>
where
    O: IntoFuture<Output = mongodb::error::Result<T>>,
{
    let mut wait = FIRST_WAIT;
    for _ in 1..ATTEMPTS {
        match perform(act, operation()).await {
            Err(error @ MongoError::Failed { .. }) if error.is_transient() => {
                tracing::debug!(%error, "will try again");
            }
            outcome => return outcome,
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_millis(500));
    }
    perform(act, operation()).await
}

/// Creates those of `indexes` that are missing. One command each: FerretDB 1 breaks the connection over a command that
/// names two indexes that it has already (`msg_createindexes.go`, `slice bounds out of range`).
///
/// # Errors
/// As [`perform`].
pub async fn ensure_indexes<T: Send + Sync>(
    act: &str,
    collection: &Collection<T>,
    indexes: Vec<IndexModel>,
) -> Result<(), MongoError> {
    for index in indexes {
        perform_again(act, || collection.create_index(index.clone())).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io;

    use mongodb::error::Error;

    use super::*;

    /// Attempts that are made of an operation that fails with `error` so many times and then succeeds, and the outcome.
    async fn attempts(error: fn() -> Error, failures: u32) -> (u32, Result<(), MongoError>) {
        let made = Cell::new(0);
        let outcome = perform_again("try", || {
            made.set(made.get() + 1);
            let outcome = if made.get() > failures { Ok(()) } else { Err(error()) };
            async move { outcome }
        })
        .await;
        (made.get(), outcome)
    }

    #[tokio::test]
    async fn what_may_pass_is_tried_again_and_a_refusal_is_not() {
        let gone = || Error::from(io::Error::from(io::ErrorKind::ConnectionReset));
        let (made, outcome) = attempts(gone, 3).await;
        assert!(outcome.is_ok() && made == 4);
        let (made, outcome) = attempts(gone, u32::MAX).await;
        assert!(outcome.unwrap_err().is_transient() && made == ATTEMPTS);
        let invalid = || Error::custom("refused");
        let (made, outcome) = attempts(invalid, 3).await;
        assert!(!outcome.unwrap_err().is_transient() && made == 1);
    }
}
