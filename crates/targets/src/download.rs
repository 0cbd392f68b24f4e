//! The gateway's download endpoint: the bundle stays in staging, from where the gateway serves it.

use async_trait::async_trait;
use export_contract::message::Distribution;
use export_contract::profile::DistributionKind;
use export_contract::run::RunRef;

use crate::delivery::Delivery;
use crate::error::TargetError;
use crate::port::{Removal, Target};

/// Registers the download.
#[derive(Clone, Copy, Debug)]
pub struct Download;

#[async_trait]
impl Target for Download {
    fn kind(&self) -> DistributionKind {
        DistributionKind::Http
    }

    /// The gateway offers bundles of runs that succeeded, and of no others.
    async fn place(&self, _delivery: &Delivery<'_>) -> Result<Option<Distribution>, TargetError> {
        Ok(None)
    }

    async fn distribute(&self, delivery: &Delivery<'_>) -> Result<Distribution, TargetError> {
        let location = format!("/api/export/runs/{}/download", delivery.run().run);
        Ok(Distribution::new(self.kind(), location, delivery.tar(), delivery.expires_at))
    }

    /// The bytes are those of staging, and go with it.
    async fn remove(&self, _run: &RunRef, _distribution: &Distribution) -> Result<Removal, TargetError> {
        Ok(Removal::Removed)
    }
}
