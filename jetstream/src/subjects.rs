//! Every subject, built and parsed in one place.
//!
//! ```text
//! export.<tenant>.<run>.g<n>.requested                      hint: a pending run was written
//! export.<tenant>.<run>.g<n>.admitted                       command of plan
//! export.<tenant>.<run>.g<n>.cancelled
//! export.<tenant>.<run>.g<n>.<phase>.done                   command of the next phase
//! export.<tenant>.<run>.g<n>.<phase>.part.<p>.done          resolve: command of adapt; adapt: a part is written
//! export.<tenant>.<run>.g<n>.adapt.joined                   command of assemble
//! export.<tenant>.<run>.g<n>.<phase>.failed
//! export.<tenant>.<run>.g<n>.<phase>.retry.<n>              command again
//! export.<tenant>.<run>.g<n>.<phase>.part.<p>.retry.<n>     the same for one part
//! progress.<tenant>.<run>.<phase>                           ticks, lossy
//! progress.<tenant>.<run>.waiting                           that the run waits for a store, or goes on; lossy
//! recorded.<tenant>.<run>                                   the run's timeline grew; core NATS, lossy
//! export-dead.<step>.<what follows `export.`>               dead letters
//! ```
//!
//! The generation stands in every subject of the log (design D19), so that a replay does not meet the compare and set
//! of the run's earlier life: not even in `requested` and `cancelled`.

use std::fmt;
use std::str::FromStr;

use export_contract::run::{Phase, RunRef};
use export_contract::{PartIndex, RunId, TenantId};

/// Everything on the log.
pub const LOG: &str = "export.>";
/// Every progress tick.
pub const PROGRESS: &str = "progress.>";
/// Every dead letter.
pub const DEAD: &str = "export-dead.>";
/// The server's own notes about commands that were delivered too often; they are lossy, so a second net only.
pub const MAX_DELIVERIES: &str = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.EXPORT.>";
/// The server's own notes about commands that a worker gave up.
pub const TERMINATED: &str = "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.EXPORT.>";

/// What a subject of the log says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// A pending run was written.
    Requested,
    /// The run has a slot.
    Admitted,
    /// The run was cancelled.
    Cancelled,
    /// A phase is done.
    Done(Phase),
    /// A part of a phase is done, or in resolve: is there to be adapted.
    PartDone(Phase, PartIndex),
    /// Every part is written.
    Joined,
    /// A phase gave up.
    Failed(Phase),
    /// A phase is commanded again, by an operator, by a worker that stops at the last delivery, or by the
    /// reconciler because the command with this sequence was lost.
    Retry(Phase, u64),
    /// The same for one part.
    PartRetry(Phase, PartIndex, u64),
}

impl What {
    /// Whether nothing more is to come of the run.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Cancelled | Self::Failed(_) | Self::Done(Phase::Distribute))
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested => f.write_str("requested"),
            Self::Admitted => f.write_str("admitted"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Done(phase) => write!(f, "{phase}.done"),
            Self::PartDone(phase, part) => write!(f, "{phase}.part.{part}.done"),
            Self::Joined => write!(f, "{}.joined", Phase::Adapt),
            Self::Failed(phase) => write!(f, "{phase}.failed"),
            Self::Retry(phase, number) => write!(f, "{phase}.retry.{number}"),
            Self::PartRetry(phase, part, number) => write!(f, "{phase}.part.{part}.retry.{number}"),
        }
    }
}

/// A subject of the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ParsedSubject {
    /// Which run and generation.
    pub run: RunRef,
    /// What happened.
    pub what: What,
}

/// A subject that is not one of the log's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a subject of the log")]
pub struct ParseSubjectError(String);

impl fmt::Display for ParsedSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RunRef { tenant, run, generation } = &self.run;
        write!(f, "export.{tenant}.{run}.{generation}.{}", self.what)
    }
}

impl FromStr for ParsedSubject {
    type Err = ParseSubjectError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| ParseSubjectError(text.chars().take(200).collect()))
    }
}

fn parse(text: &str) -> Option<ParsedSubject> {
    let mut tokens = text.strip_prefix("export.")?.split('.');
    let run = run_ref(&mut tokens)?;
    let rest: Vec<&str> = tokens.collect();
    let what = match *rest.as_slice() {
        ["requested"] => What::Requested,
        ["admitted"] => What::Admitted,
        ["cancelled"] => What::Cancelled,
        ["adapt", "joined"] => What::Joined,
        [phase, "done"] => What::Done(phase.parse().ok()?),
        [phase, "failed"] => What::Failed(phase.parse().ok()?),
        [phase, "retry", number] => What::Retry(phase.parse().ok()?, number.parse().ok()?),
        [phase, "part", part, "done"] => What::PartDone(phase.parse().ok()?, PartIndex(part.parse().ok()?)),
        [phase, "part", part, "retry", number] => {
            What::PartRetry(phase.parse().ok()?, PartIndex(part.parse().ok()?), number.parse().ok()?)
        }
        _ => return None,
    };
    let parsed = ParsedSubject { run, what };
    // `g01` and `part.+1` would be second spellings of a subject, and slip past its compare and set.
    (parsed.to_string() == text).then_some(parsed)
}

