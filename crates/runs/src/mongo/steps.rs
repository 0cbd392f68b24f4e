//! Steps of a run: committed by the insert of an event, then carried into the documents that are read.

use export_contract::run::{Replay, Run};
use export_contract::{RunId, TenantId};
use export_mongo::bson::{doc, to_document};
use export_mongo::perform_within;
use serde::{Deserialize, Serialize};

use super::rows::{DistributionDocument, EventDocument, InputDocument, RunDocument, event_id, idempotency_key};
use super::{MongoRuns, PATIENCE, failed, insert, refused, run};
use crate::fold;
use crate::retention::{self, RetentionStep};
use crate::store::{CreateOutcome, NewEvent, RunStoreError, StepOutcome};

/// What an event does to its run, so that a reader can do it again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Change {
    /// The run was written.
    Written,
    /// It got a slot.
    Admitted,
    /// It was cancelled.
    Aborted,
    /// A stage had a result.
    Applied(StepOutcome),
    /// It was replayed.
    Replayed(Replay),
    /// Retention took a step.
    Retained(RetentionStep),
}

/// What became of an attempt to step.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// The run after the step.
    Taken(Run),
    /// The run, which does not take the step or has taken it before.
    Refused(Run),
    /// No such run of the tenant.
    NotFound,
}

/// A run whose documents are up to its newest event.
pub(super) struct Settled {
    pub(super) document: RunDocument,
    pub(super) run: Run,
}

impl MongoRuns {
    pub(super) async fn insert_run(
        &self,
        run: &Run,
        idempotency: Option<(&str, &str)>,
    ) -> Result<CreateOutcome<Run>, RunStoreError> {
        let act = "create a run";
        fold::written(run).map_err(|cause| refused(act, cause))?;
        let document = RunDocument::new(run, idempotency).map_err(|cause| refused(act, cause))?;
        if insert(act, &self.runs, &document).await? {
            self.settle(document).await?;
            return Ok(CreateOutcome::Created(run.clone()));
        }
        let Some((key, fingerprint)) = idempotency else { return Ok(CreateOutcome::Conflict) };
        let key = idempotency_key(&run.id, Some(key));
        let filter = doc! { "tenant": run.tenant.as_str(), "idempotency_key": key };
        match super::run(act, self.runs.find_one(filter)).await? {
            Some(known) if known.fingerprint.as_deref() == Some(fingerprint) => {
                Ok(CreateOutcome::Existing(self.settle(known).await?.run))
            }
            // Another body under the key; or no such key, and it is the id that is taken.
            Some(_) | None => Ok(CreateOutcome::Conflict),
        }
    }

    /// Takes the step that `decide` makes of the newest state, or none. The decision is made anew when another writer
    /// was first; each time that happens that writer's step was taken, so this comes to an end.
    pub(super) async fn step(
        &self,
        tenant: &TenantId,
        id: &RunId,
        decide: impl Fn(&Run) -> Option<(Run, NewEvent, Change)> + Send + Sync,
    ) -> Result<Step, RunStoreError> {
        let act = "record a step of a run";
        loop {
            // Boxed: what waits in here holds a run and its documents several times over.
            let Some(Settled { document, run: known }) = Box::pin(self.settled(tenant, id)).await? else {
                return Ok(Step::NotFound);
            };
            let Some((next, event, change)) = decide(&known) else { return Ok(Step::Refused(known)) };
            let ordinal = document.last_ordinal + 1;
            let row = EventDocument::new(id, ordinal, &event, &change).map_err(|cause| refused(act, cause))?;
            if insert(act, &self.events, &row).await? {
                Box::pin(self.carry(&document, &next, ordinal, &event, &change)).await?;
                return Ok(Step::Taken(next));
            }
            let fact = doc! { "run_id": id.as_str(), "fact": &event.key };
            if run(act, self.events.find_one(fact)).await?.is_some() {
                // `known` is older than the fact.
                let newest = Box::pin(self.settled(tenant, id)).await?;
                return Ok(newest.map_or(Step::NotFound, |newest| Step::Refused(newest.run)));
            }
        }
    }

    /// A run of the tenant with its documents brought up to its newest event.
    pub(super) async fn settled(&self, tenant: &TenantId, id: &RunId) -> Result<Option<Settled>, RunStoreError> {
        match self.document("read a run", tenant, id).await? {
            Some(document) => self.settle(document).await.map(Some),
            None => Ok(None),
        }
    }

    /// The document of a run of the tenant. It is asked for by its name alone: there are servers (FerretDB on SQLite) that look through the whole
    /// collection for any other question.
    pub(super) async fn document(
        &self,
        act: &str,
        tenant: &TenantId,
        id: &RunId,
    ) -> Result<Option<RunDocument>, RunStoreError> {
        let found = run(act, self.runs.find_one(doc! { "_id": id.as_str() })).await?;
        Ok(found.filter(|document| document.tenant == *tenant))
    }

