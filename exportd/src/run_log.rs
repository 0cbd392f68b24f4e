//! The ends of runs in the log of the orchestrator.

use export_contract::run::{Run, RunStatus};
use export_contract::{ErrorCode, LogEvent, TraceParent};

/// Tells of a run that ended.
pub(crate) fn ended(run: &Run) {
    let trace = run.traceparent.unwrap_or_else(|| TraceParent::of_run(&run.id)).trace_id();
    let bytes = run.bundle.as_ref().map(|bundle| bundle.bytes);
    let phase = run.phase.map(logged);
    let error_code = run.error_code.map(ErrorCode::as_str);
    macro_rules! tell {
        ($level:ident, $event:ident, $message:literal) => {
            tracing::$level!(
                event = %LogEvent::$event,
                run_id = %run.id,
                tenant = %run.tenant,
                profile_kind = run.profile_kind.as_str(),
                profile = %run.profile_id,
                phase,
                correlation_id = run.correlation_id,
                trace_id = trace,
                duration_ms = run.duration_ms,
                bytes,
                error_code,
                error = run.error_message.as_deref(),
                $message
            )
        };
    }
    match run.status {
        RunStatus::Succeeded => tell!(info, RunSucceeded, "a run succeeded"),
        RunStatus::Failed => tell!(error, RunFailed, "a run failed"),
        RunStatus::Aborted => tell!(info, RunAborted, "a run was cancelled"),
        RunStatus::Pending | RunStatus::Running => {}
    }
}

/// The phase as logs name it (design D27).
fn logged(phase: export_contract::run::Phase) -> &'static str {
    match phase {
        export_contract::run::Phase::Adapt => "adapter",
        other => other.as_str(),
    }
}
