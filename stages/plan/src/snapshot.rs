//! Which policy snapshot a run takes.
//!
//! The snapshot is pinned by id and digest, and its findings by number and digest of their export lines: a policy engine may replace
//! either under the same id. Adapt writes them only if they are still the same, so that two runs of one plan cannot differ.

use export_contract::event::ProgressStep;
use export_contract::message::PolicySnapshotRef;
use export_contract::profile::{PolicySnapshotMode, Profile};
use export_contract::run::RunOptions;
use export_evidence::policy::{Findings, PolicySource};
use export_pipeline::{Cancelled, StageContext};

use crate::error::PlanError;

/// Pins the snapshot that the run names, else the newest, where the profile takes one.
pub(crate) async fn pin(
    source: &dyn PolicySource,
    profile: &Profile,
    options: &RunOptions,
    cx: &StageContext,
) -> Result<Option<PolicySnapshotRef>, PlanError> {
    let wanted = options.policy_snapshot_id.as_deref();
    let mode = profile.config.policy_snapshot_mode;
    if !profile.kind.takes_policy_snapshot() {
        return match (mode, wanted) {
            (PolicySnapshotMode::Required, _) => Err(PlanError::NoSnapshot(profile.kind)),
            (_, Some(_)) => Err(PlanError::SnapshotNotTaken { by: format!("`{}` takes none", profile.kind) }),
            (PolicySnapshotMode::Optional | PolicySnapshotMode::None, None) => Ok(None),
        };
    }
    if mode == PolicySnapshotMode::None {
        return match wanted {
            Some(_) => Err(PlanError::SnapshotNotTaken { by: "the profile's policySnapshotMode is `none`".to_owned() }),
            None => Ok(None),
        };
    }
    let tenant = &cx.run().tenant;
    let pinned = async {
        let found = match wanted {
            Some(id) => source.snapshot(tenant, id).await,
            None => source.newest(tenant).await,
        };
        let Some(snapshot) = found.map_err(PlanError::Policy)? else {
            return Ok(None);
        };
        let told = |findings, bytes| cx.progress(ProgressStep::StageProgress, findings, bytes);
        let findings = Findings::read(source, tenant, &snapshot.snapshot_id, told).await.map_err(PlanError::Policy)?;
        Ok(Some(PolicySnapshotRef { findings: Some(findings.reference), ..snapshot.reference() }))
    };
    // A snapshot may have millions of findings: a cancelled run does not wait for them.
    let pinned = cx.cancellation().run_until_cancelled(pinned).await.ok_or(PlanError::Cancelled(Cancelled))??;
    match (pinned, wanted) {
        (Some(snapshot), _) => Ok(Some(snapshot)),
        (None, Some(id)) => Err(PlanError::SnapshotMissing { tenant: tenant.clone(), id: id.to_owned() }),
        (None, None) if mode == PolicySnapshotMode::Required => Err(PlanError::SnapshotsMissing(tenant.clone())),
        (None, None) => Ok(None),
    }
}
