//! The run ledger in MongoDB, or a server that speaks its protocol.
//!
//! Several documents change with every step, and there are no transactions over several documents (FerretDB has none, and
//! even its conditional update of one document reads first and writes later). So everything rests on the one thing that
//! is atomic everywhere: **of several inserts of one `_id`, one succeeds**.
//!
//! - A step of a run is committed by the insert of its event, `_id = <run>/<ordinal>`, made of the state at the ordinal
//!   before. A step that another writer took first is refused by the index, and tried again on the new state.
//! - The document in `export_runs` is the state up to its `last_ordinal`, kept for reading and finding. Who reads it also
//!   reads the events beyond, and brings the document and the rows of `export_inputs` and `export_distributions` up to
//!   them. So a writer that stops half way leaves nothing that the next call does not heal, and a late writer that takes
//!   the document back to an older state does no harm.
//! - Slots are given away by the insert of an admission, `_id = <tenant>/<sequence>`: who gives the next slot has seen
//!   every admission before, has brought the last one to its end, and has counted the runs that run.
//! - Runs are counted for quotas in the same way, by the insert of a submission that holds the run.
//!
//! A list by status may lag for a run whose writer stopped half way, until the next call that reads the run: `admit` and
//! the reconciler do so soon.

mod admission;
mod audit;
mod entries;
mod finding;
mod profiles;
mod replays;
mod retention;
mod rows;
mod steps;
mod submissions;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use export_contract::event::RunEvent;
use export_contract::profile::{Profile, ProfileKind};
use export_contract::run::{Run, RunRef, RunStatus};
use export_contract::{ProfileId, RunId, TenantId, Timestamp};
use export_mongo::bson::{Document, doc};
use export_mongo::mongodb::options::IndexOptions;
use export_mongo::mongodb::{Collection, Database, IndexModel};
use export_mongo::{MongoError, ensure_indexes, perform_within, ping};
use futures::TryStreamExt as _;
use serde::de::DeserializeOwned;

use self::audit::AuditDocument;
use self::rows::{AdmissionDocument, DistributionDocument, EventDocument, InputDocument, ProfileDocument, RunDocument};
use self::steps::{Change, Step};
use self::submissions::SubmissionDocument;
use crate::entries::{deleted_profiles, is_deleted, mark_deleted};
use crate::fold;
use crate::quota::{Quotas, SlotCaps, Submitted, Usage};
use crate::store::{
    Admission, CancelOutcome, CreateOutcome, DeleteOutcome, NewEvent, ReplayWanted, Replayed, RunFilter, RunPage,
    RunStore, RunStoreError, StepOutcome,
};

/// The run ledger of many machines.
#[derive(Clone, Debug)]
pub struct MongoRuns {
    database: Database,
    profiles: Collection<ProfileDocument>,
    runs: Collection<RunDocument>,
    events: Collection<EventDocument>,
    inputs: Collection<InputDocument>,
    distributions: Collection<DistributionDocument>,
    admissions: Collection<AdmissionDocument>,
    submissions: Collection<SubmissionDocument>,
    audit: Collection<AuditDocument>,
}

impl MongoRuns {
    /// Creates what is missing in `database`: collections and indexes.
    ///
    /// # Errors
    /// When the server does not answer or refuses.
    pub async fn open(database: Database) -> Result<Self, RunStoreError> {
        let ledger = Self {
            profiles: database.collection("export_profiles"),
            runs: database.collection("export_runs"),
            events: database.collection("export_events"),
            inputs: database.collection("export_inputs"),
            distributions: database.collection("export_distributions"),
            admissions: database.collection("export_admissions"),
            submissions: database.collection("export_submissions"),
            audit: database.collection("export_audit"),
            database,
        };
        ledger.create_indexes().await?;
        Ok(ledger)
    }

