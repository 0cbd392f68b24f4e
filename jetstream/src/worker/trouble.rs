//! What stopped a delivery, and what that means.

use std::error::Error;
use std::time::Duration;

use export_blobs::ResultError;
use export_contract::ErrorCode;
use export_contract::event::WaitReason;
use export_pipeline::{Judged, UnreadableInput, Verdict};

use crate::worker::command::Poison;

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("the command is poisoned")]
    Poison(#[source] Poison),
    #[error("the input of the step cannot be read")]
    Input(#[source] UnreadableInput),
    #[error("the result record of the step is not of this build")]
    Output(#[source] serde_json::Error),
    #[error("the result records of the run cannot be used")]
    Record(#[source] ResultError),
    #[error("{0}")]
    Stage(Box<dyn Judged>),
    #[error("the stage panicked: {0}")]
    Panicked(String),
    #[error("the stage made no progress and was given up")]
    Stalled,
    #[error("the worker stops")]
    Halted,
    #[error("the run was cancelled")]
    Cancelled,
}

/// What the host does about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Try again later; after the last try the run fails with `exhausted`.
    Again { after: Option<Duration>, exhausted: ErrorCode },
    /// What was read is not what was stored, or was spoilt on the way: read again a few times, then the run fails.
    ReadAgain { code: ErrorCode },
    /// Hand the command back at once: nothing is wrong with it.
    HandBack,
    /// The run fails.
    Fail { code: ErrorCode, bury: bool },
    /// The command is done with.
    Forget,
}

impl Trouble {
    pub(crate) fn decision(&self) -> Decision {
        let again = |exhausted| Decision::Again { after: None, exhausted };
        match self {
            Self::Poison(_) | Self::Input(_) | Self::Output(_) => {
                Decision::Fail { code: ErrorCode::Poisoned, bury: true }
            }
            Self::Record(cause) => judged(cause),
            // Records were read again already where they came spoilt; artefacts are read as streams.
            Self::Stage(cause) => match judged(cause.as_ref()) {
                Decision::Fail { code: code @ ErrorCode::ArtefactCorrupt, .. } => Decision::ReadAgain { code },
                other => other,
            },
            Self::Panicked(_) => again(ErrorCode::Internal),
            Self::Stalled => again(ErrorCode::Exhausted),
            Self::Halted => Decision::HandBack,
            Self::Cancelled => Decision::Forget,
        }
    }

    /// The store that is away, if that is what it is.
    pub(crate) fn waits_for(&self) -> Option<WaitReason> {
        let verdict = match self {
            Self::Stage(cause) => cause.verdict(),
            Self::Record(cause) => cause.verdict(),
            _ => return None,
        };
        match verdict {
            Verdict::Wait { on } => Some(on),
            Verdict::Redeliver { .. } | Verdict::FailRun(_) | Verdict::Cancelled => None,
        }
    }

    /// What is written to the log of the process: the stage's own error has no frame of ours around it.
    pub(crate) fn as_error(&self) -> &(dyn Error + 'static) {
        match self {
            Self::Stage(cause) => cause.as_ref(),
            other => other,
        }
    }
}

fn judged(cause: &dyn Judged) -> Decision {
    match cause.verdict() {
        Verdict::Redeliver { after } => Decision::Again { after, exhausted: ErrorCode::Exhausted },
        // The store answers, so it is this command that fails on it.
        Verdict::Wait { .. } => Decision::Again { after: None, exhausted: ErrorCode::Exhausted },
        Verdict::FailRun(code) => Decision::Fail { code, bury: false },
        // The host asked for no end, or it would have said so itself: the stage must try again.
        Verdict::Cancelled => Decision::Again { after: None, exhausted: ErrorCode::Internal },
    }
}
