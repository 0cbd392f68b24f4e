//! The steps of a run, as consumers of the log.

use export_contract::PartIndex;
use export_contract::run::Phase;

use crate::subjects::{What, any_run};

/// What a worker does: which commands it takes. Adapt has two: its parts, and their assembly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Admitted runs.
    Plan,
    /// Planned runs.
    Resolve,
    /// Single parts of resolved runs.
    AdaptPart,
    /// Runs whose parts are all written; its input is the record of resolve.
    Assemble,
    /// Adapted runs.
    Manifest,
    /// Runs with a manifest.
    Sign,
    /// Signed runs.
    Distribute,
}

impl Step {
    /// Every step, in pipeline order.
    pub const ALL: [Self; 7] =
        [Self::Plan, Self::Resolve, Self::AdaptPart, Self::Assemble, Self::Manifest, Self::Sign, Self::Distribute];

    /// Name of the durable consumer, and of the step in metrics.
    pub fn durable(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Resolve => "resolve",
            Self::AdaptPart => "adapt",
            Self::Assemble => "assemble",
            Self::Manifest => "manifest",
            Self::Sign => "sign",
            Self::Distribute => "distribute",
        }
    }

    /// The phase that the step belongs to.
    pub fn phase(self) -> Phase {
        match self {
            Self::Plan => Phase::Plan,
            Self::Resolve => Phase::Resolve,
            Self::AdaptPart | Self::Assemble => Phase::Adapt,
            Self::Manifest => Phase::Manifest,
            Self::Sign => Phase::Sign,
            Self::Distribute => Phase::Distribute,
        }
    }

    /// The step that does a phase, or in adapt: its parts, or their assembly.
    pub(crate) fn of(phase: Phase, part: Option<PartIndex>) -> Self {
        match phase {
            Phase::Plan => Self::Plan,
            Phase::Resolve => Self::Resolve,
            Phase::Adapt if part.is_some() => Self::AdaptPart,
            Phase::Adapt => Self::Assemble,
            Phase::Manifest => Self::Manifest,
            Phase::Sign => Self::Sign,
            Phase::Distribute => Self::Distribute,
        }
    }

    /// What commands the step for the first time.
    pub(crate) fn command(self, part: Option<PartIndex>) -> What {
        match self {
            Self::Plan => What::Admitted,
            Self::Resolve => What::Done(Phase::Plan),
            Self::AdaptPart => part.map_or(What::Done(Phase::Resolve), |part| What::PartDone(Phase::Resolve, part)),
            Self::Assemble => What::Joined,
            Self::Manifest => What::Done(Phase::Adapt),
            Self::Sign => What::Done(Phase::Manifest),
            Self::Distribute => What::Done(Phase::Sign),
        }
    }

    /// The phase as logs name it (design D27).
    pub(crate) fn logged(self) -> &'static str {
        match self.phase() {
            Phase::Adapt => "adapter",
            other => other.as_str(),
        }
    }

    /// Whether each command is about one part.
    pub(crate) fn takes_parts(self) -> bool {
        self == Self::AdaptPart
    }

    /// The subjects of its commands.
    pub fn commands(self) -> Vec<String> {
        let command = match self {
            Self::Plan => "admitted",
            Self::Resolve => "plan.done",
            Self::AdaptPart => "resolve.part.*.done",
            Self::Assemble => "adapt.joined",
            Self::Manifest => "adapt.done",
            Self::Sign => "manifest.done",
            Self::Distribute => "sign.done",
        };
        let part = if self.takes_parts() { ".part.*" } else { "" };
        vec![any_run(command), any_run(&format!("{}{part}.retry.*", self.phase()))]
    }
}
