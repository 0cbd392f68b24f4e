//! One delivery of a command, from its arrival to its end.

use std::any::Any;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::{AckKind, Message, consumer};
use bytes::Bytes;
use export_blobs::{ResultError, Workspace};
use export_contract::event::WaitReason;
use export_contract::message::ResultRef;
use export_contract::{LogEvent, PartIndex};
use export_pipeline::{Done, Stage, StageContext, StageInput};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use crate::cancellation::Watched;
use crate::keepalive::{Lease, Liveness};
use crate::metrics::Ending;
use crate::progress::DeliveryTicks;
use crate::publish::{DoneNews, Trail};
use crate::report::{Backoff, Chain};
use crate::worker::Host;
use crate::worker::command::Command;
use crate::worker::step::Step;
use crate::worker::traced;
use crate::worker::trouble::Trouble;

/// How long a stage may take to return after it was told to end.
const UNWIND: Duration = Duration::from_secs(5);

/// What the server does with a command that gets no answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    ack_wait: Duration,
    /// `None` for ever.
    max_deliver: Option<u32>,
}

impl Terms {
    pub(crate) fn of(config: &consumer::Config) -> Self {
        Self { ack_wait: config.ack_wait, max_deliver: u32::try_from(config.max_deliver).ok().filter(|most| *most > 0) }
    }

    fn heartbeat(self) -> Duration {
        (self.ack_wait / 3).max(Duration::from_millis(10))
    }
}

/// A delivery and what is known of it.
pub(crate) struct Delivery {
    pub(crate) terms: Terms,
    pub(crate) subject: String,
    pub(crate) sequence: u64,
    pub(crate) part: Option<PartIndex>,
    pub(crate) payload: Bytes,
    pub(crate) lease: Arc<Lease>,
    pub(crate) trail: Trail,
}

impl Delivery {
    /// Whether the server will not deliver the command again.
    pub(crate) fn is_last(&self) -> bool {
        self.terms.max_deliver.is_some_and(|most| self.lease.delivery() >= most)
    }
}

impl<S: Stage> Host<S> {
    pub(crate) async fn deliver(&self, message: Message, terms: Terms) {
        let (attempt, sequence) = message
            .info()
            .map_or((1, 0), |info| (u32::try_from(info.delivered).unwrap_or(1).max(1), info.stream_sequence));
        let (message, acker) = message.split();
        self.deps.metrics.delivered(self.step, attempt);
        let Some(lease) = self.leases.take(&message.subject, acker, attempt) else {
            tracing::debug!(subject = %message.subject, attempt, "a command that is at work here came again");
            return;
        };
        let lease = Arc::new(lease);
        let mut delivery = Delivery {
            terms,
            subject: message.subject.to_string(),
            sequence,
            trail: Trail::of(message.headers.as_ref()),
            part: None,
            payload: message.payload,
            lease: Arc::clone(&lease),
        };
        let started = Instant::now();
        self.deps.metrics.began(self.step);
        let work = async {
            match Command::read(self.step, &delivery.subject, &delivery.payload) {
                Ok(command) => {
                    delivery.part = command.part;
                    let span = traced::span(self.step, &command, attempt, &delivery.trail);
                    self.command(&command, &mut delivery).instrument(span).await
                }
                Err(poison) => {
                    let run = poison.run().cloned();
                    self.settle(run.as_ref(), &Trouble::Poison(poison), &delivery).await
                }
            }
        };
        // Without heartbeats, as in a process that hangs, the server gives the command to another worker.
        let ending = tokio::select! {
            biased;
            ending = work => ending,
            never = lease.keep(terms.heartbeat()) => match never {},
        };
        self.deps.metrics.ended(self.step, ending, started.elapsed());
    }

