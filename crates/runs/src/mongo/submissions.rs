//! Quotas: one chain of submissions per tenant, each link an insert that one caller wins.
//!
//! A submission holds the run that it is of. Who adds the next one has first written the run of the last one, so whoever
//! adds a link has seen every run that was submitted before, and its count is exact. A writer that stops between the two
//! leaves a submission whose run the next caller writes.

use std::collections::BTreeMap;

use export_contract::profile::ProfileKind;
use export_contract::run::{Run, RunStatus};
use export_contract::{TenantId, Timestamp};
use export_mongo::bson::doc;
use serde::{Deserialize, Serialize};

use super::replays::ReplayDocument;
use super::rows::{RunDocument, idempotency_key};
use super::{MongoRuns, all, insert, refused, run};
use crate::fold;
use crate::quota::{Day, Exceeded, Quotas, SubmitOutcome, Submitted, Tally, Usage};
use crate::store::RunStoreError;

/// Of `export_submissions`: the tenant's `sequence`-th run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SubmissionDocument {
    _id: String,
    tenant: TenantId,
    sequence: u64,
    /// Days since 1970, UTC.
    day: i64,
    /// How many runs of the day there are with this one.
    of_day: u32,
    run: RunDocument,
    /// Where it is a replay of a run: then `run` is as it was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replay: Option<ReplayDocument>,
}

impl SubmissionDocument {
    /// The link behind `last`.
    pub(super) fn after(last: Option<&Self>, counted: Tally, run: RunDocument, replay: Option<ReplayDocument>) -> Self {
        let sequence = last.map_or(1, |last| last.sequence.saturating_add(1));
        Self {
            _id: format!("{}/{sequence:012}", run.tenant),
            tenant: run.tenant.clone(),
            sequence,
            day: counted.day.0,
            of_day: counted.runs,
            run,
            replay,
        }
    }

    /// Whether its day is before that of `counted`.
    pub(super) fn is_before(&self, counted: Tally) -> bool {
        self.day < counted.day.0
    }

    pub(super) fn tally(&self) -> Tally {
        Tally { day: Day(self.day), runs: self.of_day }
    }
}

impl MongoRuns {
    pub(super) async fn submit(
        &self,
        wanted: &Run,
        idempotency: Option<(&str, &str)>,
        quotas: &Quotas,
    ) -> Result<Submitted, RunStoreError> {
        let act = "submit a run";
        fold::written(wanted).map_err(|cause| refused(act, cause))?;
        let document = RunDocument::new(wanted, idempotency).map_err(|cause| refused(act, cause))?;
        loop {
            let last = self.last_submission(act, &wanted.tenant).await?;
            if let Some(last) = &last {
                self.bring_to_its_end(act, last).await?;
            }
            let tally = Tally::at(last.as_ref().map(SubmissionDocument::tally), wanted.requested_at);
            let told = |outcome, tally: Tally| Ok(Submitted { outcome, runs_today: tally.runs });
            if let Some(outcome) = self.known(act, wanted, idempotency).await? {
                return told(outcome, tally);
            }
            if run(act, self.runs.find_one(doc! { "_id": wanted.id.as_str() })).await?.is_some() {
                return told(SubmitOutcome::Conflict, tally);
            }
            if let Some(exceeded) = self.exceeded(&wanted.tenant, quotas, tally).await? {
                return told(SubmitOutcome::Refused(exceeded), tally);
            }
            let counted = tally.counted();
            let submission = SubmissionDocument::after(last.as_ref(), counted, document.clone(), None);
            if !insert(act, &self.submissions, &submission).await? {
                continue;
            }
            self.write_submitted(act, &document).await?;
            if last.is_some_and(|last| last.is_before(counted)) {
                self.forget_submissions(&wanted.tenant, counted.day).await;
            }
            return match self.known(act, wanted, idempotency).await? {
                Some(SubmitOutcome::Existing(run)) if run.id != wanted.id => {
                    told(SubmitOutcome::Existing(run), counted)
                }
                Some(SubmitOutcome::Conflict) => told(SubmitOutcome::Conflict, counted),
                _ => told(SubmitOutcome::Created(wanted.clone()), counted),
            };
        }
    }

    /// What is there under the run's key.
    async fn known(
        &self,
        act: &str,
        wanted: &Run,
        idempotency: Option<(&str, &str)>,
    ) -> Result<Option<SubmitOutcome>, RunStoreError> {
        let Some((key, fingerprint)) = idempotency else {
            return Ok(None);
        };
        let key = idempotency_key(&wanted.id, Some(key));
        let filter = doc! { "tenant": wanted.tenant.as_str(), "idempotency_key": key };
        Ok(match run(act, self.runs.find_one(filter)).await? {
            None => None,
            Some(known) if known.fingerprint.as_deref() == Some(fingerprint) => {
                Some(SubmitOutcome::Existing(self.settle(known).await?.run))
            }
            Some(_) => Some(SubmitOutcome::Conflict),
        })
    }

