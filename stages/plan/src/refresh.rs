//! Whether an earlier bundle still is what a run asks for (decision 0008).

use export_blobs::{BlobError, ResultError, Workspace};
use export_contract::Timestamp;
use export_contract::message::{Artefact, RunDistributed, RunPlanned};
use export_contract::profile::Profile;
use export_contract::refresh::{PreviousRun, Refresh};
use export_contract::run::{Phase, RunRef};
use export_pipeline::StageContext;

use crate::error::PlanError;

/// The bundle of `previous`, if `plan` would make the same one and it can be had until its freshness ends. Anything that does not
/// fit, a record of another build included, is no error: then a full run is made.
///
/// # Errors
/// When staging does not answer.
pub(crate) async fn of(
    plan: &RunPlanned,
    previous: PreviousRun,
    cx: &StageContext,
) -> Result<Option<Refresh>, PlanError> {
    let run = RunRef { tenant: plan.run.tenant.clone(), run: previous.run.clone(), generation: previous.generation };
    let earlier = Workspace::new(cx.workspace().store().clone(), run);
    let Some(found) = read(&earlier).await? else { return Ok(None) };
    let RunDistributed { signed, distributions, .. } = found;
    if signed.manifest.bundle.digest != previous.bundle || !asks_the_same(&signed.manifest.plan, plan) {
        return Ok(None);
    }
    // Whatever the ledger holds now it held at admission, too: it only grows, and it is where it was when the bundle was made. That
    // time is in the record, so that every delivery says the same.
    let checked_at = plan.request.admitted_at;
    let Some(fresh_until) = plan.profile.config.fresh_until(checked_at) else { return Ok(None) };
    let expires_at: Option<Timestamp> = distributions.iter().filter_map(|distribution| distribution.expires_at).min();
    if expires_at.is_some_and(|at| at < fresh_until) {
        return Ok(None);
    }
    let manifest = signed.manifest;
    for artefact in [&manifest.bundle, &manifest.export_json].into_iter().chain(signed.sidecars.values()) {
        if !is_there(&earlier, artefact).await? {
            return Ok(None);
        }
    }
    Ok(Some(Refresh {
        run: previous.run,
        checked_at,
        fresh_until,
        export_json: manifest.export_json,
        bundle: manifest.bundle,
        rerun_hash: manifest.rerun_hash,
        records: manifest.records,
        sources: manifest.sources,
        key_id: signed.key_id,
        sidecars: signed.sidecars,
        expires_at,
    }))
}

/// Whether two plans make the same bytes. Everything that a plan pins counts, later members too; only who asks for which run does
/// not, nor what is for people alone.
fn asks_the_same(earlier: &RunPlanned, plan: &RunPlanned) -> bool {
    let profile = Profile {
        description: plan.profile.description.clone(),
        labels: plan.profile.labels.clone(),
        ..earlier.profile.clone()
    };
    let earlier = RunPlanned { profile, run: plan.run.clone(), request: plan.request.clone(), ..earlier.clone() };
    earlier == *plan
}

/// What the earlier run came to, as its last stage wrote it; none where that is gone or damaged.
async fn read(earlier: &Workspace) -> Result<Option<RunDistributed>, PlanError> {
    let key = earlier.result_key(Phase::Distribute, None);
    match earlier.find_record(&key).await {
        Ok(found) => Ok(found),
        Err(ResultError::Store {
            cause: cause @ (BlobError::Unavailable { .. } | BlobError::Refused { .. }), ..
        }) => Err(PlanError::Previous(cause)),
        Err(ResultError::Store { .. } | ResultError::Corrupt { .. } | ResultError::Unreadable { .. }) => Ok(None),
    }
}

async fn is_there(earlier: &Workspace, artefact: &Artefact) -> Result<bool, PlanError> {
    let RunRef { tenant, run, .. } = earlier.run();
    let key = Workspace::artefact_key(tenant, run, &artefact.digest);
    let found = earlier.store().head(&key).await.map_err(PlanError::Previous)?;
    Ok(found.is_some_and(|meta| meta.bytes == artefact.bytes))
}
