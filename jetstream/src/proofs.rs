//! The register of proofs of possession that all gateways share: a KV bucket in memory, where the first to write an entry has seen the
//! proof first, and entries go by their own time to live.
//!
//! What a server without its memory forgot cannot be told any more. So the register goes by the time at which its stream was made, and
//! tells nothing of proofs that are older than that.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_trait::async_trait;
use bytes::Bytes;
use export_authority::{ProofRegister, RegisterUnavailable, Sighting};
use export_pipeline::QueueError;
use tokio::time::Duration;

use crate::connect::{Nats, cannot};
use crate::subjects;
use crate::topology::{self, Topology};

/// [`ProofRegister`] on NATS. Cheap to clone.
#[derive(Clone, Debug)]
pub struct NatsRegister {
    nats: Nats,
    topology: Topology,
    /// When the stream was made, as found over the connection with this number.
    made: Arc<Mutex<Option<(u64, i64)>>>,
}

impl NatsRegister {
    /// The register over `nats`. Waits until it can tell of proofs that are made from now on: about a second after its stream was made.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn open(nats: Nats, topology: Topology) -> Result<Self, QueueError> {
        let register = Self { nats, topology, made: Arc::default() };
        let made = register.made().await?;
        // The clock of the server may be ahead of ours: then proofs are refused for a while, and not waited for.
        for _ in 0..20 {
            if seconds_now() > made {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(register)
    }

    /// When the stream was made, in seconds; makes it where there is none.
    async fn made(&self) -> Result<i64, QueueError> {
        // Over another connection it may be another server, which forgot.
        let connects = *self.nats.connects().borrow();
        if let Some((at, made)) = *self.lock()
            && at == connects
        {
            return Ok(made);
        }
        let act = || "look for the register of proofs";
        let jetstream = self.nats.jetstream();
        let stream = if let Ok(stream) = jetstream.get_stream(subjects::PROOFS_STREAM).await {
            stream
        } else {
            topology::ensure_stream(&self.nats, self.topology.proofs()).await?;
            jetstream.get_stream(subjects::PROOFS_STREAM).await.map_err(cannot(act()))?
        };
        let made = stream.cached_info().created.unix_timestamp();
        *self.lock() = Some((connects, made));
        Ok(made)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(u64, i64)>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells only of proofs that were made after the register.
    async fn remembers(&self, sighting: &Sighting) -> Result<(), RegisterUnavailable> {
        let made = self.made().await.map_err(|cause| unavailable("reach the register of proofs", cause))?;
        if sighting.issued_at > made {
            Ok(())
        } else {
            Err(RegisterUnavailable { act: "tell of proofs that are older than their register", cause: None })
        }
    }
}

#[async_trait]
impl ProofRegister for NatsRegister {
    async fn first_seen(&self, sighting: &Sighting) -> Result<bool, RegisterUnavailable> {
        self.remembers(sighting).await?;
        let left = u64::try_from(sighting.until.saturating_sub(sighting.now)).unwrap_or(0).max(1);
        let entry = PublishMessage::build()
            .payload(Bytes::new())
            .expected_last_subject_sequence(0)
            .ttl(Duration::from_secs(left));
        let subject = subjects::proof(&sighting.proof);
        let sent = async { self.nats.jetstream().send_publish(subject, entry).await?.await };
        match sent.await {
            // Whether it was the register that we looked at before: a server may have come back in between.
            Ok(_) => self.remembers(sighting).await.map(|()| true),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(false),
            Err(error) => {
                *self.lock() = None;
                Err(unavailable("write to the register of proofs", error))
            }
        }
    }
}

fn unavailable<E>(act: &'static str, cause: E) -> RegisterUnavailable
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    RegisterUnavailable { act, cause: Some(cause.into()) }
}

fn seconds_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    i64::try_from(since).unwrap_or(i64::MAX)
}
