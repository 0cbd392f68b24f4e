//! Reading runs: one with all its rows, pages, and those that somebody must look after.

use std::collections::BTreeSet;

use export_contract::event::RunEvent;
use export_contract::run::{Run, RunStatus};
use export_contract::{RunId, TenantId, Timestamp};
use export_mongo::bson::{Document, doc, from_bson};
use futures::future::try_join_all;

use super::rows::{RunDocument, event_id};
use super::steps::Settled;
use super::{MongoRuns, all, refused, run};
use crate::fold::{sort_distributions, sort_inputs};
use crate::store::{RunFilter, RunPage, RunStoreError};

/// Events that are asked for one by one, by their names, where there are no more to be expected.
const FEW: u64 = 4;
/// Runs whose next event is asked for in the same way.
const FEW_RUNS: usize = 16;

impl MongoRuns {
    pub(super) async fn whole_run(&self, tenant: &TenantId, id: &RunId) -> Result<Option<Run>, RunStoreError> {
        let Some(Settled { mut run, .. }) = self.settled(tenant, id).await? else { return Ok(None) };
        let rows = doc! { "run_id": id.as_str(), "generation": run.generation.0 };
        let inputs = all("read the inputs of a run", self.inputs.find(rows.clone())).await?;
        run.inputs = inputs.into_iter().map(super::rows::InputDocument::input).collect();
        sort_inputs(&mut run.inputs);
        let distributions = all("read the distributions of a run", self.distributions.find(rows)).await?;
        run.distributions = distributions.into_iter().map(super::rows::DistributionDocument::distribution).collect();
        self.overlay_removals(std::slice::from_mut(&mut run)).await?;
        sort_distributions(&mut run.distributions);
        Ok(Some(run))
    }

    pub(super) async fn timeline(
        &self,
        tenant: &TenantId,
        id: &RunId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<RunEvent>, RunStoreError> {
        let act = "read the timeline of a run";
        let Some(document) = self.document(act, tenant, id).await? else { return Ok(Vec::new()) };
        let mut known = document.last_ordinal;
        if known == 0 {
            known = self.settle(document).await?.document.last_ordinal;
        }
        // No limit is what a limit of 0 means to the server.
        if limit == 0 {
            return Ok(Vec::new());
        }
        if known.saturating_sub(after) <= FEW {
            // Whoever follows a run has nearly all of it. Behind what the document knows there may be more.
            let mut rows = Vec::new();
            while rows.len() < limit as usize {
                let next = after.saturating_add(rows.len() as u64).saturating_add(1);
                match self.event(act, id, next).await? {
                    Some(row) => rows.push(row.entry()),
                    None => break,
                }
            }
            return Ok(rows);
        }
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let find = self
            .events
            .find(doc! { "run_id": id.as_str(), "ordinal": { "$gt": after } })
            .sort(doc! { "ordinal": 1 })
            .limit(i64::from(limit));
        Ok(all(act, find).await?.into_iter().map(super::rows::EventDocument::entry).collect())
    }

    pub(super) async fn page(&self, tenant: &TenantId, filter: &RunFilter) -> Result<RunPage, RunStoreError> {
        let act = "list runs";
        let limit = filter.limit.clamp(1, 200);
        let mut query = doc! { "tenant": tenant.as_str() };
        if let Some(status) = filter.status {
            query.insert("status", status.as_str());
        }
        if let Some(profile) = &filter.profile {
            query.insert("profile_id", profile.as_str());
        }
        if let Some(before) = &filter.before {
            query.insert("_id", doc! { "$lt": before.as_str() });
        }
        let find = |query| self.runs.find(query).sort(doc! { "_id": -1 }).limit(i64::from(limit) + 1);
        let mut documents = all(act, find(query.clone())).await?;
        if self.settle_stale(&documents).await? {
            documents = all(act, find(query)).await?;
        }
        let mut runs = documents
            .iter()
            .map(RunDocument::run)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|cause| refused(act, cause))?;
        let limit = limit as usize;
        let more = runs.len() > limit;
        runs.truncate(limit);
        Ok(RunPage { runs, more })
    }

    /// Tenants with runs that are pending by their documents; a document that lags costs its tenant one look.
    pub(super) async fn waiting(&self) -> Result<Vec<TenantId>, RunStoreError> {
        let act = "find waiting tenants";
        let pending = doc! { "status": RunStatus::Pending.as_str() };
        let names = run(act, self.runs.distinct("tenant", pending)).await?;
        let tenants = names.into_iter().map(from_bson).collect::<Result<BTreeSet<TenantId>, _>>();
        Ok(tenants.map_err(|cause| refused(act, cause))?.into_iter().collect())
    }

    pub(super) async fn silent(
        &self,
        status: RunStatus,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<Run>, RunStoreError> {
        let act = "find silent runs";
        let query = doc! { "status": status.as_str(), "last_event_at": { "$lt": since.as_micros() } };
        let find = || {
            let sort = doc! { "last_event_at": 1, "_id": 1 };
            self.runs.find(query.clone()).sort(sort).limit(i64::from(limit.max(1)))
        };
        let mut documents = all(act, find()).await?;
        if self.settle_stale(&documents).await? {
            documents = all(act, find()).await?;
        }
        documents.iter().map(RunDocument::run).collect::<Result<_, _>>().map_err(|cause| refused(act, cause))
    }

    /// The runs that are running, each of them at one moment during this call.
    pub(super) async fn running(&self, mut query: Document) -> Result<Vec<Run>, RunStoreError> {
        let act = "find running runs";
        query.insert("status", RunStatus::Running.as_str());
        let documents = all(act, self.runs.find(query)).await?;
        let mut running = Vec::with_capacity(documents.len());
        let stale = self.stale(&documents).await?;
        for document in documents {
            let run = if stale.contains(&document._id) {
                self.settle(document).await?.run
            } else {
                document.run().map_err(|cause| refused(act, cause))?
            };
            if run.status == RunStatus::Running {
                running.push(run);
            }
        }
        Ok(running)
    }

    /// Settles those of the runs that have an event beyond their document; whether there was one.
    pub(super) async fn settle_stale(&self, documents: &[RunDocument]) -> Result<bool, RunStoreError> {
        let stale = self.stale(documents).await?;
        for document in documents.iter().filter(|document| stale.contains(&document._id)) {
            self.settle(document.clone()).await?;
        }
        Ok(!stale.is_empty())
    }

    async fn stale(&self, documents: &[RunDocument]) -> Result<BTreeSet<RunId>, RunStoreError> {
        // A run that is pruned takes no step any more.
        let open: Vec<&RunDocument> = documents.iter().filter(|document| !document.pruned).collect();
        if open.len() <= FEW_RUNS {
            let looks = open.iter().map(|document| self.event("find events", &document._id, document.last_ordinal + 1));
            let found = try_join_all(looks).await?;
            return Ok(found.into_iter().flatten().map(|row| row.entry().run_id).collect());
        }
        let next: Vec<String> =
            open.iter().map(|document| event_id(&document._id, document.last_ordinal + 1)).collect();
        let found = all("find events", self.events.find(doc! { "_id": { "$in": next } })).await?;
        Ok(found.into_iter().map(|row| row.entry().run_id).collect())
    }
}
