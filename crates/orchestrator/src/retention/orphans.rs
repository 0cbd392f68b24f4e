//! What lies in staging and belongs to no run that is kept.

use std::collections::BTreeSet;

use export_blobs::{BlobError, BlobKey, Workspace};
use export_contract::{RunId, TenantId};

use super::report::{Deed, Pass, Told};
use super::{Retention, corner, is_over};

impl Retention {
    /// Looks for corners of runs that the ledger does not know, or that it calls pruned: a worker that was held up may have written there
    /// once more. Those of `known` runs, which this pass has seen, are passed over.
    pub(super) async fn look_for_orphans(
        &self,
        known: &BTreeSet<RunId>,
        dry_run: bool,
        tell: &(dyn Fn(Told) + Send + Sync),
        pass: &mut Pass,
    ) {
        let corners = match self.corners().await {
            Ok(corners) => corners,
            Err(error) => return pass.failed("staging", &error, "cannot list the corners of runs"),
        };
        for (tenant, run) in corners.into_iter().filter(|(_, run)| !known.contains(run)) {
            // Some servers show names of which nothing is left.
            match self.staging.list(&Workspace::corner(&tenant, &run)).await {
                Ok(keys) if keys.is_empty() => continue,
                Ok(_) => {}
                Err(error) => {
                    pass.failed("staging", &error, "cannot look into a corner of staging");
                    continue;
                }
            }
            let found = match self.ledger.run(&tenant, &run).await {
                Ok(found) => found,
                Err(error) => {
                    pass.failed("ledger", &error, "cannot tell whose a corner of staging is");
                    continue;
                }
            };
            let is_orphan = found.is_none();
            let is_left = found.is_some_and(|run| run.expiry.is_some_and(|expiry| expiry.pruned_at.is_some()));
            if !is_orphan && !is_left {
                continue;
            }
            let old = is_over(run.made_at(), self.rules.grace, (self.clock)());
            let goes = is_left || old && self.rules.remove_orphans;
            if is_orphan {
                pass.orphans += 1;
                tracing::warn!(%tenant, run_id = %run, removed = goes && !dry_run, "staging holds a run that the ledger does not know");
            }
            if goes && !dry_run {
                match corner::empty(&*self.staging, &tenant, &run).await {
                    Ok(freed) => pass.freed += freed,
                    Err(error) => {
                        pass.failed("staging", &error, "cannot empty the corner of a run");
                        continue;
                    }
                }
            }
            let deed = if goes { Deed::OrphanRemoved } else { Deed::Orphan };
            let why = if is_orphan {
                "the ledger does not know it"
            } else {
                "it was pruned, and something wrote there again"
            };
            tell(Told { tenant, run, profile: None, deed, why: why.to_owned() });
        }
    }

    /// The corners of staging; names that are none are no business of ours.
    async fn corners(&self) -> Result<Vec<(TenantId, RunId)>, BlobError> {
        let mut corners = Vec::new();
        for name in self.staging.names(None).await? {
            let (Ok(tenant), Ok(prefix)) = (name.parse::<TenantId>(), name.parse::<BlobKey>()) else { continue };
            let names = self.staging.names(Some(&prefix)).await?;
            let runs = names.iter().filter_map(|name| name.parse::<RunId>().ok());
            corners.extend(runs.map(|run| (tenant.clone(), run)));
        }
        Ok(corners)
    }
}