    /// Brings the documents of a run up to its newest event: what a writer that stopped half way left to do.
    pub(super) async fn settle(&self, mut document: RunDocument) -> Result<Settled, RunStoreError> {
        let act = "bring a run up to its newest event";
        let mut run = document.run().map_err(|cause| refused(act, cause))?;
        if document.last_ordinal == 0 {
            // The first event says nothing that the document does not say.
            let event = fold::written(&run).map_err(|cause| refused(act, cause))?;
            let row = EventDocument::new(&run.id, 1, &event, &Change::Written).map_err(|cause| refused(act, cause))?;
            insert(act, &self.events, &row).await?;
            document = self.carry(&document, &run, 1, &event, &Change::Written).await?;
        }
        // By its name, since there is none nearly always: every step and every look asks this.
        while let Some(row) = self.event(act, &run.id, document.last_ordinal + 1).await? {
            let (event, change) = row.fact().map_err(|cause| refused(act, cause))?;
            if let Some(next) = again(&run, &event, &change) {
                run = next;
            }
            document = self.carry(&document, &run, row.ordinal, &event, &change).await?;
        }
        Ok(Settled { document, run })
    }

    /// The event of a run with this number.
    pub(super) async fn event(
        &self,
        act: &str,
        id: &RunId,
        ordinal: u64,
    ) -> Result<Option<EventDocument>, RunStoreError> {
        run(act, self.events.find_one(doc! { "_id": event_id(id, ordinal) })).await
    }

    /// Carries a committed step into the documents that are read: rows first, then the run's document, whose ordinal
    /// says that the rows are there.
    async fn carry(
        &self,
        document: &RunDocument,
        state: &Run,
        ordinal: u64,
        event: &NewEvent,
        change: &Change,
    ) -> Result<RunDocument, RunStoreError> {
        let act = "write what a step changed";
        let reference = state.reference();
        if let Change::Retained(RetentionStep::Found { distribution }) = change {
            self.insert_missing(act, &self.distributions, &[DistributionDocument::new(&reference, distribution)])
                .await?;
        }
        if let Change::Applied(outcome) = change {
            let inputs: Vec<_> = outcome.inputs.iter().map(|input| InputDocument::new(&reference, input)).collect();
            self.insert_missing(act, &self.inputs, &inputs).await?;
            let rows = outcome.distributions.iter();
            let distributions: Vec<_> = rows.map(|row| DistributionDocument::new(&reference, row)).collect();
            self.insert_missing(act, &self.distributions, &distributions).await?;
        }
        let document = document.with_state(state, ordinal, event.at).map_err(|cause| refused(act, cause))?;
        let mut fields = to_document(&document).map_err(|cause| refused(act, cause))?;
        fields.remove("_id");
        let older = doc! { "_id": state.id.as_str(), "last_ordinal": { "$lt": fields.get("last_ordinal") } };
        run(act, self.runs.update_one(older, doc! { "$set": fields })).await?;
        Ok(document)
    }

    /// Inserts rows whose `_id` says all that they are: those that are there already were written by this same step.
    async fn insert_missing<T: Serialize + Send + Sync>(
        &self,
        act: &str,
        collection: &export_mongo::mongodb::Collection<T>,
        rows: &[T],
    ) -> Result<(), RunStoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        match perform_within(PATIENCE, act, collection.insert_many(rows).ordered(false)).await {
            Ok(_) => return Ok(()),
            Err(cause) if cause.is_duplicate_key() => {}
            Err(cause) => return Err(failed(act, cause)),
        }
        // Some are there. Servers differ in what they do with the rest, so each is tried alone.
        for row in rows {
            insert(act, collection, row).await?;
        }
        Ok(())
    }
}

/// Does to `known` what the event of a committed step did.
fn again(known: &Run, event: &NewEvent, change: &Change) -> Option<Run> {
    match change {
        Change::Written => None,
        Change::Admitted => fold::admitted(known, event.at).map(|(run, _)| run),
        Change::Aborted => {
            fold::aborted(known, event.actor.as_deref().unwrap_or_default(), event.at).map(|(run, _)| run)
        }
        Change::Replayed(replay) => {
            let by = event.actor.as_deref().unwrap_or_default();
            fold::replayed(known, *replay, by, event.at).map(|(run, _)| run)
        }
        Change::Applied(outcome) => fold::applied(known, &known.reference(), event, outcome),
        Change::Retained(step) => retention::retained(known, step, event.at).map(|(run, _)| run),
    }
}
