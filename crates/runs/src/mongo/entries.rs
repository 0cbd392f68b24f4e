//! Schedules, webhooks and deliveries: a document for each revision, so that of several writers of a revision one wins.
//!
//! The newest revision counts. Who writes one marks those before as superseded; where it stops before that, whoever comes
//! upon an old revision sees the newer one, and marks it. A removed entry leaves its last revision, marked as removed, for
//! the numbers to go on. Old revisions are removed much later than any call may take, so that a late writer of a taken
//! number still finds it taken.

use std::collections::BTreeMap;

use async_trait::async_trait;
use export_contract::run::{Run, RunRef, RunStatus};
use export_contract::schedule::Schedule;
use export_contract::webhook::Delivery;
use export_contract::{TenantId, Timestamp};
use export_mongo::bson::{Document, doc};
use export_mongo::mongodb::Collection;
use serde::{Deserialize, Serialize};

use super::rows::RunDocument;
use super::{MongoRuns, all, insert, refused, run};
use crate::entries::{DeletedProfile, Entries, Entry, Page};
use crate::idempotency::KnownKey;
use crate::store::RunStoreError;
use crate::webhook::{KeptWebhook, Outbox};

/// Revisions that are kept behind the newest one.
const KEPT_REVISIONS: u32 = 64;

/// Of `export_schedules`, `export_webhooks` and their like: one revision.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct EntryDocument {
    _id: String,
    tenant: TenantId,
    entry_id: String,
    parent: String,
    revision: u32,
    /// Microseconds since 1970.
    due: Option<i64>,
    superseded: bool,
    removed: bool,
    document_json: String,
}

impl EntryDocument {
    fn new<E: Entry>(entry: &E) -> Result<Self, serde_json::Error> {
        Ok(Self {
            _id: format!("{}/{}/{:010}", entry.tenant(), entry.id(), entry.revision()),
            tenant: entry.tenant().clone(),
            entry_id: entry.id().to_owned(),
            parent: entry.parent().to_owned(),
            revision: entry.revision(),
            due: entry.due().map(Timestamp::as_micros),
            superseded: false,
            removed: false,
            document_json: serde_json::to_string(entry)?,
        })
    }

    fn entry<E: Entry>(&self, act: &str) -> Result<E, RunStoreError> {
        serde_json::from_str(&self.document_json).map_err(|cause| refused(act, cause))
    }
}

impl MongoRuns {
    /// The collections of entries with the indexes that they need.
    pub(super) fn entry_indexes(&self) -> Vec<(Collection<Document>, Vec<export_mongo::mongodb::IndexModel>)> {
        let of = |table: &str| {
            let indexes = vec![
                super::index("newest", doc! { "tenant": 1, "entry_id": 1, "revision": -1 }, false),
                super::index("page", doc! { "tenant": 1, "parent": 1, "superseded": 1, "entry_id": -1 }, false),
                super::index("due", doc! { "superseded": 1, "due": 1 }, false),
            ];
            (self.database.collection::<Document>(table), indexes)
        };
        let tables = [Schedule::TABLE, KeptWebhook::TABLE, Delivery::TABLE, KnownKey::TABLE, DeletedProfile::TABLE];
        tables.into_iter().map(of).collect()
    }

    fn kept<E: Entry>(&self) -> Collection<EntryDocument> {
        self.database.collection(E::TABLE)
    }

    async fn newest<E: Entry>(
        &self,
        act: &str,
        tenant: &TenantId,
        id: &str,
    ) -> Result<Option<EntryDocument>, RunStoreError> {
        let query = doc! { "tenant": tenant.as_str(), "entry_id": id };
        run(act, self.kept::<E>().find_one(query).sort(doc! { "revision": -1 })).await
    }

    /// Marks what is older than a revision, and removes what is much older.
    async fn supersede<E: Entry>(&self, act: &str, newest: &EntryDocument) -> Result<(), RunStoreError> {
        let older = |than: u32| {
            doc! { "tenant": newest.tenant.as_str(), "entry_id": &newest.entry_id, "revision": { "$lt": than } }
        };
        let mut stale = older(newest.revision);
        stale.insert("superseded", false);
        let mark = doc! { "$set": { "superseded": true } };
        run(act, self.kept::<E>().update_many(stale, mark)).await?;
        if newest.revision > KEPT_REVISIONS && newest.revision.is_multiple_of(16) {
            run(act, self.kept::<E>().delete_many(older(newest.revision - KEPT_REVISIONS))).await?;
        }
        Ok(())
    }

    /// Inserts a revision; `false` where it is taken.
    async fn put<E: Entry>(&self, act: &str, document: &EntryDocument) -> Result<bool, RunStoreError> {
        if !insert(act, &self.kept::<E>(), document).await? {
            return Ok(false);
        }
        // It is written: what is not marked now is marked by the next who comes upon it.
        if let Err(error) = self.supersede::<E>(act, document).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "old revisions are not marked");
        }
        Ok(true)
    }
}

