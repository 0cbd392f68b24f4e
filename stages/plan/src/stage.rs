//! The stage.

use std::sync::Arc;

use export_canon::digesting::sha256;
use export_canon::jcs;
use export_contract::message::{AdapterRef, RunAdmitted, RunPlanned};
use export_contract::profile::ProfileKind;
use export_contract::run::Phase;
use export_contract::{Digest, Version};
use export_evidence::EvidenceLedger;
use export_evidence::policy::PolicySource;
use export_pipeline::{Stage, StageContext};

use crate::across;
use crate::base::Base;
use crate::error::PlanError;
use crate::refresh;
use crate::snapshot;
use crate::ways::Ways;

/// Plans runs. Holds what the deployment can make and hand over, fixed at start.
#[derive(Debug)]
pub struct Plan {
    ledger: Arc<dyn EvidenceLedger>,
    policy: Arc<dyn PolicySource>,
    adapters: Vec<AdapterRef>,
    ways: Ways,
}

impl Plan {
    /// A planner over `ledger` and `policy` for the registered `adapters` and the `ways` of handing over.
    pub fn new(
        ledger: Arc<dyn EvidenceLedger>,
        policy: Arc<dyn PolicySource>,
        adapters: Vec<AdapterRef>,
        ways: Ways,
    ) -> Self {
        Self { ledger, policy, adapters, ways }
    }
}

impl Stage for Plan {
    const PHASE: Phase = Phase::Plan;
    type Input = RunAdmitted;
    type Output = RunPlanned;
    type Error = PlanError;

    async fn handle(&self, input: RunAdmitted, cx: &StageContext) -> Result<RunPlanned, PlanError> {
        let RunAdmitted { run, profile, mut selectors, options, request, base, previous, .. } = input;
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
        self.ways.check(&profile.config)?;
        let base = match profile.kind {
            ProfileKind::MirrorDelta if !options.reset_baseline => {
                let base = base.ok_or(PlanError::NoBase)?;
                Some(Base::open(&base, cx.workspace().store()).await?)
            }
            _ => None,
        };
        if let Some(base) = &base {
            selectors = base.selectors(&profile, &selectors)?;
        }
        let included = &(&profile.config.include & &profile.kind.record_kinds());
        selectors.kinds = if selectors.kinds.is_empty() { included.clone() } else { &selectors.kinds & included };
        if selectors.kinds.is_empty() {
            return Err(PlanError::NoKinds);
        }
        let policy_snapshot = snapshot::pin(&*self.policy, &profile, &options, cx).await?;
        let committed = self.ledger.watermark(&run.tenant).await.map_err(PlanError::Ledger)?.sequence;
        let watermark = options.watermark.unwrap_or(committed);
        if watermark > committed {
            return Err(PlanError::Watermark { asked: watermark, committed });
        }
        if let Some(base) = &base {
            base.is_not_ahead_of(watermark)?;
        }
        let (as_of, sources, tenants) = if selectors.tenants.is_empty() {
            let as_of = self.ledger.as_of(&run.tenant, watermark).await.map_err(PlanError::Ledger)?;
            let sources = self.ledger.sources(&run.tenant, watermark).await.map_err(PlanError::Ledger)?;
            (as_of, sources, Vec::new())
        } else {
            if profile.kind != ProfileKind::MirrorFull {
                return Err(PlanError::Across(profile.kind));
            }
            let (as_of, tenants) =
                Box::pin(across::pin(&*self.ledger, &selectors.tenants)).await.map_err(PlanError::Ledger)?;
            (as_of, Vec::new(), tenants)
        };
        let config = jcs::to_vec(&profile.config).map_err(PlanError::Digest)?;
        let mut plan = RunPlanned {
            v: Version,
            run,
            config_digest: Digest::from_bytes(*sha256(&config).as_bytes()),
            profile,
            selectors,
            watermark,
            as_of,
            sources,
            tenants,
            policy_snapshot,
            base: base.map(Base::into_export),
            adapter,
            request,
            refresh: None,
        };
        // Of an older position nobody can say that nothing changed since; and a delta of nothing is small already.
        let may_stand =
            watermark == committed && plan.profile.kind != ProfileKind::MirrorDelta && plan.tenants.is_empty();
        if let Some(previous) = previous.filter(|_| may_stand) {
            plan.refresh = Box::pin(refresh::of(&plan, previous, cx)).await?;
        }
        Ok(plan)
    }
}