    async fn command(&self, command: &Command, delivery: &mut Delivery) -> Ending {
        let watched = self.deps.cancellations.token(&command.run).await;
        match self.attempt(command, delivery, &watched).await {
            Ok(ending) => {
                tell(ending, delivery);
                delivery.lease.settle(AckKind::Ack).await;
                ending
            }
            // Whatever went wrong in a run that was cancelled meanwhile is of no interest.
            Err(_) if watched.token().is_cancelled() => {
                self.settle(Some(&command.run), &Trouble::Cancelled, delivery).await
            }
            Err(trouble) => self.settle(Some(&command.run), &trouble, delivery).await,
        }
    }

    /// Does the command, or finds it done, and publishes.
    async fn attempt(&self, command: &Command, delivery: &mut Delivery, watched: &Watched) -> Result<Ending, Trouble> {
        let workspace = Workspace::new(Arc::clone(&self.deps.store), command.run.clone());
        let phase = self.step.phase();
        if watched.token().is_cancelled() {
            return Err(Trouble::Cancelled);
        }
        let (result, ending) = loop {
            let there = self.patiently(command, watched.token(), || workspace.find_result(phase, command.part)).await?;
            if let Some(result) = there {
                break (result, Ending::Repeated);
            }
            let life = Arc::new(Liveness::new());
            match self.handle(command, delivery, &workspace, watched.token(), &life).await {
                Ok(result) => break (result, Ending::Done),
                Err(trouble) => match trouble.waits_for() {
                    Some(reason) if Box::pin(self.outlast(reason, command, watched.token())).await? => {}
                    _ => return Err(trouble),
                },
            }
        };
        let record = self.patiently(command, watched.token(), || workspace.read_result(&result)).await?;
        let output: S::Output = serde_json::from_slice(&record).map_err(Trouble::Output)?;
        if watched.token().is_cancelled() {
            return Err(Trouble::Cancelled);
        }
        let news = DoneNews {
            run: command.run.clone(),
            phase,
            part: command.part,
            parts: command.part.map_or_else(|| output.fan_out(), |_| command.parts),
            result,
            summary: output.summary(),
        };
        let tell = async {
            self.publisher.announce(&news, &delivery.trail).await;
            if let (Step::AdaptPart, Some(part), Some(parts)) = (self.step, command.part, command.parts) {
                self.publisher.command_next(&command.run, part, parts, &command.input, &delivery.trail).await;
            }
        };
        self.unless_halted(tell).await?;
        Ok(ending)
    }

    /// Lets the stage do the command, and writes the result record.
    async fn handle(
        &self,
        command: &Command,
        delivery: &mut Delivery,
        workspace: &Workspace,
        run_cancelled: &CancellationToken,
        life: &Arc<Liveness>,
    ) -> Result<ResultRef, Trouble> {
        let input = self.input(command, workspace, run_cancelled, &mut delivery.trail).await?;
        let end = run_cancelled.child_token();
        let cx = StageContext::new(
            workspace.clone(),
            self.step.phase(),
            command.part,
            delivery.lease.delivery(),
            end.clone(),
            Arc::new(DeliveryTicks::new(self.ticks.clone(), Arc::clone(life))),
        )
        .with_run_cancellation(run_cancelled.clone());
        let stage = Arc::clone(&self.stage);
        // A task of its own, so that a panic ends here.
        let work = async move { stage.handle(input, &cx).await };
        let mut task = AbortOnDropHandle::new(tokio::spawn(work.in_current_span()));
        let ended = tokio::select! {
            biased;
            ended = &mut task => ended,
            early = self.must_end(life) => {
                end.cancel();
                // What it returns now, it returns because it was told to end.
                if tokio::time::timeout(UNWIND, &mut task).await.is_err() {
                    tracing::warn!("a stage does not return when it is told to; leaving it");
                }
                return Err(early);
            }
        };
        let output = match ended {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => return Err(Trouble::Stage(Box::new(error))),
            Err(crash) => {
                return Err(Trouble::Panicked(
                    crash.try_into_panic().map_or_else(|end| end.to_string(), text_of_panic),
                ));
            }
        };
        self.patiently(command, run_cancelled, || workspace.put_result(self.step.phase(), command.part, &output)).await
    }

