//! Finding the mirror that a delta is to build upon.

use export_contract::run::{Run, RunStatus};
use export_contract::{Digest, RunId, TenantId};

use crate::store::{RunFilter, RunStore, RunStoreError};

/// Runs that are looked through at once.
const PAGE: u32 = 200;

/// The finished run that made the mirror called `name`: the id of the run, or the digest (with or without `sha256:`) of the mirror's
/// `export.json`, of the delta's that led to it, or of the bundle. Of several with the same contents the newest, one that is still offered
/// before others. A run of another tenant is never found. Whether the one that is found may be built upon is the caller's to ask of its
/// [`expiry`](Run::expiry).
///
/// # Errors
/// Those of the ledger.
pub async fn find_base(ledger: &dyn RunStore, tenant: &TenantId, name: &str) -> Result<Option<Run>, RunStoreError> {
    let finished = |run: &Run| run.status == RunStatus::Succeeded && run.bundle.is_some();
    if let Ok(id) = name.parse::<RunId>() {
        let found = ledger.run(tenant, &id).await?.filter(finished);
        // A run that only confirmed a mirror has none of its files.
        let maker = found.as_ref().and_then(|run| run.bundle.as_ref()?.refreshes.clone());
        return match maker {
            Some(maker) => Ok(ledger.run(tenant, &maker).await?.filter(finished)),
            None => Ok(found),
        };
    }
    let named = if name.starts_with("sha256:") { name.to_owned() } else { format!("sha256:{name}") };
    let Ok(digest) = named.parse::<Digest>() else { return Ok(None) };
    let is_it = |run: &Run| {
        run.bundle.as_ref().filter(|bundle| bundle.refreshes.is_none()).is_some_and(|bundle| {
            bundle.state_digest.as_ref() == Some(&digest)
                || [&bundle.manifest_digest, &bundle.digest].contains(&&digest)
        })
    };
    let mut filter = RunFilter { status: Some(RunStatus::Succeeded), limit: PAGE, ..RunFilter::default() };
    let mut expiring: Option<Run> = None;
    loop {
        let page = ledger.runs(tenant, &filter).await?;
        filter.before = page.runs.last().map(|run| run.id.clone());
        for run in page.runs.into_iter().filter(|run| finished(run) && is_it(run)) {
            if run.expiry.is_none() {
                return Ok(Some(run));
            }
            expiring.get_or_insert(run);
        }
        if !page.more {
            return Ok(expiring);
        }
    }
}
