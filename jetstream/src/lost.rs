//! Commands that nobody will do: they were delivered, are with no worker any more, and their step is not done.
//!
//! That should not be. A worker acknowledges a command behind the event that it leads to, and a command that is
//! delivered too often fails its run (see [`crate::exhaustion`]). But what the server notes of acknowledgements and of
//! exhaustion may be ahead of the log after a crash of its own, and its advisories are lossy. The reconciler asks here
//! about runs that are silent.

use async_nats::jetstream::consumer;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use export_contract::PartIndex;
use export_contract::run::{Phase, RunRef};
use export_pipeline::QueueError;

use crate::connect::{Nats, cannot};
use crate::publish::{Committed, Publisher, Trail};
use crate::subjects::{ParsedSubject, What};
use crate::topology::LOG_STREAM;
use crate::worker::Step;

/// Puts the newest command of a step, or of a part of it, on the log anew if it is lost; says whether it was.
pub(crate) async fn command_again(
    nats: &Nats,
    publisher: &Publisher,
    run: &RunRef,
    phase: Phase,
    part: Option<PartIndex>,
) -> Result<bool, QueueError> {
    let step = Step::of(phase, part);
    let log: Stream<()> = nats.jetstream().get_stream_no_info(LOG_STREAM).await.map_err(cannot("reach the log"))?;
    let Some(command) = newest_command(&log, run, step, part).await? else { return Ok(false) };
    let info = log
        .consumer_info(step.durable())
        .await
        .map_err(cannot(format!("ask what became of the commands of {}", step.durable())))?;
    if !is_lost(&info, command.sequence) {
        return Ok(false);
    }
    // Asked after the consumer: what a worker acknowledged before, it published before.
    let done = part.map_or(What::Done(phase), |part| What::PartDone(phase, part));
    for end in [done, What::Failed(phase), What::Cancelled] {
        if last(&log, &subject(run, end)).await?.is_some() {
            return Ok(false);
        }
    }
    // Named after the command that it stands for, so that of several that ask one commands, and a lost one may follow a lost one.
    let again = match part {
        Some(part) => What::PartRetry(phase, part, command.sequence),
        None => What::Retry(phase, command.sequence),
    };
    let trail = Trail::of(Some(&command.headers));
    Ok(publisher.commit(&subject(run, again), command.payload, &trail).await == Committed::Now)
}

/// Whether a command is neither to be delivered yet, nor with a worker, nor to be delivered again.
fn is_lost(info: &consumer::Info, sequence: u64) -> bool {
    info.delivered.stream_sequence >= sequence
        && (info.ack_floor.stream_sequence >= sequence || info.num_ack_pending == 0)
}

async fn newest_command(
    log: &Stream<()>,
    run: &RunRef,
    step: Step,
    part: Option<PartIndex>,
) -> Result<Option<StreamMessage>, QueueError> {
    let first = last(log, &subject(run, step.command(part))).await?;
    let prefix = part.map_or_else(String::new, |part| format!("part.{part}."));
    let RunRef { tenant, run, generation } = run;
    let again = format!("export.{tenant}.{run}.{generation}.{}.{prefix}retry.*", step.phase());
    let again = last(log, &again).await?;
    Ok(first.into_iter().chain(again).max_by_key(|command| command.sequence))
}

async fn last(log: &Stream<()>, subject: &str) -> Result<Option<StreamMessage>, QueueError> {
    match log.get_last_raw_message_by_subject(subject).await {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(cannot(format!("read `{subject}`"))(error)),
    }
}

fn subject(run: &RunRef, what: What) -> String {
    ParsedSubject { run: run.clone(), what }.to_string()
}
