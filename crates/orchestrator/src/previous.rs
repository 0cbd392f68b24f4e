//! The earlier run whose bundle may do for a new one (decision 0008).

use export_contract::profile::Profile;
use export_contract::refresh::PreviousRun;
use export_contract::run::{Run, RunStatus};
use export_runs::{RunFilter, RunStoreError};

use crate::ports::Ports;

/// Earlier runs of the profile that are looked at, newest first. Behind more runs with other selectors than that, a full run is made.
const RUNS_LOOKED_AT: u32 = 100;

/// The newest run that succeeded before `run` was submitted, with the same revision, selectors and options; where that one only
/// confirmed a bundle, the run that made it. None where the profile does not ask for it.
pub(crate) async fn find(ports: &Ports, run: &Run, profile: &Profile) -> Result<Option<PreviousRun>, RunStoreError> {
    if !profile.config.refresh_when_unchanged {
        return Ok(None);
    }
    let filter = RunFilter {
        status: Some(RunStatus::Succeeded),
        profile: Some(run.profile_id.clone()),
        before: Some(run.id.clone()),
        limit: RUNS_LOOKED_AT,
    };
    let asks_the_same = |earlier: &Run| {
        (earlier.profile_revision, &earlier.selectors, &earlier.options)
            == (run.profile_revision, &run.selectors, &run.options)
    };
    let page = ports.ledger.runs(&run.tenant, &filter).await?;
    let Some(mut found) = page.runs.into_iter().find(asks_the_same) else { return Ok(None) };
    if let Some(made_by) = found.bundle.as_ref().and_then(|bundle| bundle.refreshes.clone()) {
        let Some(maker) = ports.ledger.run(&run.tenant, &made_by).await? else { return Ok(None) };
        found = maker;
    }
    // What is expiring may be gone before this run is through.
    if found.expiry.is_some() {
        return Ok(None);
    }
    let (run, generation) = (found.id, found.generation);
    Ok(found.bundle.map(|bundle| PreviousRun { run, generation, bundle: bundle.digest }))
}
