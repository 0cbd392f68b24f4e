//! Retention: which runs still have bytes, and the steps towards none.
//!
//! A step is committed by its event, like every other. What it says of a distribution stays there: the rows of
//! `export_distributions` are written once, and whoever reads them reads the events of retention, too. So no two writers ever
//! change one row.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use export_contract::message::Distribution;
use export_contract::run::{Run, RunStatus};
use export_contract::{RunId, TenantId, Timestamp};
use export_mongo::bson::{Document, doc, from_bson};

use super::rows::{EventDocument, RunDocument};
use super::steps::{Change, Step};
use super::{MongoRuns, all, refused, run};
use crate::fold::sort_distributions;
use crate::retention::{RetentionStep, RetentionStore, retained};
use crate::store::RunStoreError;

#[async_trait]
impl RetentionStore for MongoRuns {
    async fn tenants_with_bytes(&self) -> Result<Vec<TenantId>, RunStoreError> {
        let act = "find tenants with runs that are kept";
        let names = run(act, self.runs.distinct("tenant", doc! { "pruned": { "$ne": true } })).await?;
        let tenants = names.into_iter().map(from_bson).collect::<Result<BTreeSet<TenantId>, _>>();
        Ok(tenants.map_err(|cause| refused(act, cause))?.into_iter().collect())
    }

    async fn runs_with_bytes(
        &self,
        tenant: &TenantId,
        after: Option<&RunId>,
        limit: u32,
    ) -> Result<Vec<Run>, RunStoreError> {
        let act = "list runs that are kept";
        let mut query = doc! { "tenant": tenant.as_str(), "pruned": { "$ne": true } };
        if let Some(after) = after {
            query.insert("_id", doc! { "$gt": after.as_str() });
        }
        let find = || self.runs.find(query.clone()).sort(doc! { "_id": 1 }).limit(i64::from(limit.max(1)));
        let mut documents = all(act, find()).await?;
        if self.settle_stale(&documents).await? {
            documents = all(act, find()).await?;
        }
        let runs: Result<Vec<Run>, _> = documents.iter().map(RunDocument::run).collect();
        let mut runs = runs.map_err(|cause| refused(act, cause))?;
        let found = all(act, self.distributions.find(of_runs(&runs))).await?;
        for row in found {
            let (id, generation) = row.owner();
            if let Some(run) = runs.iter_mut().find(|run| run.id == id && run.generation == generation) {
                run.distributions.push(row.distribution());
            }
        }
        self.overlay_removals(&mut runs).await?;
        for run in &mut runs {
            sort_distributions(&mut run.distributions);
        }
        Ok(runs)
    }

    async fn retain(
        &self,
        tenant: &TenantId,
        id: &RunId,
        step: &RetentionStep,
        now: Timestamp,
    ) -> Result<bool, RunStoreError> {
        let taken = self
            .step(tenant, id, |known| {
                let (next, event) = retained(known, step, now)?;
                Some((next, event, Change::Retained(step.clone())))
            })
            .await?;
        Ok(matches!(taken, Step::Taken(_)))
    }
}

impl MongoRuns {
    /// Writes into the distributions of `runs` what retention did to them.
    pub(super) async fn overlay_removals(&self, runs: &mut [Run]) -> Result<(), RunStoreError> {
        let act = "read what retention removed";
        let is_touched = |run: &&Run| {
            matches!(run.status, RunStatus::Failed | RunStatus::Aborted) && !run.distributions.is_empty()
                || run.expiry.is_some_and(|expiry| expiry.is_final())
        };
        let touched: Vec<&Run> = runs.iter().filter(is_touched).collect();
        if touched.is_empty() {
            return Ok(());
        }
        let mut query = of_runs(touched);
        query.insert("event_type", doc! { "$in": ["distribution.pruned", "distribution.locked", "run.replayed"] });
        let rows: Vec<EventDocument> = all(act, self.events.find(query).sort(doc! { "_id": 1 })).await?;
        let mut by_run: BTreeMap<RunId, Vec<(RetentionStep, Timestamp)>> = BTreeMap::new();
        for row in rows {
            let (event, change) = row.fact().map_err(|cause| refused(act, cause))?;
            match change {
                Change::Retained(step) => by_run.entry(row.entry().run_id).or_default().push((step, event.at)),
                // What was said before is of an earlier generation, which had rows of its own.
                Change::Replayed(_) => _ = by_run.remove(&row.entry().run_id),
                _ => {}
            }
        }
        for run in runs {
            for (step, at) in by_run.remove(&run.id).unwrap_or_default() {
                overlay(&mut run.distributions, &step, at);
            }
        }
        Ok(())
    }
}

fn of_runs<'a>(runs: impl IntoIterator<Item = &'a Run>) -> Document {
    let ids: Vec<&str> = runs.into_iter().map(|run| run.id.as_str()).collect();
    doc! { "run_id": { "$in": ids } }
}

fn overlay(rows: &mut [Distribution], step: &RetentionStep, at: Timestamp) {
    match step {
        RetentionStep::Removed { kind, location } => {
            let rows = rows.iter_mut().filter(|row| row.kind == *kind && row.location == *location);
            rows.for_each(|row| row.pruned_at = Some(at));
        }
        RetentionStep::Locked { kind, location, until } => {
            let rows = rows.iter_mut().filter(|row| row.kind == *kind && row.location == *location);
            rows.for_each(|row| row.locked_until = *until);
        }
        _ => {}
    }
}
