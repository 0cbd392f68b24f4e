//! An import into MongoDB.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use export_contract::{RecordKind, TenantId};
use export_mongo::bson::{Bson, Document, RawDocumentBuf, doc};
use export_mongo::mongodb::{Collection, Database};
use export_mongo::{perform, perform_again};
use tokio_util::task::AbortOnDropHandle;

use super::imports::{self, Entry, ImportLog};
use super::record::{self, CHUNKS, RECORDS};
use super::{query, store_failed, undecodable};
use crate::batch::{self, Identity, Prepared, Row};
use crate::lease::LeaseTerms;
use crate::line::Fingerprint;
use crate::{ImportSession, LedgerError, NewRecord, PutRecord, Watermark};

/// Ids in one look-up or update.
const IDS_PER_QUERY: usize = 1_000;
/// Documents in one insert; the driver splits further by bytes.
const DOCUMENTS_PER_INSERT: usize = 1_000;

/// Everything a session writes carries its epoch. Once another import has given it up, its epoch stands among the abandoned
/// ones, and what it wrote, or still writes, is not there for anybody.
pub(super) struct MongoSession {
    database: Database,
    log: ImportLog,
    tenant: TenantId,
    terms: LeaseTerms,
    opened: Entry,
    last_sequence: i64,
    as_of: Option<i64>,
    /// A write of which nobody knows how much of it arrived: the session can only be given up.
    broken: bool,
    _renewal: AbortOnDropHandle<()>,
}

/// A current record.
struct Current {
    id: String,
    fingerprint: Fingerprint,
}

impl MongoSession {
    pub(super) async fn begin(database: Database, tenant: &TenantId, terms: LeaseTerms) -> Result<Self, LedgerError> {
        let log = ImportLog::of(&database);
        let opened = log.open(tenant, &terms).await?;
        remove_left_overs(&database, tenant, &opened).await?;
        let renewal = tokio::spawn(renew(log.clone(), opened.clone(), terms.clone()));
        Ok(Self {
            database,
            log,
            tenant: tenant.clone(),
            terms,
            last_sequence: opened.watermark,
            as_of: opened.as_of,
            opened,
            broken: false,
            _renewal: AbortOnDropHandle::new(renewal),
        })
    }

    fn lost(&self) -> LedgerError {
        LedgerError::LeaseLost { tenant: self.tenant.clone() }
    }

    /// Renews the lease, then looks whether it is still held: in this order a lease that was found held is renewed.
    async fn hold(&self) -> Result<(), LedgerError> {
        if self.broken {
            let cause = "an earlier batch of this import was written in part; import again, nothing is imported twice";
            return Err(undecodable("go on with the import", cause));
        }
        self.log.renew(&self.opened, &self.terms).await.map_err(store_failed)?;
        if self.log.is_open(&self.opened).await? { Ok(()) } else { Err(self.lost()) }
    }

    /// The records that `records` would supersede.
    async fn current(&self, records: &[NewRecord]) -> Result<BTreeMap<Identity, Current>, LedgerError> {
        let mut ids: BTreeMap<(RecordKind, &str), Vec<&str>> = BTreeMap::new();
        for record in records {
            ids.entry((record.kind, &record.key.source)).or_default().push(&record.key.document_id);
        }
        let mut found = BTreeMap::new();
        for ((kind, source), ids) in ids {
            for ids in ids.chunks(IDS_PER_QUERY) {
                self.current_of(kind, source, ids, &mut found).await?;
            }
        }
        Ok(found)
    }

    async fn current_of(
        &self,
        kind: RecordKind,
        source: &str,
        ids: &[&str],
        found: &mut BTreeMap<Identity, Current>,
    ) -> Result<(), LedgerError> {
        let act = format!("look up records of tenant `{}`", self.tenant);
        let ids: Vec<Bson> = ids.iter().map(|id| Bson::from(*id)).collect();
        let filter = doc! { "tenant": self.tenant.as_str(), "kind": kind.as_str(), "source": source,
        "document_id": { "$in": ids }, "$and": query::visible(&self.opened, i64::MAX) };
        let records: Collection<RawDocumentBuf> = self.database.collection(RECORDS);
        let fields = doc! { "document_id": 1, "fingerprint": 1 };
        let mut cursor = perform(&act, records.find(filter).projection(fields)).await.map_err(store_failed)?;
        while perform(&act, cursor.advance()).await.map_err(store_failed)? {
            let document = cursor.current();
            let fingerprint = document.get_binary("fingerprint").map_err(|cause| undecodable(&act, cause))?;
            let fingerprint = fingerprint.bytes.try_into().map_err(|cause| undecodable(&act, cause))?;
            let document_id = record::text(document, "document_id")?.to_owned();
            let current =
                Current { id: record::text(document, "_id")?.to_owned(), fingerprint: Fingerprint(fingerprint) };
            found.insert(Identity { kind, source: source.to_owned(), document_id }, current);
        }
        Ok(())
    }

    /// Writes lines before records and records before marks: a record that is there is whole.
    async fn write(
        &self,
        records: &[NewRecord],
        rows: &[Row],
        current: BTreeMap<Identity, Current>,
    ) -> Result<(), LedgerError> {
        let Writes { documents, chunks, superseded } = self.writes(records, rows, current);
        let act = format!("put records of tenant `{}`", self.tenant);
        for chunk in chunks {
            self.insert(&act, CHUNKS, vec![chunk]).await?;
        }
        let mut documents = documents.into_iter().peekable();
        while documents.peek().is_some() {
            let some: Vec<_> = documents.by_ref().take(DOCUMENTS_PER_INSERT).collect();
            self.insert(&act, RECORDS, some).await?;
        }
        for ids in superseded.chunks(IDS_PER_QUERY) {
            self.mark(&act, ids).await?;
        }
        Ok(())
    }

