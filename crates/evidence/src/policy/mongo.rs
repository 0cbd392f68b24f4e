//! The served store: `policy_snapshots`, `policy_findings` and `enrichment` in a MongoDB database.
//!
//! Documents keep their text as a zstd frame. Writes go to rows that a unique index names, so two imports at
//! once cannot double one.

mod read;
mod rows;

use std::collections::BTreeMap;

use async_trait::async_trait;
use export_contract::TenantId;
use export_mongo::bson::{Bson, Document, doc};
use export_mongo::mongodb::options::IndexOptions;
use export_mongo::mongodb::{Collection, Database, IndexModel};
use export_mongo::{MongoError, ensure_indexes, perform, perform_again};

use self::rows::{digest, key, packed, place, text, time, unpacked};
use super::{Enrichment, FindingKey, PolicyFinding, PolicySnapshot, PolicyStore};
use crate::{LedgerError, PutRecord};

const SNAPSHOTS: &str = "policy_snapshots";
const FINDINGS: &str = "policy_findings";
const ENRICHMENT: &str = "enrichment";

/// A policy store in a MongoDB database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct MongoPolicyStore {
    database: Database,
}

impl MongoPolicyStore {
    /// Uses a database, see [`export_mongo::connect`], and creates the indexes that are missing.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`] where the server does not answer, else [`LedgerError::Refused`].
    pub async fn open(database: Database) -> Result<Self, LedgerError> {
        let store = Self { database };
        let unique = |name: &str, keys: Document, unique: bool| {
            let options = IndexOptions::builder().name(name.to_owned()).unique(unique).build();
            IndexModel::builder().keys(keys).options(options).build()
        };
        let place = doc! { "tenant": 1, "snapshot_id": 1, "subject": 1, "advisory": 1, "finding_id": 1 };
        let order = doc! { "tenant": 1, "generated_at": 1, "snapshot_id": 1 };
        for (name, indexes) in [
            (
                SNAPSHOTS,
                vec![
                    unique("policy_snapshots_id", doc! { "tenant": 1, "snapshot_id": 1 }, true),
                    unique("policy_snapshots_order", order, false),
                ],
            ),
            (FINDINGS, vec![unique("policy_findings_place", place, true)]),
            (ENRICHMENT, vec![unique("enrichment_name", doc! { "tenant": 1, "name": 1 }, true)]),
        ] {
            let act = format!("create the indexes of `{name}`");
            ensure_indexes(&act, &store.collection(name), indexes).await.map_err(failed)?;
        }
        Ok(store)
    }

    fn collection(&self, name: &str) -> Collection<Document> {
        self.database.collection(name)
    }

    /// Puts `row` where `place` is, unless the same text stands there.
    async fn put(&self, act: &str, name: &str, place: Document, mut row: Document) -> Result<PutRecord, LedgerError> {
        let collection = self.collection(name);
        let found = perform_again(act, || collection.find_one(place.clone())).await.map_err(failed)?;
        let put = match &found {
            None => PutRecord::Added,
            Some(found) if found.get("raw") == row.get("raw") => return Ok(PutRecord::Unchanged),
            Some(_) => PutRecord::Changed,
        };
        row.extend(place.clone());
        self.replace(act, &collection, place, row).await?;
        Ok(put)
    }

    /// Doing it twice gives the same row. Where two do it at once, one may find the other's row under the unique index,
    /// and then overwrites it.
    async fn replace(
        &self,
        act: &str,
        collection: &Collection<Document>,
        place: Document,
        row: Document,
    ) -> Result<(), LedgerError> {
        let replace = || collection.replace_one(place.clone(), row.clone()).upsert(true);
        match perform_again(act, replace).await {
            Err(error) if error.is_duplicate_key() => perform_again(act, replace).await.map(drop).map_err(failed),
            outcome => outcome.map(drop).map_err(failed),
        }
    }

