//! Between whoever ends a span and the collector: a queue of bounded length that nobody waits for.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use export_contract::LogEvent;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Spans that wait to be sent, at most; one is about a kilobyte.
const PLACES: usize = 4_096;
/// Spans in one request.
const BATCH: usize = 512;
/// How long the first span of a request waits for more.
const GATHER: Duration = Duration::from_secs(1);
/// How long the collector may take for one request.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a process that ends tries to send what is left.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// What became of spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanOutcome {
    /// The collector took them.
    Sent,
    /// The collector did not take them, and they are not sent again.
    Failed,
    /// There was no place for them.
    Dropped,
}

/// Told of every span once.
pub type Counter = Arc<dyn Fn(SpanOutcome, u64) + Send + Sync>;

/// The queue. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Queue {
    places: Sender<SpanData>,
    count: Counter,
    end: CancellationToken,
    sending: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

impl Queue {
    /// A queue before `collector`; sends from the runtime that this is called on.
    pub(crate) fn start<E: SpanExporter + 'static>(collector: E, count: Counter) -> Self {
        let (places, waiting) = mpsc::channel(PLACES);
        let end = CancellationToken::new();
        let sending = tokio::spawn(send(collector, waiting, count.clone(), end.clone()));
        Self { places, count, end, sending: Arc::new(Mutex::new(Some(sending))) }
    }

    /// Puts a span into the queue, or drops it. Never waits.
    pub(crate) fn put(&self, span: SpanData) {
        if self.places.try_send(span).is_err() {
            (self.count)(SpanOutcome::Dropped, 1);
        }
    }

    /// Sends what is left, for a bounded time.
    pub(crate) async fn stop(self) {
        self.end.cancel();
        let sending = self.sending.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut sending) = sending
            && timeout(LAST_WORDS, &mut sending).await.is_err()
        {
            sending.abort();
        }
    }
}

async fn send<E: SpanExporter>(collector: E, mut waiting: Receiver<SpanData>, count: Counter, end: CancellationToken) {
    let mut is_lost = false;
    loop {
        let mut batch = Vec::new();
        tokio::select! {
            biased;
            _ = waiting.recv_many(&mut batch, BATCH) => {}
            () = end.cancelled() => {}
        }
        if batch.is_empty() {
            return;
        }
        if batch.len() < BATCH {
            end.run_until_cancelled(tokio::time::sleep(GATHER)).await;
            while batch.len() < BATCH
                && let Ok(span) = waiting.try_recv()
            {
                batch.push(span);
            }
        }
        let spans = batch.len() as u64;
        let error = match timeout(PATIENCE, collector.export(batch)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        count(if error.is_none() { SpanOutcome::Sent } else { SpanOutcome::Failed }, spans);
        match error {
            Some(error) if !is_lost => {
                tracing::warn!(event = %LogEvent::TracesLost, error, "the collector takes no spans; runs go on without");
                is_lost = true;
            }
            None if is_lost => {
                tracing::info!(event = %LogEvent::TracesBack, "the collector takes spans again");
                is_lost = false;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::SystemTime;

    use opentelemetry::InstrumentationScope;
    use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
    use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
    use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter, SpanLinks};

    use super::{BATCH, Counter, PLACES, Queue, SpanOutcome};

    /// A collector that takes its first requests and then never answers, or refuses all.
    #[derive(Clone, Debug, Default)]
    struct Stub {
        takes: usize,
        refuses: bool,
        requests: Arc<Mutex<Vec<usize>>>,
    }

    impl SpanExporter for Stub {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            let requests = {
                let mut requests = self.requests.lock().unwrap();
                requests.push(batch.len());
                requests.len()
            };
            if self.refuses {
                return Err(OTelSdkError::InternalFailure("refused".to_owned()));
            }
            if requests > self.takes {
                std::future::pending::<()>().await;
            }
            Ok(())
        }
    }

    #[derive(Clone, Default)]
    struct Counts(Arc<[AtomicU64; 3]>);

    impl Counts {
        fn counter(&self) -> Counter {
            let counts = self.0.clone();
            Arc::new(move |outcome, number| {
                counts[outcome as usize].fetch_add(number, Ordering::SeqCst);
            })
        }

        fn of(&self, outcome: SpanOutcome) -> u64 {
            self.0[outcome as usize].load(Ordering::SeqCst)
        }
    }

    fn span() -> SpanData {
        let context =
            SpanContext::new(TraceId::from(1), SpanId::from(1), TraceFlags::SAMPLED, false, TraceState::default());
        SpanData {
            span_context: context,
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: "span".into(),
            start_time: SystemTime::UNIX_EPOCH,
            end_time: SystemTime::UNIX_EPOCH,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::builder("test").build(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_collector_and_what_it_misses_is_counted() {
        let (counts, stub) = (Counts::default(), Stub { takes: 1, ..Stub::default() });
        let queue = Queue::start(stub.clone(), counts.counter());
        let all = 3 * PLACES as u64;
        // Nothing is awaited here, so nothing can be waited for.
        for _ in 0..all {
            queue.put(span());
        }
        assert_eq!(counts.of(SpanOutcome::Dropped), all - PLACES as u64);
        // The process ends although the collector never answers its second request.
        queue.stop().await;
        assert_eq!(*stub.requests.lock().unwrap(), [BATCH, BATCH]);
        assert_eq!((counts.of(SpanOutcome::Sent), counts.of(SpanOutcome::Failed)), (BATCH as u64, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_is_sent_when_the_process_ends() {
        let (counts, stub) = (Counts::default(), Stub { takes: usize::MAX, ..Stub::default() });
        let queue = Queue::start(stub.clone(), counts.counter());
        for _ in 0..BATCH + 7 {
            queue.put(span());
        }
        queue.stop().await;
        assert_eq!(*stub.requests.lock().unwrap(), [BATCH, 7]);
        assert_eq!(counts.of(SpanOutcome::Sent), BATCH as u64 + 7);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_collector_refuses_is_counted_and_the_next_is_tried() {
        let (counts, stub) = (Counts::default(), Stub { refuses: true, ..Stub::default() });
        let queue = Queue::start(stub.clone(), counts.counter());
        for _ in 0..2 * BATCH {
            queue.put(span());
        }
        queue.stop().await;
        assert_eq!(counts.of(SpanOutcome::Failed), 2 * BATCH as u64);
    }
}