    pub(super) async fn last_submission(
        &self,
        act: &str,
        tenant: &TenantId,
    ) -> Result<Option<SubmissionDocument>, RunStoreError> {
        let newest = self.submissions.find_one(doc! { "tenant": tenant.as_str() }).sort(doc! { "sequence": -1 });
        run(act, newest).await
    }

    /// Does what a link is of, unless that was done.
    pub(super) async fn bring_to_its_end(&self, act: &str, link: &SubmissionDocument) -> Result<(), RunStoreError> {
        match &link.replay {
            Some(replay) => Box::pin(self.step_into(&link.tenant, &link.run._id, replay)).await.map(drop),
            None => Box::pin(self.write_submitted(act, &link.run)).await,
        }
    }

    /// Writes the run of a submission, unless that was done.
    async fn write_submitted(&self, act: &str, document: &RunDocument) -> Result<(), RunStoreError> {
        let there = run(act, self.runs.find_one(doc! { "_id": document._id.as_str() })).await?;
        if there.is_some_and(|there| there.last_ordinal > 0) {
            return Ok(());
        }
        insert(act, &self.runs, document).await?;
        if let Some(written) = run(act, self.runs.find_one(doc! { "_id": document._id.as_str() })).await? {
            self.settle(written).await?;
        }
        Ok(())
    }

    /// Submissions of the days before yesterday: nobody counts them any more.
    pub(super) async fn forget_submissions(&self, tenant: &TenantId, today: Day) {
        let old = doc! { "tenant": tenant.as_str(), "day": { "$lt": today.0 - 1 } };
        if let Err(error) = run("forget old submissions", self.submissions.delete_many(old)).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "old submissions stay for now");
        }
    }

    pub(super) async fn exceeded(
        &self,
        tenant: &TenantId,
        quotas: &Quotas,
        tally: Tally,
    ) -> Result<Option<Exceeded>, RunStoreError> {
        if let Some(exceeded) = quotas.refuses_runs(tally) {
            return Ok(Some(exceeded));
        }
        if quotas.pending_runs.is_some()
            && let Some(exceeded) = quotas.refuses_pending(self.pending(tenant).await?)
        {
            return Ok(Some(exceeded));
        }
        if quotas.bytes_per_day.is_some() {
            return Ok(quotas.refuses_bytes(self.bytes_since(tenant, tally.day).await?, tally));
        }
        Ok(None)
    }

    pub(super) async fn usage_of(&self, tenant: &TenantId, now: Timestamp) -> Result<Usage, RunStoreError> {
        let act = "read what a tenant has of its quotas";
        let last = self.last_submission(act, tenant).await?;
        let tally = Tally::at(last.as_ref().map(SubmissionDocument::tally), now);
        let running = self.running(doc! { "tenant": tenant.as_str() }).await?.len();
        Ok(Usage {
            active_runs: u32::try_from(running).unwrap_or(u32::MAX),
            pending_runs: self.pending(tenant).await?,
            runs_today: tally.runs,
            bytes_today: self.bytes_since(tenant, tally.day).await?,
        })
    }

    /// Runs that are pending by their documents, which may lag: never too few.
    async fn pending(&self, tenant: &TenantId) -> Result<u32, RunStoreError> {
        let query = doc! { "tenant": tenant.as_str(), "status": RunStatus::Pending.as_str() };
        let count = run("count waiting runs", self.runs.count_documents(query)).await?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Bytes of the bundles of runs that ended on `day` or later.
    async fn bytes_since(&self, tenant: &TenantId, day: Day) -> Result<u64, RunStoreError> {
        let act = "count the bytes of a day";
        let query = doc! {
            "tenant": tenant.as_str(),
            "status": RunStatus::Succeeded.as_str(),
            "last_event_at": { "$gte": day.begin().as_micros() },
        };
        let documents = all(act, self.runs.find(query)).await?;
        let mut bytes: u64 = 0;
        for document in &documents {
            let run = document.run().map_err(|cause| refused(act, cause))?;
            // Retention adds events to runs that ended long ago.
            if run.completed_at.is_some_and(|at| at >= day.begin())
                && let Some(bundle) = run.bundle.filter(|bundle| bundle.refreshes.is_none())
            {
                bytes = bytes.saturating_add(bundle.bytes);
            }
        }
        Ok(bytes)
    }
}

/// How many runs of each kind there are.
pub(super) fn by_kind(runs: &[Run]) -> BTreeMap<ProfileKind, u32> {
    runs.iter().fold(BTreeMap::new(), |mut counts, run| {
        *counts.entry(run.profile_kind).or_default() += 1;
        counts
    })
}