    /// Inserts rows of findings. Those that an attempt has left whose answer was lost are overwritten.
    async fn insert(&self, act: &str, rows: Vec<Document>) -> Result<(), LedgerError> {
        let findings = self.collection(FINDINGS);
        match perform_again(act, || findings.insert_many(&rows).ordered(false)).await {
            Err(error) if error.is_duplicate_key() => {}
            outcome => return outcome.map(drop).map_err(failed),
        }
        for row in rows {
            let fields = ["tenant", "snapshot_id", "subject", "advisory", "finding_id"];
            let place = fields.iter().filter_map(|name| Some(((*name).to_owned(), row.get(*name)?.clone()))).collect();
            self.replace(act, &findings, place, row).await?;
        }
        Ok(())
    }

    async fn all(&self, act: &str, name: &str, filter: Document, sort: Document) -> Result<Vec<Document>, LedgerError> {
        let mut cursor = perform(act, self.collection(name).find(filter).sort(sort)).await.map_err(failed)?;
        let mut rows = Vec::new();
        while perform(act, cursor.advance()).await.map_err(failed)? {
            rows.push(cursor.deserialize_current().map_err(|cause| undecodable(act, cause))?);
        }
        Ok(rows)
    }
}

#[async_trait]
impl PolicyStore for MongoPolicyStore {
    async fn put_snapshot(&self, tenant: &TenantId, snapshot: PolicySnapshot) -> Result<PutRecord, LedgerError> {
        let act = format!("write policy snapshot of tenant `{tenant}`");
        let row = doc! {
            "generated_at": snapshot.generated_at.as_micros(),
            "policy_version": snapshot.policy_version,
            "inputs_hash": snapshot.inputs_hash,
            "digest": snapshot.digest.to_string(),
            "raw": packed(&act, &snapshot.raw)?,
        };
        let place = doc! { "tenant": tenant.as_str(), "snapshot_id": snapshot.snapshot_id };
        self.put(&act, SNAPSHOTS, place, row).await
    }

    async fn put_findings(
        &self,
        tenant: &TenantId,
        findings: Vec<PolicyFinding>,
    ) -> Result<Vec<PutRecord>, LedgerError> {
        if findings.is_empty() {
            return Ok(Vec::new());
        }
        let act = format!("write policy findings of tenant `{tenant}`");
        let places: Vec<Document> = findings.iter().map(|finding| place(tenant, finding)).collect();
        let known = self.all(&act, FINDINGS, doc! { "$or": &places }, doc! { "_id": 1 }).await?;
        let mut known: BTreeMap<(String, FindingKey), Bson> = known
            .into_iter()
            .map(|row| {
                Ok(((text(&act, &row, "snapshot_id")?, key(&act, &row)?), row.get("raw").cloned().unwrap_or_default()))
            })
            .collect::<Result<_, LedgerError>>()?;
        let mut puts = Vec::new();
        // New rows in one request, in order; a later finding of the same place overwrites its row here already.
        let mut new: BTreeMap<(String, FindingKey), Document> = BTreeMap::new();
        for (finding, place) in findings.into_iter().zip(places) {
            let raw = packed(&act, &finding.raw)?;
            let at = (finding.snapshot_id.clone(), finding.key.clone());
            let before = known.insert(at.clone(), raw.clone());
            let mut row = doc! { "status": finding.status, "severity": finding.severity, "raw": raw.clone() };
            row.extend(place.clone());
            puts.push(match before {
                Some(before) if before == raw => PutRecord::Unchanged,
                Some(_) if !new.contains_key(&at) => {
                    self.replace(&act, &self.collection(FINDINGS), place, row).await?;
                    PutRecord::Changed
                }
                Some(_) => {
                    new.insert(at, row);
                    PutRecord::Changed
                }
                None => {
                    new.insert(at, row);
                    PutRecord::Added
                }
            });
        }
        if !new.is_empty() {
            self.insert(&act, new.into_values().collect()).await?;
        }
        Ok(puts)
    }

