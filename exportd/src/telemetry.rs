//! The log and the spans of this process, as its settings say.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use export_telemetry::{Collector, Counter, Form, SpanOutcome};
use prometheus::{IntCounterVec, Opts, Registry};

use crate::config::{Config, LogForm};

/// A process that tells of itself.
#[derive(Debug)]
pub(crate) struct Telemetry {
    inner: export_telemetry::Telemetry,
    spans: IntCounterVec,
}

/// Starts the log of the process, and sends spans where the settings name a collector. `role` names the process there.
pub(crate) fn start(config: &Config, role: &str) -> anyhow::Result<Telemetry> {
    let opts = Opts::new("exporter_trace_spans_total", "Spans, by what became of them.");
    let spans = IntCounterVec::new(opts, &["outcome"]).context("cannot count spans")?;
    let settings = &config.telemetry;
    let set = |path: &Path| Some(path.to_owned()).filter(|path| !path.as_os_str().is_empty());
    let collector = (!settings.otlp_endpoint.is_empty()).then(|| Collector {
        endpoint: settings.otlp_endpoint.clone(),
        ca_file: set(&settings.ca_file),
        service: format!("exportd-{role}"),
    });
    let form = match config.log.form {
        LogForm::Auto => Form::Auto,
        LogForm::Json => Form::Json,
        LogForm::Pretty => Form::Pretty,
    };
    let counters = [SpanOutcome::Sent, SpanOutcome::Failed, SpanOutcome::Dropped]
        .map(|outcome| (outcome, spans.with_label_values(&[name(outcome)])));
    let count: Counter = Arc::new(move |outcome, number| {
        for (_, counter) in counters.iter().filter(|(known, _)| *known == outcome) {
            counter.inc_by(number);
        }
    });
    let inner = export_telemetry::start(&config.log.filter, form, collector.as_ref(), count)
        .context("log.filter, telemetry.otlp_endpoint")?;
    Ok(Telemetry { inner, spans })
}

fn name(outcome: SpanOutcome) -> &'static str {
    match outcome {
        SpanOutcome::Sent => "sent",
        SpanOutcome::Failed => "failed",
        SpanOutcome::Dropped => "dropped",
    }
}

impl Telemetry {
    /// Shows what became of spans.
    pub(crate) fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.spans.clone()))
    }

    /// Whether nothing but the log may be written to standard error.
    pub(crate) fn is_json(&self) -> bool {
        self.inner.is_json()
    }

    /// Sends what is left, for a bounded time.
    pub(crate) async fn stop(self) {
        self.inner.stop().await;
    }
}
