//! What a process tells of itself: its log, as JSON lines or for people, and its spans, to a collector.
//!
//! Everything else speaks to `tracing` only. Where a span is in a trace it says so itself, by members `trace_id`,
//! `span_id`, `otel.parent`, `otel.sampled`, `otel.name` and `otel.kind` (decision 0026): so ids are the same in
//! headers, in the run ledger, in the log and at the collector, and none of them needs this crate.

mod collector;
mod lines;
mod members;
mod queue;
mod spans;

use std::io::IsTerminal as _;

use export_contract::LogEvent;
use tracing_subscriber::filter::{FilterExt as _, LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

pub use self::collector::{Collector, CollectorError};
use self::lines::Lines;
use self::members::Keep;
use self::queue::Queue;
pub use self::queue::{Counter, SpanOutcome};
use self::spans::Export;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people on a terminal, JSON elsewhere.
    Auto,
    /// A JSON object a line.
    Json,
    /// For people.
    Pretty,
}

/// Why a process cannot tell of itself.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is none.
    #[error("`{filter}` is no filter such as `info`")]
    Filter {
        /// What it is.
        filter: String,
        /// What is wrong with it.
        #[source]
        cause: tracing_subscriber::filter::ParseError,
    },
    /// Spans cannot be sent.
    #[error("spans cannot be sent to the collector")]
    Collector(#[from] CollectorError),
    /// It was started before.
    #[error("the log of this process was started before")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// The log and the spans of a process at work.
#[derive(Debug)]
pub struct Telemetry {
    is_json: bool,
    queue: Option<Queue>,
}

/// Starts both. Spans go to `collector`, where there is one, from the runtime that this is called on; `count` is told what
/// becomes of them.
///
/// # Errors
/// See [`TelemetryError`].
pub fn start(
    filter: &str,
    form: Form,
    collector: Option<&Collector>,
    count: Counter,
) -> Result<Telemetry, TelemetryError> {
    let levels =
        EnvFilter::try_new(filter).map_err(|cause| TelemetryError::Filter { filter: filter.to_owned(), cause })?;
    let is_json = match form {
        Form::Json => true,
        Form::Pretty => false,
        Form::Auto => !std::io::stderr().is_terminal(),
    };
    let queue = match collector {
        Some(collector) => Some(Queue::start(collector.connect()?, count)),
        None => None,
    };
    // Spans are there whatever the log's level: they say which run a line is about.
    let ours = || {
        filter_fn(|told| told.is_span() && told.target().starts_with("export")).with_max_level_hint(LevelFilter::INFO)
    };
    let json = is_json.then(|| Lines.with_filter(levels.clone().or(ours())));
    let pretty = (!is_json).then(|| {
        let lines = tracing_subscriber::fmt::layer().compact().with_writer(std::io::stderr);
        lines.with_filter(levels)
    });
    let export = queue.as_ref().map(|queue| Export::new(queue.clone()).with_filter(ours()));
    tracing_subscriber::registry().with(Keep.with_filter(ours())).with(json).with(pretty).with(export).try_init()?;
    if is_json {
        tell_panics();
    }
    Ok(Telemetry { is_json, queue })
}

impl Telemetry {
    /// Whether the log is JSON: then nothing else may be written to standard error.
    pub fn is_json(&self) -> bool {
        self.is_json
    }

    /// Sends the spans that are left, for three seconds at most.
    pub async fn stop(self) {
        if let Some(queue) = self.queue {
            queue.stop().await;
        }
    }
}

/// Panics are lines of the log as well.
fn tell_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let error = text.or_else(|| payload.downcast_ref::<&'static str>().copied()).unwrap_or("no text");
        let at = panic.location().map(ToString::to_string);
        tracing::error!(event = %LogEvent::ProcessPanicked, error, at, "panicked");
    }));
}
