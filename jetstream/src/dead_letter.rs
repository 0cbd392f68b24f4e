//! Dead letters as their tenants see them: read from stream `EXPORT_DEAD`, where [`crate::worker`] and others put them.

use async_nats::jetstream::stream::{DirectGetErrorKind, Stream};
use async_trait::async_trait;
use export_contract::dead_letter::KeptLetter;
use export_contract::{RunId, TenantId};
use export_pipeline::{DeadLetters, QueueError};

use crate::connect::{Nats, cannot};
use crate::subjects::{self, ParsedSubject, What};
use crate::topology::DEAD_STREAM;
use crate::worker::Step;

pub use export_contract::dead_letter::DeadLetter;

/// [`DeadLetters`] on NATS. Cheap to clone.
#[derive(Clone, Debug)]
pub struct NatsDeadLetters {
    nats: Nats,
}

impl NatsDeadLetters {
    /// The letters that `nats` keeps.
    pub fn new(nats: Nats) -> Self {
        Self { nats }
    }

    async fn stream(&self) -> Result<Stream<()>, QueueError> {
        self.nats.jetstream().get_stream_no_info(DEAD_STREAM).await.map_err(cannot("reach the dead letters"))
    }
}

#[async_trait]
impl DeadLetters for NatsDeadLetters {
    async fn letters(
        &self,
        tenant: &TenantId,
        run: Option<&RunId>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<KeptLetter>, QueueError> {
        let stream = self.stream().await?;
        let filter = subjects::dead_letters(tenant, run);
        let (mut letters, mut next) = (Vec::new(), after.saturating_add(1));
        while letters.len() < limit {
            match stream.direct_get_next_for_subject(filter.clone(), Some(next)).await {
                Ok(message) => {
                    next = message.sequence.saturating_add(1);
                    letters.extend(read(tenant, &message.subject, message.sequence, &message.payload));
                }
                Err(error) if error.kind() == DirectGetErrorKind::NotFound => break,
                Err(error) => return Err(cannot("read dead letters")(error)),
            }
        }
        Ok(letters)
    }

    async fn letter(&self, tenant: &TenantId, id: u64) -> Result<Option<KeptLetter>, QueueError> {
        // Sequences begin at 1.
        if id == 0 {
            return Ok(None);
        }
        match self.stream().await?.direct_get(id).await {
            Ok(message) => Ok(read(tenant, &message.subject, message.sequence, &message.payload)),
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
            Err(error) => Err(cannot("read a dead letter")(error)),
        }
    }
}

/// The letter in a message; none of what is no letter of the tenant: an advisory of the server, say, or a command that names no run.
fn read(tenant: &TenantId, grave: &str, id: u64, payload: &[u8]) -> Option<KeptLetter> {
    let letter: DeadLetter = serde_json::from_slice(payload).ok()?;
    let ParsedSubject { run, what } = letter.subject.parse().ok()?;
    // The subject of the message is what the broker filters by; the letter must be of the same run.
    if run.tenant != *tenant || grave != subjects::dead_letter(&letter.consumer, &letter.subject) {
        return None;
    }
    let phase = Step::ALL.into_iter().find(|step| step.durable() == letter.consumer).map(Step::phase);
    let part = match what {
        What::PartDone(_, part) | What::PartRetry(_, part, _) => Some(part),
        _ => None,
    };
    Some(KeptLetter { id, run_id: run.run, generation: run.generation, phase, part, letter })
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use export_contract::run::Phase;
    use export_contract::{ErrorCode, PartIndex, Timestamp, Version};

    use super::{DeadLetter, read};
    use crate::subjects;

    #[test]
    fn a_letter_is_shown_to_the_tenant_of_its_run_and_to_no_other() {
        let subject = "export.acme.01k0000000000000000000000a.g2.resolve.part.7.done";
        let letter = DeadLetter {
            v: Version,
            consumer: "adapt".to_owned(),
            subject: subject.to_owned(),
            sequence: 42,
            deliveries: 6,
            code: ErrorCode::Exhausted,
            reason: "the ledger does not answer".to_owned(),
            payload: String::new(),
            at: Timestamp::from(SystemTime::UNIX_EPOCH),
        };
        let payload = serde_json::to_vec(&letter).unwrap();
        let shown = |tenant: &str, grave: &str| read(&tenant.parse().unwrap(), grave, 9, &payload);
        let grave = subjects::dead_letter("adapt", subject);
        let kept = shown("acme", &grave).unwrap();
        assert_eq!((kept.id, kept.phase, kept.part), (9, Some(Phase::Adapt), Some(PartIndex(7))));
        assert_eq!(kept.letter, letter);
        assert_eq!(shown("globex", &grave), None);
        // Who writes a letter of acme below the subjects of another tenant shows it to neither.
        let forged = "export-dead.adapt.globex.01k0000000000000000000000a.g2.resolve.part.7.done";
        for tenant in ["acme", "globex"] {
            assert_eq!(shown(tenant, forged), None, "{tenant}");
        }
    }
}
