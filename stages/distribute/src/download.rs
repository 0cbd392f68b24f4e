//! The gateway's download endpoint: the bundle stays in staging, from where the gateway serves it.

use async_trait::async_trait;
use export_contract::Timestamp;
use export_contract::message::{Distribution, RunSigned};
use export_contract::profile::DistributionKind;

use crate::target::{Target, TargetError};

/// Registers the download.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Download;

#[async_trait]
impl Target for Download {
    fn kind(&self) -> DistributionKind {
        DistributionKind::Http
    }

    async fn distribute(&self, signed: &RunSigned, expires_at: Option<Timestamp>) -> Result<Distribution, TargetError> {
        let manifest = &signed.manifest;
        Ok(Distribution {
            kind: self.kind(),
            location: format!("/api/export/runs/{}/download", manifest.plan.run.run),
            sha256: manifest.bundle.digest.clone(),
            size_bytes: manifest.bundle.bytes,
            expires_at,
        })
    }
}
