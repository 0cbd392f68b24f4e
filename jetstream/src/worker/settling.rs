//! The end of a command that was not done: again, elsewhere, never, or forgotten.

use std::time::{Duration, SystemTime};

use async_nats::jetstream::AckKind;
use export_contract::message::Outcome;
use export_contract::run::RunRef;
use export_contract::{ErrorCode, LogEvent, Timestamp, Version};
use export_pipeline::Stage;

use crate::dead_letter::DeadLetter;
use crate::metrics::Ending;
use crate::report::Chain;
use crate::subjects::{ParsedSubject, What};
use crate::worker::Host;
use crate::worker::delivery::Delivery;
use crate::worker::trouble::{Decision, Trouble};

/// How long a worker that stops tries to command anew what it could not finish.
const HAND_OVER: Duration = Duration::from_secs(5);

/// Waits before bytes are read again that were not those that were stored.
const READ_AGAIN: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(6)];

impl<S: Stage> Host<S> {
    /// Ends a delivery that was not done.
    pub(crate) async fn settle(&self, run: Option<&RunRef>, trouble: &Trouble, delivery: &Delivery) -> Ending {
        let attempt = delivery.lease.delivery();
        match trouble.decision() {
            Decision::Forget => {
                self.log(run, trouble, delivery, None);
                delivery.lease.settle(AckKind::Ack).await;
                Ending::Cancelled
            }
            Decision::HandBack => {
                let (phase, subject) = (self.step.logged(), delivery.subject.as_str());
                tracing::info!(event = %LogEvent::StepHandedBack, phase, attempt, subject, "a command goes to another worker");
                self.hand_back(run, delivery).await;
                Ending::Redeliver
            }
            Decision::Again { after, exhausted } => {
                if !delivery.is_last() {
                    self.log(run, trouble, delivery, None);
                    delivery.lease.tell(AckKind::Nak(Some(after.unwrap_or_else(|| self.delay(attempt))))).await;
                    return Ending::Redeliver;
                }
                let message = format!("the {} step was tried {attempt} times; at last: {trouble}", self.step.durable());
                self.give_up(run, trouble, delivery, (exhausted, true), message).await
            }
            Decision::ReadAgain { code } => {
                match READ_AGAIN.get(usize::try_from(attempt).unwrap_or(usize::MAX).saturating_sub(1)) {
                    Some(wait) if !delivery.is_last() => {
                        self.log(run, trouble, delivery, None);
                        delivery.lease.tell(AckKind::Nak(Some(*wait))).await;
                        Ending::Redeliver
                    }
                    _ => self.give_up(run, trouble, delivery, (code, false), trouble.to_string()).await,
                }
            }
            Decision::Fail { code, bury } => {
                self.give_up(run, trouble, delivery, (code, bury), trouble.to_string()).await
            }
        }
    }

    /// Gives a command that nothing is wrong with to another worker. The server would not deliver it once more if this
    /// was the last time, so it is commanded anew.
    async fn hand_back(&self, run: Option<&RunRef>, delivery: &Delivery) {
        if delivery.is_last()
            && let Some(run) = run
        {
            let phase = self.step.phase();
            let what = match delivery.part {
                Some(part) => What::PartRetry(phase, part, delivery.sequence),
                None => What::Retry(phase, delivery.sequence),
            };
            let subject = ParsedSubject { run: run.clone(), what }.to_string();
            let commit = self.publisher.commit(&subject, delivery.payload.clone(), &delivery.trail);
            if tokio::time::timeout(HAND_OVER, commit).await.is_ok() {
                return delivery.lease.settle(AckKind::Ack).await;
            }
        }
        delivery.lease.tell(AckKind::Nak(None)).await;
    }

    async fn give_up(
        &self,
        run: Option<&RunRef>,
        trouble: &Trouble,
        delivery: &Delivery,
        (code, bury): (ErrorCode, bool),
        message: String,
    ) -> Ending {
        self.log(run, trouble, delivery, Some(code));
        let tell = async {
            if bury {
                self.bury(trouble, delivery, code).await;
            }
            if let Some(run) = run {
                let failed = Outcome::Failed { code, message };
                self.publisher.tell(run, What::Failed(self.step.phase()), failed, &delivery.trail).await;
            }
        };
        if self.unless_halted(tell).await.is_err() {
            delivery.lease.tell(AckKind::Nak(None)).await;
            return Ending::Redeliver;
        }
        delivery.lease.settle(if bury { AckKind::Term } else { AckKind::Ack }).await;
        Ending::Failed
    }

    async fn bury(&self, trouble: &Trouble, delivery: &Delivery, code: ErrorCode) {
        let letter = DeadLetter {
            v: Version,
            consumer: self.step.durable().to_owned(),
            subject: delivery.subject.clone(),
            sequence: delivery.sequence,
            deliveries: delivery.lease.delivery(),
            code,
            reason: Chain(trouble.as_error()).to_string(),
            payload: String::from_utf8_lossy(&delivery.payload).into_owned(),
            at: Timestamp::from(SystemTime::now()),
        };
        self.publisher.bury(&letter, &delivery.trail).await;
        self.deps.metrics.dead_letter(self.step.durable(), code);
    }

    fn delay(&self, attempt: u32) -> Duration {
        let delays = &self.settings.retry_delays;
        let index = usize::try_from(attempt).unwrap_or(usize::MAX).saturating_sub(1);
        delays.get(index).or(delays.last()).copied().unwrap_or(Duration::from_secs(1))
    }

    fn log(&self, run: Option<&RunRef>, trouble: &Trouble, delivery: &Delivery, code: Option<ErrorCode>) {
        let run_id = run.map(|run| run.run.as_str());
        let tenant = run.map(|run| run.tenant.as_str());
        let phase = self.step.logged();
        let attempt = delivery.lease.delivery();
        let correlation_id = delivery.trail.correlation_id();
        let subject = delivery.subject.as_str();
        let error = Chain(trouble.as_error());
        match (trouble, code) {
            (Trouble::Cancelled, _) => {
                tracing::info!(event = %LogEvent::StepDropped, run_id, tenant, phase, attempt, correlation_id, subject, "a command is dropped");
            }
            (_, None) => {
                tracing::warn!(event = %LogEvent::StepRetried, run_id, tenant, phase, attempt, correlation_id, subject, %error, "a step failed and will be tried again");
            }
            (_, Some(code)) => {
                tracing::Span::current().record("error_code", code.as_str());
                tracing::error!(event = %LogEvent::StepFailed, run_id, tenant, phase, attempt, correlation_id, subject, error_code = %code, %error, "a step failed for good");
            }
        }
    }
}