    async fn put_enrichment(&self, tenant: &TenantId, enrichment: Enrichment) -> Result<PutRecord, LedgerError> {
        let act = format!("write enrichment `{}` of tenant `{tenant}`", enrichment.name);
        let row = doc! {
            "source": enrichment.source,
            "observed_at": enrichment.observed_at.as_micros(),
            "digest": enrichment.digest.to_string(),
            "raw": packed(&act, &enrichment.raw)?,
        };
        self.put(&act, ENRICHMENT, doc! { "tenant": tenant.as_str(), "name": enrichment.name }, row).await
    }

    async fn enrichments(&self, tenant: &TenantId) -> Result<Vec<Enrichment>, LedgerError> {
        let act = format!("list enrichment of tenant `{tenant}`");
        let rows = self.all(&act, ENRICHMENT, doc! { "tenant": tenant.as_str() }, doc! { "name": 1 }).await?;
        rows.iter()
            .map(|row| {
                Ok(Enrichment {
                    name: text(&act, row, "name")?,
                    source: text(&act, row, "source")?,
                    observed_at: time(&act, row, "observed_at")?,
                    digest: digest(&act, row)?,
                    raw: unpacked(&act, row)?,
                })
            })
            .collect()
    }
}

/// The store holds what it must not hold.
fn undecodable(act: &str, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> LedgerError {
    LedgerError::Refused { act: act.to_owned(), cause: cause.into() }
}

/// An error of the driver, in the words of the port.
fn failed(error: MongoError) -> LedgerError {
    let transient = error.is_transient();
    let (act, cause): (String, Box<dyn std::error::Error + Send + Sync>) = match error {
        MongoError::Failed { act, cause } => (act, cause),
        MongoError::TimedOut { ref act, .. } => (act.clone(), error.into()),
    };
    if transient { LedgerError::Unavailable { act, cause } } else { LedgerError::Refused { act, cause } }
}

#[cfg(test)]
mod tests {
    use export_contract::TenantId;
    use export_mongo::ferretdb::FerretDb;
    use futures::TryStreamExt as _;
    use futures::future::try_join_all;

    use super::MongoPolicyStore;
    use crate::policy::{FindingKey, PolicyFinding, PolicySource as _, PolicyStore as _};

    #[tokio::test]
    async fn the_served_store_keeps_the_port() {
        let Some(server) = FerretDb::start().await.unwrap() else {
            return;
        };
        let database = server.database("policy").await.unwrap();
        let store = MongoPolicyStore::open(database).await.unwrap();
        crate::policy::suite::keeps_the_ports(&store).await;
    }

    #[tokio::test]
    async fn writers_at_once_all_get_through() {
        let Some(server) = FerretDb::start().await.unwrap() else {
            return;
        };
        let store = MongoPolicyStore::open(server.database("busy").await.unwrap()).await.unwrap();
        let tenant: TenantId = "acme".parse().unwrap();
        let finding = |snapshot: usize, n: usize, raw: &'static str| PolicyFinding {
            snapshot_id: format!("s{snapshot}"),
            key: FindingKey { subject: format!("pkg:{n:03}"), advisory: "A".into(), finding_id: "f".into() },
            status: "open".into(),
            severity: "high".into(),
            raw: raw.into(),
        };
        for raw in ["{}", r#"{"changed":1}"#] {
            let writers = (0..8).map(|snapshot| {
                let findings = (0..20).map(|n| finding(snapshot, n, raw)).collect();
                store.put_findings(&tenant, findings)
            });
            try_join_all(writers).await.unwrap();
        }
        for snapshot in 0..8 {
            let found = store.findings(&tenant, &format!("s{snapshot}")).await.unwrap();
            let found: Vec<_> = found.try_concat().await.unwrap();
            let expected: Vec<_> = (0..20).map(|n| finding(snapshot, n, r#"{"changed":1}"#)).collect();
            assert_eq!(found, expected);
        }
    }
}
