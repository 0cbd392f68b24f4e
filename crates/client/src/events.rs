//! Following a run.

use bytes::{Buf as _, Bytes, BytesMut};
use export_contract::event::{ProgressTick, RunEvent};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use reqwest::Method;
use tokio::time::{Duration, sleep};

use crate::{Client, ClientError};

/// What a follower hears.
#[derive(Clone, Debug)]
pub enum RunSignal {
    /// An entry of the timeline.
    Event(RunEvent),
    /// A sign of life.
    Progress(ProgressTick),
}

/// The timeline of a run as it grows. Comes back by itself after a cut, without repeating or missing an entry.
pub struct EventStream {
    client: Client,
    run: String,
    last: u64,
    body: Option<BoxStream<'static, Result<Bytes, reqwest::Error>>>,
    buffer: BytesMut,
    ended: bool,
    failures: u32,
}

impl std::fmt::Debug for EventStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventStream").field("run", &self.run).field("last", &self.last).finish_non_exhaustive()
    }
}

/// Cuts in a row without an entry between them, after which the follower gives up.
const MAX_FAILURES: u32 = 30;
/// Longest line that is taken from a server.
const MAX_LINE: usize = 1 << 20;

impl Client {
    /// Follows a run from the entry after `last` (0: from the beginning) to its end.
    pub fn follow(&self, run: &str, last: u64) -> EventStream {
        EventStream {
            client: self.clone(),
            run: run.to_owned(),
            last,
            body: None,
            buffer: BytesMut::new(),
            ended: false,
            failures: 0,
        }
    }
}

impl EventStream {
    /// The next signal; `None` after the run's terminal entry, unless the run was replayed since.
    ///
    /// # Errors
    /// When the server refuses, or stays unreachable for about a minute.
    pub async fn next(&mut self) -> Result<Option<RunSignal>, ClientError> {
        loop {
            if let Some(line) = self.take_line() {
                if let Some(signal) = self.read_line(&line) {
                    return Ok(Some(signal));
                }
                continue;
            }
            // The server closes the stream behind an end that no replay followed.
            if self.ended && self.body.is_none() {
                return Ok(None);
            }
            match self.fill().await {
                Ok(()) => {}
                Err(error) if error.passes() => {
                    self.body = None;
                    self.buffer.clear();
                    self.failures += 1;
                    if self.failures > MAX_FAILURES {
                        return Err(error);
                    }
                    sleep(Duration::from_secs(2)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn fill(&mut self) -> Result<(), ClientError> {
        let Some(body) = &mut self.body else {
            let path = format!("/api/export/runs/{}/events", self.run);
            let request = self
                .client
                .request(Method::GET, &path)
                .header("accept", "application/x-ndjson")
                .header("last-event-id", self.last.to_string());
            let response = self.client.send(request).await?;
            if response.status() == reqwest::StatusCode::NO_CONTENT {
                self.ended = true;
                return Ok(());
            }
            self.body = Some(response.bytes_stream().boxed());
            return Ok(());
        };
        match body.next().await {
            Some(Ok(piece)) => {
                if self.buffer.len() + piece.len() > MAX_LINE {
                    self.buffer.clear();
                }
                self.buffer.extend_from_slice(&piece);
                Ok(())
            }
            Some(Err(cause)) => Err(self.client.unreachable(cause)),
            None => {
                // The server ended the stream: after the terminal entry for good, else it is asked again.
                self.body = None;
                self.buffer.clear();
                if !self.ended {
                    sleep(Duration::from_millis(500)).await;
                }
                Ok(())
            }
        }
    }

    fn take_line(&mut self) -> Option<Bytes> {
        let end = self.buffer.iter().position(|byte| *byte == b'\n')?;
        let line = self.buffer.split_to(end).freeze();
        self.buffer.advance(1);
        Some(line)
    }

    fn read_line(&mut self, line: &[u8]) -> Option<RunSignal> {
        if line.is_empty() {
            return None;
        }
        if let Ok(event) = serde_json::from_slice::<RunEvent>(line) {
            if event.ordinal <= self.last {
                return None;
            }
            self.last = event.ordinal;
            self.failures = 0;
            self.ended = event.event_type.is_terminal();
            return Some(RunSignal::Event(event));
        }
        match serde_json::from_slice::<ProgressTick>(line) {
            Ok(tick) => Some(RunSignal::Progress(tick)),
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "a line of the event stream is unknown");
                None
            }
        }
    }
}