    /// Ids hold the epoch: what is there already came with an attempt whose answer was lost.
    async fn insert(&self, act: &str, collection: &str, documents: Vec<Document>) -> Result<(), LedgerError> {
        let collection: Collection<Document> = self.database.collection(collection);
        match perform_again(act, || collection.insert_many(&documents).ordered(false)).await {
            Err(error) if !error.is_duplicate_key() => Err(store_failed(error)),
            _ => Ok(()),
        }
    }

    /// Marks records as superseded, each unless a later import did: that one has given this one up.
    ///
    /// All get the first sequence of the batch: any sequence of this import says the same at every watermark, and one value
    /// makes one update.
    async fn mark(&self, act: &str, ids: &[String]) -> Result<(), LedgerError> {
        let epoch = self.opened.number;
        let unmarked = doc! { "_id": { "$in": ids }, "$or": [
            { "superseded_by_epoch": Bson::Null },
            { "superseded_by_epoch": { "$lte": epoch } },
        ] };
        let sequence = self.last_sequence + 1;
        let mark = doc! { "$set": { "superseded_at_sequence": sequence, "superseded_by_epoch": epoch } };
        let records: Collection<Document> = self.database.collection(RECORDS);
        let update = || records.update_many(unmarked.clone(), mark.clone());
        perform_again(act, update).await.map(drop).map_err(store_failed)
    }

    fn writes(&self, records: &[NewRecord], rows: &[Row], current: BTreeMap<Identity, Current>) -> Writes {
        let epoch = self.opened.number;
        let mut ids: BTreeMap<Identity, String> =
            current.into_iter().map(|(identity, current)| (identity, current.id)).collect();
        let mut writes = Writes::default();
        for row in rows {
            let Some(record) = records.get(row.index) else { continue };
            let (document, chunks) = record::documents(&self.tenant, epoch, record, row);
            writes.documents.push(document);
            writes.chunks.extend(chunks);
            let id = record::id(&self.tenant, epoch, row.sequence);
            writes.superseded.extend(ids.insert(Identity::of(record), id));
        }
        writes
    }
}

#[derive(Default)]
struct Writes {
    documents: Vec<Document>,
    chunks: Vec<Document>,
    /// Ids of records, some of them of this very batch.
    superseded: Vec<String>,
}

#[async_trait]
impl ImportSession for MongoSession {
    async fn put(&mut self, records: Vec<NewRecord>) -> Result<Vec<PutRecord>, LedgerError> {
        self.hold().await?;
        let records = Arc::new(records);
        let current = self.current(&records).await?;
        let fingerprints = current.iter().map(|(identity, current)| (identity.clone(), current.fingerprint)).collect();
        let Prepared { outcomes, rows } =
            batch::prepare(&self.tenant, Arc::clone(&records), fingerprints, self.last_sequence + 1).await?;
        if rows.is_empty() {
            return Ok(outcomes);
        }
        // Holds too if this future is dropped half way.
        self.broken = true;
        self.write(&records, &rows, current).await?;
        self.broken = false;
        let observed =
            rows.iter().filter_map(|row| records.get(row.index)).map(|record| record.observed_at.as_micros());
        self.as_of = self.as_of.max(observed.max());
        self.last_sequence += i64::try_from(rows.len()).unwrap_or(i64::MAX);
        Ok(outcomes)
    }

    async fn commit(self: Box<Self>) -> Result<Watermark, LedgerError> {
        self.hold().await?;
        if !self.log.commit(&self.opened, self.last_sequence, self.as_of).await? {
            return Err(self.lost());
        }
        imports::watermark(self.last_sequence, self.as_of)
    }

    async fn abandon(self: Box<Self>) -> Result<(), LedgerError> {
        self.log.abandon(&self.opened).await
    }
}

/// Removes what imports before this one have written and not committed. Readers do not need it: it saves room.
async fn remove_left_overs(database: &Database, tenant: &TenantId, opened: &Entry) -> Result<(), LedgerError> {
    if opened.abandoned.is_empty() {
        return Ok(());
    }
    let act = format!("remove what an import of tenant `{tenant}` left");
    // Only earlier imports: should this request arrive very late, it must not touch a later one.
    let left = doc! { "tenant": tenant.as_str(), "sequence": { "$gt": opened.watermark },
    "epoch": { "$lt": opened.number } };
    for name in [RECORDS, CHUNKS] {
        let collection: Collection<Document> = database.collection(name);
        perform_again(&act, || collection.delete_many(left.clone())).await.map_err(store_failed)?;
    }
    Ok(())
}

/// Renews until the lease is gone. A renewal that fails is tried again at the next turn, well before the end.
async fn renew(log: ImportLog, opened: Entry, terms: LeaseTerms) {
    loop {
        tokio::time::sleep(terms.renewal_interval()).await;
        match log.is_open(&opened).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => tracing::warn!(%error, "import lease was not renewed"),
        }
        if let Err(error) = log.renew(&opened, &terms).await {
            tracing::warn!(%error, "import lease was not renewed");
        }
    }
}
