//! A run's corner of staging, and how it is emptied.

use export_blobs::{BlobError, BlobKey, BlobStore, Workspace};
use export_contract::run::RunRef;
use export_contract::{Generation, RunId, TenantId};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::facts::Facts;
use super::report::{Freed, Pass};
use super::{Retention, Round, is_over};

/// Objects that are removed at once.
const AT_ONCE: usize = 8;

/// Removes whatever lies in the corner of a run: result records last, so that until the end a record says what there was.
pub(super) async fn empty(staging: &dyn BlobStore, tenant: &TenantId, run: &RunId) -> Result<Freed, BlobError> {
    let corner = Workspace::corner(tenant, run);
    let artefacts = staging.list(&Workspace::artefacts(tenant, run)).await?;
    let mut freed = clear(staging, artefacts).await?;
    freed += clear(staging, staging.list(&corner).await?).await?;
    staging.tidy(&corner).await?;
    Ok(freed)
}

async fn clear(staging: &dyn BlobStore, keys: Vec<BlobKey>) -> Result<Freed, BlobError> {
    stream::iter(keys)
        .map(|key| async move {
            let Some(meta) = staging.head(&key).await? else { return Ok(Freed::default()) };
            staging.delete(&key).await?;
            Ok(Freed { objects: 1, bytes: meta.bytes })
        })
        .buffer_unordered(AT_ONCE)
        .try_fold(Freed::default(), |mut sum, freed| async move {
            sum += freed;
            Ok(sum)
        })
        .await
}

impl Retention {
    /// Removes the scratch of a run that ended long enough ago for its last worker to be gone. Once for each run in the life of a process.
    pub(super) async fn sweep(&self, round: &Round<'_>, run: &Facts, pass: &mut Pass) {
        let ended = run.status.is_terminal() && run.ended_at.is_some_and(|at| is_over(at, self.rules.grace, round.now));
        if round.dry_run || !ended || run.is_going() || self.swept.lock().await.contains(&run.run) {
            return;
        }
        match self.scratch(&run.run).await {
            Ok(freed) => {
                pass.freed += freed;
                self.swept.lock().await.insert(run.run.clone());
            }
            Err(error) => pass.failed("staging", &error, "cannot remove the scratch of a run"),
        }
    }

    async fn scratch(&self, run: &RunRef) -> Result<Freed, BlobError> {
        let mut freed = Freed::default();
        for generation in (1..=run.generation.0).map(Generation) {
            let scratch = Workspace::new(self.staging.clone(), RunRef { generation, ..run.clone() }).scratch();
            let keys = self.staging.list(&scratch).await?;
            if !keys.is_empty() {
                freed += clear(&*self.staging, keys).await?;
                self.staging.tidy(&scratch).await?;
            }
        }
        Ok(freed)
    }
}
