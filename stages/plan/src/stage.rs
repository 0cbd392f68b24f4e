//! The stage.

use std::collections::BTreeSet;
use std::sync::Arc;

use export_canon::digesting::sha256;
use export_canon::jcs;
use export_contract::message::{AdapterRef, RunAdmitted, RunPlanned};
use export_contract::profile::{DistributionKind, PolicySnapshotMode};
use export_contract::run::Phase;
use export_contract::{Digest, Version};
use export_evidence::EvidenceLedger;
use export_pipeline::{Stage, StageContext};

use crate::error::PlanError;

/// Plans runs. Holds what the deployment can make and hand over, fixed at start.
#[derive(Debug)]
pub struct Plan {
    ledger: Arc<dyn EvidenceLedger>,
    adapters: Vec<AdapterRef>,
    distribution: BTreeSet<DistributionKind>,
}

impl Plan {
    /// A planner over `ledger` for the registered `adapters` and the allowed ways of `distribution`.
    pub fn new(
        ledger: Arc<dyn EvidenceLedger>,
        adapters: Vec<AdapterRef>,
        distribution: BTreeSet<DistributionKind>,
    ) -> Self {
        Self { ledger, adapters, distribution }
    }
}

impl Stage for Plan {
    const PHASE: Phase = Phase::Plan;
    type Input = RunAdmitted;
    type Output = RunPlanned;
    type Error = PlanError;

    async fn handle(&self, input: RunAdmitted, _cx: &StageContext) -> Result<RunPlanned, PlanError> {
        let RunAdmitted { run, profile, mut selectors, options, request, .. } = input;
        profile.config.check().map_err(PlanError::Profile)?;
        profile.config.check_for(profile.kind).map_err(PlanError::Profile)?;
        let made = profile.kind.schema_version();
        if let Some(asked) = profile.config.schema_version.filter(|asked| Some(*asked) != made) {
            return Err(PlanError::Schema { asked, kind: profile.kind, made });
        }
        let adapter = self
            .adapters
            .iter()
            .find(|adapter| adapter.name == profile.kind.as_str())
            .cloned()
            .ok_or(PlanError::NoAdapter(profile.kind))?;
        if let Some(refused) = profile.config.distribution.difference(&self.distribution).next() {
            return Err(PlanError::Distribution(*refused));
        }
        if profile.config.policy_snapshot_mode == PolicySnapshotMode::Required {
            return Err(PlanError::NoSnapshot(profile.kind));
        }
        let included = &(&profile.config.include & &profile.kind.record_kinds());
        selectors.kinds = if selectors.kinds.is_empty() { included.clone() } else { &selectors.kinds & included };
        if selectors.kinds.is_empty() {
            return Err(PlanError::NoKinds);
        }
        let committed = self.ledger.watermark(&run.tenant).await.map_err(PlanError::Ledger)?.sequence;
        let watermark = options.watermark.unwrap_or(committed);
        if watermark > committed {
            return Err(PlanError::Watermark { asked: watermark, committed });
        }
        let as_of = self.ledger.as_of(&run.tenant, watermark).await.map_err(PlanError::Ledger)?;
        let sources = self.ledger.sources(&run.tenant, watermark).await.map_err(PlanError::Ledger)?;
        let config = jcs::to_vec(&profile.config).map_err(PlanError::Digest)?;
        Ok(RunPlanned {
            v: Version,
            run,
            config_digest: Digest::from_bytes(*sha256(&config).as_bytes()),
            profile,
            selectors,
            watermark,
            as_of,
            sources,
            policy_snapshot: None,
            adapter,
            request,
        })
    }
}
