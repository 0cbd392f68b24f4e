//! What a delta builds upon: a mirror of the same tenant, profile and selectors, not newer than the delta, and still in staging.

use std::sync::Arc;

use export_blobs::{BlobStore, Workspace};
use export_contract::Sequence;
use export_contract::message::{BaseExport, BaseRun, ManifestWritten, ResultRef, RunPlanned};
use export_contract::profile::{Profile, ProfileKind};
use export_contract::run::Phase;
use export_contract::selectors::Selectors;

use crate::error::PlanError;

/// A base that was found.
pub(crate) struct Base {
    run: BaseRun,
    plan: RunPlanned,
    adapted: ResultRef,
}

impl Base {
    /// Reads what the base's run has left in staging.
    pub(crate) async fn open(run: &BaseRun, store: &Arc<dyn BlobStore>) -> Result<Self, PlanError> {
        let workspace = Workspace::new(Arc::clone(store), run.run.clone());
        let missing = || PlanError::BaseGone { run: run.run.run.clone() };
        let adapted = workspace.find_result(Phase::Adapt, None).await.map_err(PlanError::Base)?.ok_or_else(missing)?;
        let manifest = workspace.find_result(Phase::Manifest, None).await.map_err(PlanError::Base)?;
        let record = workspace.read_result(&manifest.ok_or_else(missing)?).await.map_err(PlanError::Base)?;
        let written: ManifestWritten = serde_json::from_slice(&record).map_err(PlanError::BaseRecord)?;
        let kind = written.plan.profile.kind;
        if !matches!(kind, ProfileKind::MirrorFull | ProfileKind::MirrorDelta) {
            return Err(PlanError::BaseKind(kind));
        }
        let state = written.target.unwrap_or(written.export_json).digest;
        if state != run.state_digest {
            return Err(missing());
        }
        Ok(Self { run: run.clone(), plan: written.plan, adapted })
    }

    /// The selectors of the delta: those of its base. Whoever names others, or a profile with other contents, wants another mirror.
    pub(crate) fn selectors(&self, profile: &Profile, asked: &Selectors) -> Result<Selectors, PlanError> {
        let (mirror, _) = self.plan.mirror_profile();
        let (ours, theirs) = (&profile.config, &mirror.config);
        let same = [
            ("include", ours.include == theirs.include),
            ("compression", ours.compression == theirs.compression),
            ("partitionRecords", ours.partition_records == theirs.partition_records),
            ("policySnapshotMode", ours.policy_snapshot_mode == theirs.policy_snapshot_mode),
            ("mirrorSboms", ours.mirror_sboms == theirs.mirror_sboms),
        ];
        if let Some((member, _)) = same.into_iter().find(|(_, same)| !same) {
            return Err(PlanError::BaseProfile { member, base: mirror.id });
        }
        let of_base = self.plan.selectors.clone();
        let inherits = *asked == Selectors::default();
        let kinds = if asked.kinds.is_empty() { &of_base.kinds } else { &asked.kinds };
        let same = of_base == Selectors { kinds: kinds.clone(), ..asked.clone() };
        if inherits || same { Ok(of_base) } else { Err(PlanError::BaseSelectors) }
    }

    /// A delta leads forward.
    pub(crate) fn is_not_ahead_of(&self, watermark: Sequence) -> Result<(), PlanError> {
        if self.plan.watermark <= watermark {
            return Ok(());
        }
        Err(PlanError::BaseNewer { base: self.plan.watermark, asked: watermark })
    }

    pub(crate) fn into_export(self) -> BaseExport {
        let (profile, config_digest) = self.plan.mirror_profile();
        BaseExport {
            run: self.run.run,
            manifest_digest: self.run.state_digest,
            profile,
            config_digest,
            adapted: self.adapted,
        }
    }
}