#[async_trait]
impl Entries for MongoRuns {
    async fn entries<E: Entry>(&self, tenant: &TenantId, page: Option<Page>) -> Result<Vec<E>, RunStoreError> {
        let act = &format!("list each {}", E::NAME);
        let mut query = doc! { "tenant": tenant.as_str(), "superseded": false };
        let Some(Page { parent, before, limit }) = page else {
            let mut newest: BTreeMap<String, EntryDocument> = BTreeMap::new();
            for document in all(act, self.kept::<E>().find(query)).await? {
                if newest.get(&document.entry_id).is_none_or(|known| known.revision < document.revision) {
                    newest.insert(document.entry_id.clone(), document);
                }
            }
            return newest.values().filter(|document| !document.removed).map(|document| document.entry(act)).collect();
        };
        query.insert("parent", parent);
        if let Some(before) = before {
            query.insert("entry_id", doc! { "$lt": before });
        }
        // An entry may stand there twice for a moment: some more are read, so that the page is as long as it can be.
        let sort = doc! { "entry_id": -1, "revision": -1 };
        let kept = self.kept::<E>();
        let find = kept.find(query).sort(sort).limit(i64::from(limit) + 16);
        let mut documents = all(act, find).await?;
        documents.dedup_by(|later, earlier| later.entry_id == earlier.entry_id);
        documents.truncate(limit as usize);
        documents.iter().filter(|document| !document.removed).map(|document| document.entry(act)).collect()
    }

    async fn entry<E: Entry>(&self, tenant: &TenantId, id: &str) -> Result<Option<E>, RunStoreError> {
        let act = &format!("read a {}", E::NAME);
        let newest = self.newest::<E>(act, tenant, id).await?;
        newest.filter(|document| !document.removed).map(|document| document.entry(act)).transpose()
    }

    async fn add<E: Entry>(&self, entry: E) -> Result<Option<E>, RunStoreError> {
        let act = &format!("write a {}", E::NAME);
        let last = self.newest::<E>(act, entry.tenant(), entry.id()).await?;
        if last.as_ref().is_some_and(|last| !last.removed) {
            return Ok(None);
        }
        let entry = entry.with_revision(last.map_or(1, |last| last.revision.saturating_add(1)));
        let document = EntryDocument::new(&entry).map_err(|cause| refused(act, cause))?;
        Ok(self.put::<E>(act, &document).await?.then_some(entry))
    }

    async fn replace<E: Entry>(&self, entry: E) -> Result<bool, RunStoreError> {
        let act = &format!("change a {}", E::NAME);
        let last = self.newest::<E>(act, entry.tenant(), entry.id()).await?;
        let fits = |last: &EntryDocument| !last.removed && last.revision.checked_add(1) == Some(entry.revision());
        if !last.as_ref().is_some_and(fits) {
            return Ok(false);
        }
        let document = EntryDocument::new(&entry).map_err(|cause| refused(act, cause))?;
        self.put::<E>(act, &document).await
    }

    async fn remove<E: Entry>(&self, tenant: &TenantId, id: &str) -> Result<bool, RunStoreError> {
        let act = &format!("remove a {}", E::NAME);
        if !E::COMES_AGAIN {
            let every = doc! { "tenant": tenant.as_str(), "entry_id": id };
            return Ok(run(act, self.kept::<E>().delete_many(every)).await?.deleted_count > 0);
        }
        loop {
            let Some(last) = self.newest::<E>(act, tenant, id).await?.filter(|last| !last.removed) else {
                return Ok(false);
            };
            let revision = last.revision.saturating_add(1);
            let grave = EntryDocument {
                _id: format!("{tenant}/{id}/{revision:010}"),
                revision,
                due: None,
                removed: true,
                superseded: false,
                document_json: String::new(),
                ..last
            };
            if self.put::<E>(act, &grave).await? {
                return Ok(true);
            }
        }
    }

    async fn due<E: Entry>(&self, now: Timestamp, limit: u32) -> Result<Vec<E>, RunStoreError> {
        let act = &format!("find each {} that is due", E::NAME);
        let query = doc! { "superseded": false, "due": { "$lte": now.as_micros() } };
        let sort = doc! { "due": 1, "_id": 1 };
        let kept = self.kept::<E>();
        let find = kept.find(query).sort(sort).limit(i64::from(limit.max(1)));
        let mut due = Vec::new();
        for document in all(act, find).await? {
            match self.newest::<E>(act, &document.tenant, &document.entry_id).await? {
                Some(newest) if newest.revision == document.revision => due.push(document.entry(act)?),
                Some(newest) => self.supersede::<E>(act, &newest).await?,
                None => {}
            }
        }
        Ok(due)
    }
}

#[async_trait]
impl Outbox for MongoRuns {
    /// By the documents: a run whose writer stopped before its document comes into the list once somebody has read it,
    /// which the reconciler does soon.
    async fn unannounced(&self, limit: u32) -> Result<Vec<Run>, RunStoreError> {
        let act = "read the outbox";
        let ended: Vec<&str> =
            RunStatus::ALL.into_iter().filter(|status| status.is_terminal()).map(RunStatus::as_str).collect();
        let query = doc! { "unannounced": true, "status": { "$in": ended } };
        let sort = doc! { "last_event_at": 1, "_id": 1 };
        let find = self.runs.find(query).sort(sort).limit(i64::from(limit.max(1)));
        let documents = all(act, find).await?;
        documents.iter().map(RunDocument::run).collect::<Result<_, _>>().map_err(|cause| refused(act, cause))
    }

    /// A late writer of the run's document may bring it back into the outbox: then its end is told of again, under the
    /// same ids, which changes nothing.
    async fn announced(&self, wanted: &RunRef) -> Result<bool, RunStoreError> {
        let query = doc! {
            "_id": wanted.run.as_str(), "tenant": wanted.tenant.as_str(), "generation": wanted.generation.0,
            "unannounced": true,
        };
        let mark = doc! { "$set": { "unannounced": false } };
        let marked = run("take a run out of the outbox", self.runs.update_one(query, mark)).await?;
        Ok(marked.modified_count > 0)
    }
}
