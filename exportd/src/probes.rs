//! What readiness asks.

use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use export_blobs::BlobStore;
use export_evidence::EvidenceLedger;
use export_gateway::admin::Probe;
use export_jetstream::Nats;
use export_runs::RunStore;
use export_signing::Signers;

/// A dependency of a role.
pub(crate) enum Dependency {
    Broker(Nats),
    RunLedger(Arc<dyn RunStore>),
    EvidenceLedger(Arc<dyn EvidenceLedger>),
    Staging(Arc<dyn BlobStore>),
    Signers(Signers),
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
        }
    }

    async fn check(&self) -> Result<(), String> {
        match self {
            Self::Broker(nats) => nats.round_trip().await.map_err(chain),
            Self::RunLedger(ledger) => ledger.check().await.map_err(chain),
            Self::EvidenceLedger(ledger) => ledger.check().await.map_err(chain),
            Self::Staging(staging) => staging.check().await.map_err(chain),
            Self::Signers(signers) => signers.check().await.map_err(chain),
        }
    }
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
