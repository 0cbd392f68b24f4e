//! What logs and traces say of a delivery: the span that a stage works in.
//!
//! A span hangs below the request that the run follows from, whichever process works and whatever was redelivered in
//! between (decision 0026). Its ids are members of it, so that whoever exports spans needs no other source, and
//! every line that is written inside of it names the trace.

use export_contract::{RunId, TraceParent};
use export_pipeline::About;
use rand::RngExt as _;
use tracing::Span;
use tracing::field::Empty;

use crate::publish::Trail;
use crate::worker::command::Command;
use crate::worker::step::Step;

impl Step {
    /// The name of its spans.
    fn traced(self) -> &'static str {
        match self {
            Self::Plan => "export.plan",
            Self::Resolve => "export.fetch",
            Self::AdaptPart | Self::Assemble | Self::Manifest => "export.write",
            Self::Sign => "export.sign",
            Self::Distribute => "export.distribute",
        }
    }
}

/// The span of one delivery of `command`. It is in no trace while neither the command nor what it is about says which.
pub(crate) fn span(step: Step, command: &Command, attempt: u32, trail: &Trail) -> Span {
    let span = tracing::info_span!(
        "step",
        otel.name = step.traced(),
        otel.kind = "consumer",
        otel.parent = Empty,
        otel.sampled = Empty,
        trace_id = Empty,
        span_id = format!("{:016x}", rand::rng().random::<u64>().max(1)),
        run_id = %command.run.run,
        tenant = %command.run.tenant,
        profile_kind = Empty,
        adapter = Empty,
        phase = step.logged(),
        step = step.durable(),
        part = command.part.map(|part| part.0),
        attempt,
        correlation_id = trail.correlation_id(),
        error_code = Empty,
    );
    if let Some(parent) = trail.traceparent() {
        hang(&span, parent);
    }
    span
}

/// Tells the span that is entered, and whatever follows, what the input of the step says of its run.
pub(crate) fn learn(run: &RunId, about: About<'_>, trail: &mut Trail) {
    let span = Span::current();
    span.record("profile_kind", about.profile_kind.as_str());
    if let Some(adapter) = about.adapter {
        span.record("adapter", format!("{}@{}", adapter.name, adapter.version));
    }
    if trail.correlation_id().is_none() {
        trail.correlate(&about.request.correlation_id);
        span.record("correlation_id", trail.correlation_id());
    }
    if trail.traceparent().is_none() {
        let parent = about.request.traceparent;
        if let Some(parent) = parent {
            trail.trace(parent);
        }
        hang(&span, parent.unwrap_or_else(|| TraceParent::of_run(run)));
    }
}

fn hang(span: &Span, parent: TraceParent) {
    span.record("trace_id", parent.trace_id());
    span.record("otel.parent", parent.span_id());
    span.record("otel.sampled", parent.is_sampled());
}
