//! What readiness asks.

use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use export_adapt::Registry;
use export_blobs::BlobStore;
use export_contract::Digest;
use export_evidence::EvidenceLedger;
use export_gateway::admin::Probe;
use export_jetstream::{MAX_SKEW, Nats};
use export_runs::RunStore;
use export_signing::Signers;

/// A dependency of a role.
pub(crate) enum Dependency {
    Broker(Nats),
    RunLedger(Arc<dyn RunStore>),
    EvidenceLedger(Arc<dyn EvidenceLedger>),
    Staging(Arc<dyn BlobStore>),
    Signers(Signers),
    /// The adapters, and their digest when they were registered.
    Adapters(Registry, Digest),
    /// The machine's own clock, by the broker's.
    Clock(Nats),
}

#[async_trait]
impl Probe for Dependency {
    fn name(&self) -> &'static str {
        match self {
            Self::Broker(_) => "broker",
            Self::RunLedger(_) => "run-ledger",
            Self::EvidenceLedger(_) => "evidence-ledger",
            Self::Staging(_) => "staging",
            Self::Signers(_) => "signer",
            Self::Adapters(..) => "adapters",
            Self::Clock(_) => "clock",
        }
    }

    async fn check(&self) -> Result<(), String> {
        match self {
            Self::Broker(nats) => nats.round_trip().await.map_err(chain),
            Self::RunLedger(ledger) => ledger.check().await.map_err(chain),
            Self::EvidenceLedger(ledger) => ledger.check().await.map_err(chain),
            Self::Staging(staging) => staging.check().await.map_err(chain),
            Self::Signers(signers) => signers.check().await.map_err(chain),
            Self::Adapters(registry, registered) => is_as_registered(&registry.digest(), registered),
            Self::Clock(nats) => {
                let skew = nats.clock_skew().await.map_err(chain)?;
                if skew.is_too_far() { Err(told(skew.ahead_micros)) } else { Ok(()) }
            }
        }
    }
}

/// Names and versions of the adapters decide the bytes of bundles, and plans name them: they do not change while a process runs.
fn is_as_registered(found: &Digest, registered: &Digest) -> Result<(), String> {
    if found == registered { Ok(()) } else { Err(format!("the adapters are {found}, registered were {registered}")) }
}

/// How far the clock is off, for people.
fn told(ahead_micros: i64) -> String {
    let (seconds, tenths) = (ahead_micros.unsigned_abs() / 1_000_000, ahead_micros.unsigned_abs() / 100_000 % 10);
    let side = if ahead_micros < 0 { "behind" } else { "ahead of" };
    format!("the clock is {seconds}.{tenths} s {side} the broker's; {} s are allowed", MAX_SKEW.as_secs())
}

/// The error and its causes in one line.
fn chain(error: impl Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use export_contract::Digest;

    use super::{is_as_registered, told};

    #[test]
    fn what_is_not_as_it_should_be_is_said() {
        let digest = |byte| Digest::from_bytes([byte; 32]);
        assert_eq!(is_as_registered(&digest(1), &digest(1)), Ok(()));
        assert!(is_as_registered(&digest(1), &digest(2)).unwrap_err().contains(digest(2).as_str()));
        assert_eq!(told(-7_250_000), "the clock is 7.2 s behind the broker's; 5 s are allowed");
    }
}