    async fn create_indexes(&self) -> Result<(), RunStoreError> {
        let unique = |name: &str, keys| index(name, keys, true);
        let plain = |name: &str, keys| index(name, keys, false);
        let wanted = [
            (
                self.profiles.clone_with_type::<Document>(),
                vec![unique("revision", doc! { "tenant": 1, "profile_id": 1, "revision": 1 })],
            ),
            (
                self.runs.clone_with_type(),
                vec![
                    unique("idempotency", doc! { "tenant": 1, "idempotency_key": 1 }),
                    plain("newest", doc! { "tenant": 1, "_id": -1 }),
                    plain("status", doc! { "tenant": 1, "status": 1, "_id": 1 }),
                    plain("profile", doc! { "tenant": 1, "profile_id": 1, "_id": -1 }),
                    plain("waiting", doc! { "status": 1, "tenant": 1 }),
                    plain("silent", doc! { "status": 1, "last_event_at": 1, "_id": 1 }),
                    plain("outbox", doc! { "unannounced": 1, "status": 1, "last_event_at": 1 }),
                    plain("usage", doc! { "tenant": 1, "status": 1, "last_event_at": 1 }),
                ],
            ),
            (
                self.events.clone_with_type(),
                vec![
                    unique("ordinal", doc! { "run_id": 1, "ordinal": 1 }),
                    unique("fact", doc! { "run_id": 1, "fact": 1 }),
                ],
            ),
            (self.inputs.clone_with_type(), vec![plain("run", doc! { "run_id": 1, "generation": 1 })]),
            (self.distributions.clone_with_type(), vec![plain("run", doc! { "run_id": 1, "generation": 1 })]),
            (self.admissions.clone_with_type(), vec![unique("sequence", doc! { "tenant": 1, "sequence": -1 })]),
            (self.submissions.clone_with_type(), vec![unique("sequence", doc! { "tenant": 1, "sequence": -1 })]),
        ];
        let more = self.entry_indexes().into_iter().chain([self.audit_indexes()]);
        for (collection, indexes) in wanted.into_iter().chain(more) {
            let act = "create the indexes of the run ledger";
            ensure_indexes(act, &collection, indexes).await.map_err(|cause| failed(act, cause))?;
        }
        Ok(())
    }
}

#[async_trait]
impl RunStore for MongoRuns {
    async fn profiles(&self, tenant: &TenantId) -> Result<Vec<Profile>, RunStoreError> {
        let deleted = deleted_profiles(self, tenant).await?;
        let mut profiles = self.newest_profiles(tenant).await?;
        profiles.retain(|profile| !deleted.contains(&profile.id));
        Ok(profiles)
    }

    async fn profile(
        &self,
        tenant: &TenantId,
        id: &ProfileId,
        revision: Option<u32>,
    ) -> Result<Option<Profile>, RunStoreError> {
        if revision.is_none() && is_deleted(self, tenant, id).await? {
            return Ok(None);
        }
        self.find_profile(tenant, id, revision).await
    }

    async fn create_profile(&self, profile: &Profile) -> Result<CreateOutcome<Profile>, RunStoreError> {
        if is_deleted(self, &profile.tenant, &profile.id).await? {
            return Ok(CreateOutcome::Conflict);
        }
        self.insert_profile(profile).await
    }

    async fn update_profile(&self, profile: &Profile, expected: u32) -> Result<bool, RunStoreError> {
        if is_deleted(self, &profile.tenant, &profile.id).await? {
            return Ok(false);
        }
        self.revise_profile(profile, expected).await
    }

    async fn profile_revisions(
        &self,
        tenant: &TenantId,
        id: &ProfileId,
        before: Option<u32>,
        limit: u32,
    ) -> Result<Vec<Profile>, RunStoreError> {
        if is_deleted(self, tenant, id).await? {
            return Ok(Vec::new());
        }
        self.revisions(tenant, id, before, limit).await
    }

    async fn delete_profile(
        &self,
        tenant: &TenantId,
        id: &ProfileId,
        by: &str,
        now: Timestamp,
    ) -> Result<DeleteOutcome, RunStoreError> {
        mark_deleted(self, tenant, id, by, now).await
    }

    async fn create_run(
        &self,
        run: &Run,
        idempotency: Option<(&str, &str)>,
    ) -> Result<CreateOutcome<Run>, RunStoreError> {
        self.insert_run(run, idempotency).await
    }

    async fn run(&self, tenant: &TenantId, id: &RunId) -> Result<Option<Run>, RunStoreError> {
        self.whole_run(tenant, id).await
    }

    async fn runs(&self, tenant: &TenantId, filter: &RunFilter) -> Result<RunPage, RunStoreError> {
        self.page(tenant, filter).await
    }

