//! The end of a command that was not done: again, elsewhere, never, or forgotten.

use std::time::{Duration, SystemTime};

use async_nats::jetstream::AckKind;
use export_contract::message::Outcome;
use export_contract::run::RunRef;
use export_contract::{ErrorCode, Timestamp, Version};
use export_pipeline::Stage;

use crate::dead_letter::DeadLetter;
use crate::metrics::Ending;
use crate::report::Chain;
use crate::subjects::{self, What};
use crate::worker::Host;
use crate::worker::delivery::Delivery;
use crate::worker::trouble::{Decision, Trouble};

impl<S: Stage> Host<S> {
    /// Ends a delivery that was not done.
    pub(crate) async fn settle(
        &self,
        run: Option<&RunRef>,
        trouble: &Trouble,
        delivery: &Delivery,
    ) -> Ending {
        let attempt = delivery.lease.delivery();
        match trouble.decision() {
            Decision::Forget => {
                self.log(run, trouble, delivery, None);
                delivery.lease.settle(AckKind::Ack).await;
                Ending::Cancelled
            }
            Decision::HandBack => {
                delivery.lease.tell(AckKind::Nak(None)).await;
                Ending::Redeliver
            }
            Decision::Again { after, exhausted } => {
                if delivery.terms.max_deliver.is_none_or(|most| attempt < most) {
                    self.log(run, trouble, delivery, None);
                    delivery
                        .lease
                        .tell(AckKind::Nak(Some(
                            after.unwrap_or_else(|| self.delay(attempt)),
                        )))
                        .await;
                    return Ending::Redeliver;
                }
                let message = format!(
                    "the {} step was tried {attempt} times; at last: {trouble}",
                    self.step.durable()
                );
                self.give_up(run, trouble, delivery, (exhausted, true), message)
                    .await
            }
            Decision::Fail { code, bury } => {
                self.give_up(run, trouble, delivery, (code, bury), trouble.to_string())
                    .await
            }
        }
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
                self.publisher
                    .tell(
                        run,
                        What::Failed(self.step.phase()),
                        failed,
                        &delivery.trail,
                    )
                    .await;
            }
        };
        if self.while_holding(delivery, tell).await.is_err() {
            delivery.lease.tell(AckKind::Nak(None)).await;
            return Ending::Redeliver;
        }
        delivery
            .lease
            .settle(if bury { AckKind::Term } else { AckKind::Ack })
            .await;
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
        let subject = subjects::dead_letter(self.step.durable(), &delivery.subject);
        match serde_json::to_vec(&letter) {
            Ok(payload) => {
                self.publisher
                    .commit(&subject, payload.into(), &delivery.trail)
                    .await;
                self.deps.metrics.dead_letter(self.step.durable(), code);
            }
            Err(error) => tracing::error!(%error, "a dead letter cannot be written as JSON"),
        }
    }

    fn delay(&self, attempt: u32) -> Duration {
        let delays = &self.settings.retry_delays;
        let index = usize::try_from(attempt)
            .unwrap_or(usize::MAX)
            .saturating_sub(1);
        delays
            .get(index)
            .or(delays.last())
            .copied()
            .unwrap_or(Duration::from_secs(1))
    }

    fn log(
        &self,
        run: Option<&RunRef>,
        trouble: &Trouble,
        delivery: &Delivery,
        code: Option<ErrorCode>,
    ) {
        let run_id = run.map(|run| run.run.as_str());
        let tenant = run.map(|run| run.tenant.as_str());
        let phase = self.step.logged();
        let attempt = delivery.lease.delivery();
        let correlation_id = delivery.trail.correlation_id();
        let subject = delivery.subject.as_str();
        let error = Chain(trouble.as_error());
        match (trouble, code) {
            (Trouble::Cancelled, _) => {
                tracing::info!(run_id, tenant, phase, attempt, correlation_id, subject, %error, "a command is dropped");
            }
            (_, None) => {
                tracing::warn!(run_id, tenant, phase, attempt, correlation_id, subject, %error, "a step failed and will be tried again");
            }
            (_, Some(code)) => {
                tracing::error!(run_id, tenant, phase, attempt, correlation_id, subject, error_code = %code, %error, "a step failed for good");
            }
        }
    }
}