fn run_ref<'a>(tokens: &mut impl Iterator<Item = &'a str>) -> Option<RunRef> {
    Some(RunRef {
        tenant: tokens.next()?.parse().ok()?,
        run: tokens.next()?.parse().ok()?,
        generation: tokens.next()?.parse().ok()?,
    })
}

/// A filter over the log for any run: `what` as in the table above, `*` for a number.
pub(crate) fn any_run(what: &str) -> String {
    format!("export.*.*.*.{what}")
}

/// Where progress ticks of a phase of a run go.
pub fn progress(run: &RunRef, phase: Phase) -> String {
    format!("progress.{}.{}.{phase}", run.tenant, run.run)
}

/// Where it is told that a run waits, and that it goes on; the last word is kept.
pub fn waiting(tenant: &TenantId, run: &RunId) -> String {
    format!("progress.{tenant}.{run}.waiting")
}

/// Every progress tick of a run.
pub fn progress_of(tenant: &TenantId, run: &RunId) -> String {
    format!("progress.{tenant}.{run}.>")
}

/// Where it is told that a run's timeline grew.
pub fn recorded(tenant: &TenantId, run: &RunId) -> String {
    format!("recorded.{tenant}.{run}")
}

/// Where the dead letter of a command goes; `consumer` is what could not take it.
pub fn dead_letter(consumer: &str, command: &str) -> String {
    format!("export-dead.{consumer}.{}", command.strip_prefix("export.").unwrap_or(command))
}

/// Every dead letter of a tenant, or of one run of it.
pub(crate) fn dead_letters(tenant: &TenantId, run: Option<&RunId>) -> String {
    match run {
        Some(run) => format!("export-dead.*.{tenant}.{run}.>"),
        None => format!("export-dead.*.{tenant}.>"),
    }
}

/// Stream below the KV bucket of [`crate::topology::CONTROL_BUCKET`].
pub(crate) const CONTROL_STREAM: &str = "KV_export_control";
/// Every cancelled run in that stream.
pub(crate) const CANCELS: &str = "$KV.export_control.cancel.>";

/// Stream below the KV bucket of [`crate::topology::PROOFS_BUCKET`].
pub(crate) const PROOFS_STREAM: &str = "KV_export_proofs";

/// The KV entry that says a proof was seen.
pub(crate) fn proof(digest: &[u8; 32]) -> String {
    digest.iter().fold("$KV.export_proofs.".to_owned(), |name, byte| format!("{name}{byte:02x}"))
}

/// The KV entry that says a run is cancelled.
pub(crate) fn cancel(run: &RunRef) -> String {
    format!("$KV.export_control.cancel.{}.{}.{}", run.tenant, run.run, run.generation)
}

/// The run that a KV entry says is cancelled.
pub(crate) fn parse_cancel(subject: &str) -> Option<RunRef> {
    let mut tokens = subject.strip_prefix("$KV.export_control.cancel.")?.split('.');
    let run = run_ref(&mut tokens)?;
    tokens.next().is_none().then_some(run)
}

#[cfg(test)]
mod tests {
    use export_contract::PartIndex;
    use export_contract::run::Phase;

    use super::{ParsedSubject, What, cancel, parse_cancel};

    const RUN: &str = "export.acme.01k0000000000000000000000a.g2";

    #[test]
    fn every_subject_is_read_as_it_was_written() {
        let some = PartIndex(7);
        let mut all = vec![What::Requested, What::Admitted, What::Cancelled, What::Joined];
        for phase in Phase::ALL {
            all.extend([What::Done(phase), What::Failed(phase), What::PartDone(phase, some)]);
            all.extend([What::Retry(phase, 3), What::PartRetry(phase, some, 3)]);
        }
        let run = format!("{RUN}.admitted").parse::<ParsedSubject>().unwrap().run;
        for what in all {
            let subject = ParsedSubject { run: run.clone(), what };
            assert_eq!(subject.to_string().parse::<ParsedSubject>().unwrap(), subject);
        }
    }

    #[test]
    fn a_second_spelling_of_a_subject_is_refused() {
        for bad in [
            "plan.part.07.done",
            "plan.part.+7.done",
            "plan.retry.03",
            "plan",
            "plan.done.done",
            "adapt.part.1.joined",
            "",
        ] {
            assert!(format!("{RUN}.{bad}").parse::<ParsedSubject>().is_err(), "{bad}");
        }
        assert!("export.acme.01k0000000000000000000000a.g02.admitted".parse::<ParsedSubject>().is_err());
        assert!("export.ACME.01k0000000000000000000000a.g2.admitted".parse::<ParsedSubject>().is_err());
    }

    #[test]
    fn a_cancel_entry_names_one_generation_of_a_run() {
        let run = format!("{RUN}.admitted").parse::<ParsedSubject>().unwrap().run;
        assert_eq!(parse_cancel(&cancel(&run)), Some(run));
        assert_eq!(parse_cancel("$KV.export_control.cancel.acme"), None);
    }
}
