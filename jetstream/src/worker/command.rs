//! Reading a command: from bytes to something that can be done.

use export_contract::PartIndex;
use export_contract::message::{Outcome, ResultRef, StageEvent};
use export_contract::run::RunRef;

use crate::subjects::{ParseSubjectError, ParsedSubject, What};
use crate::worker::step::Step;

/// A command that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) run: RunRef,
    pub(crate) part: Option<PartIndex>,
    pub(crate) parts: Option<u32>,
    /// The record of the step before.
    pub(crate) input: ResultRef,
}

/// Why a message is no command. No other try can help.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Poison {
    #[error("the subject of a command cannot be read")]
    Subject(#[source] ParseSubjectError),
    #[error("a command is not an event that this build reads")]
    Json {
        run: RunRef,
        #[source]
        cause: serde_json::Error,
    },
    #[error("a command contradicts its subject")]
    Contradiction { run: RunRef },
    #[error("an event that commands nothing was sent as a command")]
    NoCommand { run: RunRef },
}

impl Poison {
    /// The run, if the subject names one.
    pub(crate) fn run(&self) -> Option<&RunRef> {
        match self {
            Self::Subject(_) => None,
            Self::Json { run, .. } | Self::Contradiction { run } | Self::NoCommand { run } => Some(run),
        }
    }
}

impl Command {
    pub(crate) fn read(step: Step, subject: &str, payload: &[u8]) -> Result<Self, Poison> {
        let ParsedSubject { run, what } = subject.parse().map_err(Poison::Subject)?;
        let event: StageEvent = match serde_json::from_slice(payload) {
            Ok(event) => event,
            Err(cause) => return Err(Poison::Json { run, cause }),
        };
        let (input, part, parts) = match event.outcome {
            Outcome::Admitted { result } | Outcome::Joined { result } => (result, None, None),
            Outcome::Done { result, part, parts, .. } => (result, part, parts),
            Outcome::Requested | Outcome::Failed { .. } | Outcome::Cancelled { .. } => {
                return Err(Poison::NoCommand { run });
            }
        };
        let named = match what {
            What::PartDone(_, part) | What::PartRetry(_, part, _) => Some(part),
            _ => None,
        };
        if event.run != run || part != named || part.is_some() != step.takes_parts() {
            return Err(Poison::Contradiction { run });
        }
        Ok(Self { run, part, parts, input })
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use export_contract::message::{Outcome, ResultRef, StageEvent, Summary};
    use export_contract::run::RunRef;
    use export_contract::{Digest, PartIndex, Timestamp, Version};

    use super::{Command, Poison};
    use crate::worker::Step;

    fn run() -> RunRef {
        format!("{PREFIX}.admitted").parse::<crate::ParsedSubject>().unwrap().run
    }

    const PREFIX: &str = "export.acme.01k0000000000000000000000a.g1";

    fn event(part: Option<u32>) -> Vec<u8> {
        let result = ResultRef { key: "k".to_owned(), digest: Digest::from_bytes([1; 32]) };
        let outcome = Outcome::Done { result, part: part.map(PartIndex), parts: Some(3), summary: Summary::default() };
        serde_json::to_vec(&StageEvent { v: Version, run: run(), outcome, at: Timestamp::from(SystemTime::UNIX_EPOCH) })
            .unwrap()
    }

    #[test]
    fn a_part_command_names_its_part_in_subject_and_body() {
        let subject = format!("{PREFIX}.resolve.part.2.done");
        assert_eq!(Command::read(Step::AdaptPart, &subject, &event(Some(2))).unwrap().part, Some(PartIndex(2)));
        for (step, body) in
            [(Step::AdaptPart, event(Some(1))), (Step::AdaptPart, event(None)), (Step::Sign, event(Some(2)))]
        {
            assert!(matches!(Command::read(step, &subject, &body), Err(Poison::Contradiction { .. })));
        }
    }

    #[test]
    fn an_operators_retry_is_a_command() {
        let whole = format!("{PREFIX}.sign.retry.1");
        assert_eq!(Command::read(Step::Sign, &whole, &event(None)).unwrap().run, run());
        let part = format!("{PREFIX}.adapt.part.0.retry.1");
        assert_eq!(Command::read(Step::AdaptPart, &part, &event(Some(0))).unwrap().part, Some(PartIndex(0)));
    }

    #[test]
    fn what_is_no_event_is_poison_and_names_the_run_of_its_subject() {
        let poison = Command::read(Step::Sign, &format!("{PREFIX}.manifest.done"), b"{}").unwrap_err();
        assert_eq!(poison.run(), Some(&run()));
    }
}
