//! The stage.

use std::sync::Arc;

use export_contract::Version;
use export_contract::message::{RunDistributed, RunSigned};
use export_contract::run::Phase;
use export_pipeline::{Stage, StageContext};
use export_targets::{Delivery, Target};

use crate::error::DistributeError;

const DAY: i64 = 86_400;

/// Hands bundles over.
#[derive(Debug)]
pub struct Distribute {
    targets: Vec<Arc<dyn Target>>,
    default_days: Option<u32>,
}

impl Distribute {
    /// A stage with these targets.
    pub fn new(targets: Vec<Arc<dyn Target>>) -> Self {
        Self { targets, default_days: None }
    }

    /// Keeps bundles for so many days whose profiles say nothing about that.
    #[must_use]
    pub fn keeping(mut self, default_days: Option<u32>) -> Self {
        self.default_days = default_days;
        self
    }
}

impl Stage for Distribute {
    const PHASE: Phase = Phase::Distribute;
    type Input = RunSigned;
    type Output = RunDistributed;
    type Error = DistributeError;

    async fn handle(&self, signed: RunSigned, cx: &StageContext) -> Result<RunDistributed, DistributeError> {
        let plan = &signed.manifest.plan;
        let config = &plan.profile.config;
        let expires_at = match &plan.refresh {
            // A bundle that was only confirmed is kept as long as the run that made it.
            Some(refresh) => refresh.expires_at,
            // From a time that is in the record, so that a second delivery says the same, to a lock too.
            None => {
                let default = self.default_days.filter(|_| config.keep_last.is_none());
                let from = plan.request.admitted_at;
                config.retention_days.or(default).map(|days| from.plus_seconds(i64::from(days) * DAY))
            }
        };
        // All ways are looked up first: a run that cannot be handed over whole is not handed over in part.
        let find = |kind| {
            let found = self.targets.iter().find(|target| target.kind() == kind);
            found.ok_or(DistributeError::NotAllowed(kind))
        };
        let targets = config.distribution.iter().copied().map(find).collect::<Result<Vec<_>, _>>()?;
        let mut distributions = Vec::new();
        for target in targets {
            cx.check().map_err(DistributeError::Cancelled)?;
            let delivery = Delivery { signed: &signed, cx, expires_at };
            let failed = |cause| DistributeError::Target { kind: target.kind(), cause };
            // Before anything is seen there: whoever ends the run otherwise than well takes it back from what is on record.
            if let Some(place) = target.place(&delivery).await.map_err(failed)? {
                cx.workspace().put_hand_over(&place).await.map_err(DistributeError::Record)?;
            }
            distributions.push(target.distribute(&delivery).await.map_err(failed)?);
        }
        Ok(RunDistributed { v: Version, signed, distributions })
    }
}
