//! What is counted about the pipeline, the same for every step. Call sites say what happened; names and help texts
//! stand here.

use std::time::Duration;

use export_contract::ErrorCode;
use export_contract::event::WaitReason;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use crate::worker::Step;

/// The counters. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    deliveries: IntCounterVec,
    redeliveries: IntCounterVec,
    dead_letters: IntCounterVec,
    seconds: HistogramVec,
    in_flight: IntGaugeVec,
    conflicts: IntCounterVec,
    stalls: IntCounterVec,
    paused: IntGaugeVec,
}

/// How the handling of a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Done,
    Repeated,
    Redeliver,
    Failed,
    Cancelled,
}

impl Ending {
    fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Repeated => "repeated",
            Self::Redeliver => "redeliver",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Metrics {
    /// Makes the counters and registers them.
    ///
    /// # Errors
    /// When `registry` has metrics of these names.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let vec = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(vec.clone()))?;
            Ok::<_, prometheus::Error>(vec)
        };
        let seconds = HistogramVec::new(
            HistogramOpts::new(
                "exporter_step_seconds",
                "Seconds from a command's arrival to its end, by how it ended.",
            )
            .buckets(vec![0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 300.0, 1_800.0]),
            &["step", "ending"],
        )?;
        registry.register(Box::new(seconds.clone()))?;
        let in_flight =
            IntGaugeVec::new(Opts::new("exporter_step_in_flight", "Commands at work in this process."), &["step"])?;
        registry.register(Box::new(in_flight.clone()))?;
        let paused = IntGaugeVec::new(
            Opts::new("exporter_step_paused", "1 while a step takes no commands because a store is away."),
            &["step", "reason"],
        )?;
        registry.register(Box::new(paused.clone()))?;
        Ok(Self {
            paused,
            deliveries: counter("exporter_step_deliveries_total", "Commands that arrived.", &["step"])?,
            redeliveries: counter(
                "exporter_step_redeliveries_total",
                "Commands that arrived not for the first time.",
                &["step"],
            )?,
            dead_letters: counter(
                "exporter_step_dead_letters_total",
                "Commands that nobody could do.",
                &["step", "error_code"],
            )?,
            seconds,
            in_flight,
            conflicts: counter(
                "exporter_publish_conflicts_total",
                "Events that were on the log already when published; with other=\"true\" they named another result, which is a defect.",
                &["other"],
            )?,
            stalls: counter(
                "exporter_step_stalls_total",
                "Commands given up because they made no progress.",
                &["step"],
            )?,
        })
    }

    pub(crate) fn delivered(&self, step: Step, attempt: u32) {
        self.deliveries.with_label_values(&[step.durable()]).inc();
        if attempt > 1 {
            self.redeliveries.with_label_values(&[step.durable()]).inc();
        }
    }

    pub(crate) fn began(&self, step: Step) {
        self.in_flight.with_label_values(&[step.durable()]).inc();
    }

    pub(crate) fn ended(&self, step: Step, ending: Ending, took: Duration) {
        self.in_flight.with_label_values(&[step.durable()]).dec();
        self.seconds.with_label_values(&[step.durable(), ending.as_str()]).observe(took.as_secs_f64());
    }

    pub(crate) fn dead_letter(&self, consumer: &str, code: ErrorCode) {
        self.dead_letters.with_label_values(&[consumer, code.as_str()]).inc();
    }

    pub(crate) fn stalled(&self, step: Step) {
        self.stalls.with_label_values(&[step.durable()]).inc();
    }

    pub(crate) fn paused(&self, step: Step, reason: WaitReason, paused: bool) {
        self.paused.with_label_values(&[step.durable(), reason.as_str()]).set(i64::from(paused));
    }

    pub(crate) fn conflict(&self, other_result: bool) {
        self.conflicts.with_label_values(&[if other_result { "true" } else { "false" }]).inc();
    }
}