    /// Reads what the command is about. The record of a part is that of all parts, so it is kept for the next one.
    async fn input(
        &self,
        command: &Command,
        workspace: &Workspace,
        run_cancelled: &CancellationToken,
        trail: &mut Trail,
    ) -> Result<S::Input, Trouble> {
        let read = async {
            let record = self.patiently(command, run_cancelled, || workspace.read_result(&command.input)).await?;
            S::Input::parse(&record).map(|parsed| (parsed, record.len())).map_err(Trouble::Input)
        };
        let record = if self.step.takes_parts() {
            self.records.get(&command.input, read).await?
        } else {
            Arc::new(read.await?.0)
        };
        if let Some(about) = S::Input::about(&record) {
            traced::learn(&command.run.run, about, trail);
        }
        S::Input::take(record, command.part).map_err(Trouble::Input)
    }

    /// Returns when the stage must end before it is ready.
    async fn must_end(&self, life: &Liveness) -> Trouble {
        tokio::select! {
            () = life.silent_for(self.settings.stall_limit) => {
                self.deps.metrics.stalled(self.step);
                Trouble::Stalled
            }
            () = self.halt.cancelled() => Trouble::Halted,
        }
    }

    /// Awaits something that goes on until it succeeds, unless the worker stops.
    pub(crate) async fn unless_halted<T>(&self, work: impl Future<Output = T>) -> Result<T, Trouble> {
        self.halt.run_until_cancelled(work).await.ok_or(Trouble::Halted)
    }

    /// Does something with result records. While staging is away it is tried again here: a command that is handed back
    /// would use up its deliveries, and there is nothing else that could be done.
    async fn patiently<T, F>(
        &self,
        command: &Command,
        cancelled: &CancellationToken,
        act: impl Fn() -> F,
    ) -> Result<T, Trouble>
    where
        F: Future<Output = Result<T, ResultError>>,
    {
        let mut backoff = Backoff::up_to(Duration::from_secs(10));
        loop {
            match act().await {
                Err(ResultError::Store { key, cause }) if cause.is_transient() => {
                    if Box::pin(self.outlast(WaitReason::Staging, command, cancelled)).await? {
                        continue;
                    }
                    tracing::warn!(key, error = %Chain(&cause), "staging is away; trying again");
                    let wait = cancelled.run_until_cancelled(backoff.wait());
                    self.unless_halted(wait).await?.ok_or(Trouble::Cancelled)?;
                }
                other => return other.map_err(Trouble::Record),
            }
        }
    }

    /// Where a store is away, waits until it is back, with heartbeats and without using up a delivery; says whether it was away.
    async fn outlast(
        &self,
        reason: WaitReason,
        command: &Command,
        cancelled: &CancellationToken,
    ) -> Result<bool, Trouble> {
        let Some(breaker) = self.breakers.of(reason) else { return Ok(false) };
        let tell = |waiting| self.ticks.waiting(&command.run, self.step.phase(), command.part, waiting);
        let wait = cancelled.run_until_cancelled(breaker.outlast(|waiting| tell(Some(waiting))));
        let was_away = self.unless_halted(wait).await?.ok_or(Trouble::Cancelled)?;
        if was_away {
            tell(None);
        }
        Ok(was_away)
    }
}

/// Tells in the log that a step is done; what it is of, its span says.
fn tell(ending: Ending, delivery: &Delivery) {
    let subject = delivery.subject.as_str();
    if ending == Ending::Repeated {
        tracing::info!(event = %LogEvent::StepRepeated, subject, "a step was done before");
    } else {
        tracing::info!(event = %LogEvent::StepDone, subject, "a step is done");
    }
}

fn text_of_panic(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(other) => other.downcast::<&'static str>().map_or_else(|_| "no text".to_owned(), |text| (*text).to_owned()),
    }
}
