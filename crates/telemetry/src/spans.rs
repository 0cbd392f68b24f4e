//! Spans that are in a trace, on their way to the collector.

use std::borrow::Cow;
use std::time::SystemTime;

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use serde_json::Value;
use tracing::Subscriber;
use tracing::span::Id;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::members::{Kept, Members};
use crate::queue::Queue;

/// Puts each span that ends, is in a trace and is to be recorded into the queue.
pub(crate) struct Export {
    queue: Queue,
    scope: InstrumentationScope,
}

impl Export {
    pub(crate) fn new(queue: Queue) -> Self {
        let scope = InstrumentationScope::builder("export-center").with_version(env!("CARGO_PKG_VERSION")).build();
        Self { queue, scope }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Export {
    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let extensions = span.extensions();
        let Some(kept) = extensions.get::<Kept>() else { return };
        if let Some(data) = data(span.name(), kept, self.scope.clone()) {
            self.queue.put(data);
        }
    }
}

/// The span as the collector takes it; `None` for one that is in no trace or not to be recorded.
fn data(name: &'static str, kept: &Kept, instrumentation_scope: InstrumentationScope) -> Option<SpanData> {
    let Kept { members, began } = kept;
    if members.0.get("otel.sampled") == Some(&Value::Bool(false)) {
        return None;
    }
    let trace = TraceId::from_hex(members.text("trace_id")?).ok()?;
    let span = SpanId::from_hex(members.text("span_id")?).ok()?;
    let parent = members.text("otel.parent").and_then(|parent| SpanId::from_hex(parent).ok());
    let kind = match members.text("otel.kind") {
        Some("server") => SpanKind::Server,
        Some("consumer") => SpanKind::Consumer,
        _ => SpanKind::Internal,
    };
    let error = members.text("error_code");
    Some(SpanData {
        span_context: SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::default()),
        parent_span_id: parent.unwrap_or(SpanId::INVALID),
        parent_span_is_remote: parent.is_some(),
        span_kind: kind,
        name: members.text("otel.name").map_or(Cow::Borrowed(name), |name| Cow::Owned(name.to_owned())),
        start_time: *began,
        end_time: SystemTime::now(),
        attributes: attributes(members),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: error.map_or(Status::Unset, |error| Status::error(error.to_owned())),
        instrumentation_scope,
    })
}

/// The members under the names that collectors show: those of OpenTelemetry's conventions as they are, ours below `export.`.
fn attributes(members: &Members) -> Vec<KeyValue> {
    let told =
        members.0.iter().filter(|(name, _)| !matches!(**name, "trace_id" | "span_id") && !name.starts_with("otel."));
    told.map(|(name, value)| {
        let name = match *name {
            "error_code" => "error.type".to_owned(),
            name if name.contains('.') => name.to_owned(),
            name => format!("export.{name}"),
        };
        match value {
            Value::Bool(value) => KeyValue::new(name, *value),
            Value::Number(value) => match value.as_i64() {
                Some(whole) => KeyValue::new(name, whole),
                None => KeyValue::new(name, value.as_f64().unwrap_or_default()),
            },
            Value::String(value) => KeyValue::new(name, value.clone()),
            other => KeyValue::new(name, other.to_string()),
        }
    })
    .collect()
}
