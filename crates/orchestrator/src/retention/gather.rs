//! Everything that a decision on a tenant's runs needs to know.

use std::collections::BTreeMap;

use export_blobs::{ResultError, Workspace};
use export_contract::message::RunAdmitted;
use export_contract::profile::ProfileConfig;
use export_contract::run::{Run, RunRef, RunStatus};
use export_contract::{Generation, ProfileId, RunId, TenantId};
use export_runs::RunStoreError;

use super::Retention;
use super::facts::Facts;

/// Runs that are read at once.
const PAGE: u32 = 200;

/// Why not all could be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum GatherError {
    #[error(transparent)]
    Ledger(#[from] RunStoreError),
    #[error("cannot tell what a run was admitted with")]
    Admission(#[source] ResultError),
}

impl GatherError {
    /// Which store failed.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Ledger(_) => "ledger",
            Self::Admission(_) => "staging",
        }
    }
}

impl Retention {
    /// The facts of every run of the tenant that is not pruned.
    pub(super) async fn gather(&self, tenant: &TenantId) -> Result<Vec<Facts>, GatherError> {
        let mut facts = Vec::new();
        let mut configs: BTreeMap<(ProfileId, u32), Option<ProfileConfig>> = BTreeMap::new();
        let mut after: Option<RunId> = None;
        loop {
            let page = self.ledger.runs_with_bytes(tenant, after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(facts) };
            after = Some(last.id.clone());
            for run in page {
                let revision = (run.profile_id.clone(), run.profile_revision);
                if !configs.contains_key(&revision) {
                    let profile = self.ledger.profile(tenant, &revision.0, Some(revision.1)).await?;
                    configs.insert(revision.clone(), profile.map(|profile| profile.config));
                }
                let admitted = self.admitted(&run).await?;
                facts.push(Facts::of(run, configs.get(&revision).and_then(Option::as_ref), admitted));
            }
        }
    }

    /// What the admission of a run that has not succeeded named: the ledger learns of it only from later stages. None where there is no
    /// record (yet).
    async fn admitted(&self, run: &Run) -> Result<Option<Vec<RunId>>, GatherError> {
        if run.status == RunStatus::Succeeded || run.expiry.is_some() {
            return Ok(None);
        }
        let mut admitted = None;
        // A replayed run may go on with what an earlier generation found.
        for generation in (1..=run.generation.0).map(Generation) {
            let reference = RunRef { generation, ..run.reference() };
            if let Some(record) = Box::pin(self.admission(reference)).await? {
                let base = record.base.map(|base| base.run.run);
                let named = base.into_iter().chain(record.previous.map(|previous| previous.run));
                admitted.get_or_insert_with(Vec::new).extend(named);
            }
        }
        Ok(admitted)
    }

    async fn admission(&self, run: RunRef) -> Result<Option<RunAdmitted>, GatherError> {
        let workspace = Workspace::new(self.staging.clone(), run);
        workspace.find_record(&workspace.admission_key()).await.map_err(GatherError::Admission)
    }
}