    async fn events(
        &self,
        tenant: &TenantId,
        id: &RunId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<RunEvent>, RunStoreError> {
        self.timeline(tenant, id, after, limit).await
    }

    async fn submit_run(
        &self,
        run: &Run,
        idempotency: Option<(&str, &str)>,
        quotas: &Quotas,
    ) -> Result<Submitted, RunStoreError> {
        Box::pin(self.submit(run, idempotency, quotas)).await
    }

    async fn usage(&self, tenant: &TenantId, now: Timestamp) -> Result<Usage, RunStoreError> {
        self.usage_of(tenant, now).await
    }

    async fn admit_within(
        &self,
        tenant: &TenantId,
        caps: &SlotCaps,
        now: Timestamp,
    ) -> Result<Admission, RunStoreError> {
        Box::pin(self.give_slots(tenant, caps, now)).await
    }

    async fn record(&self, run: &RunRef, event: &NewEvent, outcome: &StepOutcome) -> Result<bool, RunStoreError> {
        let step = self
            .step(&run.tenant, &run.run, |known| {
                let next = fold::applied(known, run, event, outcome)?;
                Some((next, event.clone(), Change::Applied(outcome.clone())))
            })
            .await?;
        Ok(matches!(step, Step::Taken(_)))
    }

    async fn cancel(
        &self,
        tenant: &TenantId,
        id: &RunId,
        by: &str,
        now: Timestamp,
    ) -> Result<CancelOutcome, RunStoreError> {
        let step = self
            .step(tenant, id, |known| {
                let (next, event) = fold::aborted(known, by, now)?;
                Some((next, event, Change::Aborted))
            })
            .await?;
        Ok(match step {
            Step::Taken(run) => CancelOutcome::Cancelled(run),
            Step::Refused(run) if run.status == RunStatus::Aborted => CancelOutcome::AlreadyCancelled(run),
            Step::Refused(run) => CancelOutcome::Ended(run),
            Step::NotFound => CancelOutcome::NotFound,
        })
    }

    async fn replay_run(&self, wanted: &ReplayWanted, quotas: &Quotas) -> Result<Replayed, RunStoreError> {
        Box::pin(self.replay(wanted, quotas)).await
    }

    async fn tenants_waiting(&self) -> Result<Vec<TenantId>, RunStoreError> {
        self.waiting().await
    }

    async fn silent_runs(
        &self,
        status: RunStatus,
        silent_since: Timestamp,
        limit: u32,
    ) -> Result<Vec<Run>, RunStoreError> {
        self.silent(status, silent_since, limit).await
    }

    async fn active(&self) -> Result<BTreeMap<TenantId, u32>, RunStoreError> {
        let mut active = BTreeMap::new();
        for run in self.running(doc! {}).await? {
            *active.entry(run.tenant).or_insert(0) += 1;
        }
        Ok(active)
    }

    async fn last_successes(&self) -> Result<BTreeMap<ProfileKind, Timestamp>, RunStoreError> {
        let act = "find the last successes";
        let mut found = BTreeMap::new();
        for kind in ProfileKind::ALL {
            let query = doc! { "status": RunStatus::Succeeded.as_str(), "profile_kind": kind.as_str() };
            // Ids rise with time.
            let newest = run(act, self.runs.find_one(query).sort(doc! { "_id": -1 })).await?;
            let newest = newest.map(|document| document.run().map_err(|cause| refused(act, cause))).transpose()?;
            found.extend(newest.and_then(|run| run.completed_at).map(|at| (kind, at)));
        }
        Ok(found)
    }

    async fn check(&self) -> Result<(), RunStoreError> {
        let act = "reach the run ledger";
        ping(&self.database).await.map_err(|cause| failed(act, cause))?;
        self.create_indexes().await?;
        // A write that matches nothing still needs a server that takes writes, and the right to write.
        run(act, self.runs.update_one(doc! { "_id": "" }, doc! { "$set": { "status": "" } })).await?;
        Ok(())
    }
}

fn index(name: &str, keys: Document, unique: bool) -> IndexModel {
    IndexModel::builder()
        .keys(keys)
        .options(IndexOptions::builder().name(name.to_owned()).unique(unique.then_some(true)).build())
        .build()
}

/// How long one operation of the run ledger may take. All are short, and the recorder takes one event of the log at a time: what it
/// waits for here, every run waits for.
const PATIENCE: Duration = Duration::from_secs(15);

/// Performs an operation in the time that one may take.
async fn run<T>(
    act: &str,
    operation: impl IntoFuture<Output = export_mongo::mongodb::error::Result<T>>,
) -> Result<T, RunStoreError> {
    perform_within(PATIENCE, act, operation).await.map_err(|cause| failed(act, cause))
}

/// Inserts a document; `false` when a unique index has it already.
async fn insert<T: serde::Serialize + Send + Sync>(
    act: &str,
    collection: &Collection<T>,
    document: &T,
) -> Result<bool, RunStoreError> {
    match perform_within(PATIENCE, act, collection.insert_one(document)).await {
        Ok(_) => Ok(true),
        Err(cause) if cause.is_duplicate_key() => Ok(false),
        Err(cause) => Err(failed(act, cause)),
    }
}

/// Every document of a query.
async fn all<T: DeserializeOwned + Send + Sync + Unpin>(
    act: &str,
    find: export_mongo::mongodb::action::Find<'_, T>,
) -> Result<Vec<T>, RunStoreError> {
    run(act, async { find.await?.try_collect().await }).await
}

fn failed(act: &str, cause: MongoError) -> RunStoreError {
    let act = act.to_owned();
    if cause.is_transient() {
        RunStoreError::Unavailable { act, cause: Box::new(cause) }
    } else {
        RunStoreError::Refused { act, cause: Box::new(cause) }
    }
}

fn refused(act: &str, cause: impl std::error::Error + Send + Sync + 'static) -> RunStoreError {
    RunStoreError::Refused { act: act.to_owned(), cause: Box::new(cause) }
}
