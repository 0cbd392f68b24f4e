//! How a cancelled run reaches the workers: a KV entry, watched by every process (pipeline.md section 1.8).
//!
//! The watch may lag, so a worker also asks for the entry when it begins, and looks at the token again before it
//! publishes. The truth is the run ledger's, which was told first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_nats::jetstream::stream::DirectGetErrorKind;
use bytes::Bytes;
use export_contract::run::RunRef;
use export_pipeline::QueueError;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::connect::{Nats, cannot};
use crate::cursor::{Cursor, Seen};
use crate::subjects;

type Tokens = Arc<Mutex<BTreeMap<RunRef, (CancellationToken, usize)>>>;

/// The cancelled runs, as far as this process works on them. Cheap to clone; one for all workers of a process. The
/// watch ends with the last clone.
#[derive(Clone, Debug)]
pub struct Cancellations {
    nats: Nats,
    tokens: Tokens,
    _watch: Arc<DropGuard>,
}

/// The token of one run, for as long as somebody works on it.
#[derive(Debug)]
pub(crate) struct Watched {
    run: RunRef,
    token: CancellationToken,
    tokens: Tokens,
}

impl Cancellations {
    /// Begins to watch; must be called inside a tokio runtime.
    pub fn watch(nats: &Nats) -> Self {
        let tokens = Tokens::default();
        let stop = CancellationToken::new();
        let cursor = Cursor::new(nats.clone(), subjects::CONTROL_STREAM, vec![subjects::CANCELS.to_owned()]);
        tokio::spawn(stop.clone().run_until_cancelled_owned(follow(cursor, Arc::clone(&tokens))));
        Self { nats: nats.clone(), tokens, _watch: Arc::new(stop.drop_guard()) }
    }

    /// The token of `run`, which fires when the run is, or was, cancelled.
    pub(crate) async fn token(&self, run: &RunRef) -> Watched {
        let token = {
            let mut tokens = lock(&self.tokens);
            let (token, users) = tokens.entry(run.clone()).or_default();
            *users += 1;
            token.clone()
        };
        let watched = Watched { run: run.clone(), token, tokens: Arc::clone(&self.tokens) };
        match is_cancelled(&self.nats, run).await {
            Ok(true) => watched.token.cancel(),
            Ok(false) => {}
            // The watch will tell, only later.
            Err(error) => {
                tracing::debug!(%error, run_id = %run.run, "cannot ask whether a run is cancelled");
            }
        }
        watched
    }
}

impl Watched {
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.token
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let mut tokens = lock(&self.tokens);
        if let Some((_, users)) = tokens.get_mut(&self.run) {
            *users -= 1;
            if *users == 0 {
                tokens.remove(&self.run);
            }
        }
    }
}

async fn follow(mut cursor: Cursor, tokens: Tokens) {
    loop {
        if let Seen::Message(message) = cursor.next().await
            && let Some(run) = subjects::parse_cancel(&message.subject)
            && let Some((token, _)) = lock(&tokens).get(&run)
        {
            token.cancel();
        }
    }
}

async fn is_cancelled(nats: &Nats, run: &RunRef) -> Result<bool, QueueError> {
    let act = || "ask whether a run is cancelled";
    let stream = nats.jetstream().get_stream_no_info(subjects::CONTROL_STREAM).await.map_err(cannot(act()))?;
    match stream.direct_get_last_for_subject(subjects::cancel(run)).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(false),
        Err(error) => Err(cannot(act())(error)),
    }
}

/// Tells every worker that `run` is cancelled. Saying it again is no error.
pub(crate) async fn cancel(nats: &Nats, run: &RunRef, by: &str) -> Result<(), QueueError> {
    let act = || format!("tell the workers that run {run} is cancelled");
    let sent =
        nats.jetstream().publish(subjects::cancel(run), Bytes::from(by.to_owned())).await.map_err(cannot(act()))?;
    sent.await.map(drop).map_err(cannot(act()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code panics while it holds this lock, and what it guards is whole after every statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
