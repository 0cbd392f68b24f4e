//! Replays: links of the chain of submissions, since they count like these.
//!
//! A link says which generation of a run is left. Who adds the next one has first taken that step, so a run is replayed once
//! for each generation, and a writer that stops between the two leaves a step that the next caller takes.

use export_contract::run::Replay;
use export_contract::{Generation, RunId, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

use super::steps::{Change, Settled, Step};
use super::submissions::SubmissionDocument;
use super::{MongoRuns, insert};
use crate::fold;
use crate::quota::{Quotas, Tally};
use crate::store::{ReplayOutcome, ReplayWanted, Replayed, RunStoreError};

/// The replay that a link of `export_submissions` is of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ReplayDocument {
    /// The generation that ended.
    generation: Generation,
    replay: Replay,
    by: String,
    at: Timestamp,
}

impl MongoRuns {
    pub(super) async fn replay(&self, wanted: &ReplayWanted, quotas: &Quotas) -> Result<Replayed, RunStoreError> {
        let act = "replay a run";
        let (tenant, id) = (&wanted.run.tenant, &wanted.run.run);
        let link = ReplayDocument {
            generation: wanted.run.generation,
            replay: wanted.replay,
            by: wanted.by.clone(),
            at: wanted.at,
        };
        loop {
            let last = self.last_submission(act, tenant).await?;
            if let Some(last) = &last {
                self.bring_to_its_end(act, last).await?;
            }
            let tally = Tally::at(last.as_ref().map(SubmissionDocument::tally), wanted.at);
            let told = |outcome, tally: Tally| Ok(Replayed { outcome, runs_today: tally.runs });
            let Some(Settled { document, run }) = self.settled(tenant, id).await? else {
                return told(ReplayOutcome::NotFound, tally);
            };
            if run.generation != link.generation || fold::replayed(&run, link.replay, &link.by, link.at).is_none() {
                return told(ReplayOutcome::Unfit(run), tally);
            }
            if let Some(exceeded) = self.exceeded(tenant, quotas, tally).await? {
                return told(ReplayOutcome::Refused(exceeded), tally);
            }
            let counted = tally.counted();
            let submission = SubmissionDocument::after(last.as_ref(), counted, document, Some(link.clone()));
            if !insert(act, &self.submissions, &submission).await? {
                continue;
            }
            let step = Box::pin(self.step_into(tenant, id, &link)).await?;
            if last.is_some_and(|last| last.is_before(counted)) {
                self.forget_submissions(tenant, counted.day).await;
            }
            return match step {
                Step::Taken(run) => told(ReplayOutcome::Replayed(run), counted),
                // Whoever came behind this link took its step.
                Step::Refused(run) if run.generation > link.generation => told(ReplayOutcome::Replayed(run), counted),
                // Retention was faster.
                Step::Refused(run) => told(ReplayOutcome::Unfit(run), counted),
                Step::NotFound => told(ReplayOutcome::NotFound, counted),
            };
        }
    }

    /// Takes the step of a link, unless that was done.
    pub(super) async fn step_into(
        &self,
        tenant: &TenantId,
        id: &RunId,
        link: &ReplayDocument,
    ) -> Result<Step, RunStoreError> {
        self.step(tenant, id, |known| {
            if known.generation != link.generation {
                return None;
            }
            let (next, event) = fold::replayed(known, link.replay, &link.by, link.at)?;
            Some((next, event, Change::Replayed(link.replay)))
        })
        .await
    }
}
