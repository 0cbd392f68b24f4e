//! The audit log: two documents at most for each entry, what begins and what came of it, each written once.
//!
//! Nothing is changed, so nothing depends on a conditional update: a reader takes the end where there is one.

use std::collections::BTreeMap;

use async_trait::async_trait;
use export_contract::audit::{AuditAction, AuditEntry, AuditOutcome};
use export_contract::{TenantId, Timestamp};
use export_mongo::bson::{Document, doc};
use export_mongo::mongodb::{Collection, IndexModel};
use serde::{Deserialize, Serialize};

use super::{MongoRuns, all, index, insert, refused, run};
use crate::audit::{AuditFilter, AuditPage, AuditStore, MAX_AUDIT_PAGE};
use crate::store::RunStoreError;

/// Of `export_audit`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct AuditDocument {
    _id: String,
    tenant: TenantId,
    entry_id: String,
    /// That of the beginning, also in the end.
    place: String,
    /// Microseconds since 1970.
    at: i64,
    action: AuditAction,
    ended: bool,
    document_json: String,
}

impl AuditDocument {
    fn new(entry: &AuditEntry) -> Result<Self, serde_json::Error> {
        let ended = entry.outcome != AuditOutcome::Begun;
        Ok(Self {
            _id: id(&entry.tenant, &entry.id, ended),
            tenant: entry.tenant.clone(),
            entry_id: entry.id.clone(),
            place: entry.place(),
            at: entry.at.as_micros(),
            action: entry.action,
            ended,
            document_json: serde_json::to_string(entry)?,
        })
    }

    fn entry(&self, act: &str) -> Result<AuditEntry, RunStoreError> {
        serde_json::from_str(&self.document_json).map_err(|cause| refused(act, cause))
    }
}

fn id(tenant: &TenantId, entry: &str, ended: bool) -> String {
    format!("{tenant}/{entry}/{}", if ended { "ended" } else { "begun" })
}

impl MongoRuns {
    /// The collection with the indexes that it needs.
    pub(super) fn audit_indexes(&self) -> (Collection<Document>, Vec<IndexModel>) {
        let indexes =
            vec![index("place", doc! { "tenant": 1, "place": -1 }, false), index("at", doc! { "at": 1 }, false)];
        (self.audit.clone_with_type(), indexes)
    }
}

#[async_trait]
impl AuditStore for MongoRuns {
    async fn note(&self, entry: &AuditEntry) -> Result<(), RunStoreError> {
        let act = "write an entry of the audit log";
        let mut entry = entry.clone();
        let ends = entry.outcome != AuditOutcome::Begun;
        let other = doc! { "_id": id(&entry.tenant, &entry.id, !ends) };
        if let Some(other) = run(act, self.audit.find_one(other)).await? {
            if !ends {
                return Ok(());
            }
            entry.at = other.entry(act)?.at;
        }
        let document = AuditDocument::new(&entry).map_err(|cause| refused(act, cause))?;
        insert(act, &self.audit, &document).await.map(|_| ())
    }

    async fn entries_of(&self, tenant: &TenantId, filter: &AuditFilter) -> Result<AuditPage, RunStoreError> {
        let act = "read the audit log";
        let limit = filter.limit.clamp(1, MAX_AUDIT_PAGE);
        let mut query = doc! { "tenant": tenant.as_str() };
        let mut time = Document::new();
        if let Some(since) = filter.since {
            time.insert("$gte", since.as_micros());
        }
        if let Some(until) = filter.until {
            time.insert("$lt", until.as_micros());
        }
        if !time.is_empty() {
            query.insert("at", time);
        }
        if let Some(action) = filter.action {
            query.insert("action", action.as_str());
        }
        if let Some(before) = &filter.before {
            query.insert("place", doc! { "$lt": before });
        }
        // Two documents of an entry have one place, so one that is cut in two at the end is one too many in any case.
        let wanted = 2 * (i64::from(limit) + 1);
        let documents = all(act, self.audit.find(query).sort(doc! { "place": -1 }).limit(wanted)).await?;
        let mut newest: BTreeMap<String, AuditDocument> = BTreeMap::new();
        for document in documents {
            if document.ended || !newest.contains_key(&document.place) {
                newest.insert(document.place.clone(), document);
            }
        }
        let mut entries =
            newest.into_values().rev().map(|document| document.entry(act)).collect::<Result<Vec<_>, _>>()?;
        let limit = limit as usize;
        let more = entries.len() > limit;
        entries.truncate(limit);
        Ok(AuditPage { entries, more })
    }

    async fn forget(&self, until: Timestamp) -> Result<(), RunStoreError> {
        let old = doc! { "at": { "$lt": until.as_micros() } };
        run("remove old entries of the audit log", self.audit.delete_many(old)).await.map(|_| ())
    }
}
