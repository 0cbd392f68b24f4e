//! The served ledger: MongoDB, or a server that speaks its protocol (design D12, D13).

mod imports;
mod query;
mod read;
mod record;
mod session;

use async_trait::async_trait;
use export_contract::message::{LedgerSource, Part};
use export_contract::{RecordKind, Sequence, TenantId, Timestamp};
use export_mongo::bson::{Document, RawDocumentBuf, doc};
use export_mongo::mongodb::options::IndexOptions;
use export_mongo::mongodb::{Collection, Database, IndexModel};
use export_mongo::{MongoError, ensure_indexes, perform};

use self::imports::{IMPORTS, ImportLog};
use self::record::{CHUNKS, RECORDS};
use crate::cutter::{Cutter, PartSize};
use crate::lease::LeaseTerms;
use crate::{EvidenceLedger, ImportSession, LedgerError, LineStream, ReadRange, Selection, Watermark};

/// An evidence ledger in a MongoDB database. Cheap to clone.
///
/// Collections: `evidence_records`, `evidence_chunks` and `evidence_imports`.
#[derive(Clone, Debug)]
pub struct MongoLedger {
    database: Database,
    terms: LeaseTerms,
}

impl MongoLedger {
    /// Uses a database, see [`export_mongo::connect`], and creates the indexes that are missing.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`] where the server does not answer, else [`LedgerError::Refused`].
    pub async fn open(database: Database) -> Result<Self, LedgerError> {
        let ledger = Self { database, terms: LeaseTerms::default() };
        ledger.create_indexes().await?;
        Ok(ledger)
    }

    /// The same ledger with other terms for import leases.
    #[must_use]
    pub fn with_lease(mut self, terms: LeaseTerms) -> Self {
        self.terms = terms;
        self
    }

    async fn create_indexes(&self) -> Result<(), LedgerError> {
        let index = |name: &str, keys: Document| {
            IndexModel::builder().keys(keys).options(IndexOptions::builder().name(name.to_owned()).build()).build()
        };
        let by_sequence = index("evidence_sequence", doc! { "tenant": 1, "sequence": 1 });
        let by_number = index("evidence_imports_number", doc! { "tenant": 1, "number": 1 });
        for (name, indexes) in [(RECORDS, query::indexes()), (CHUNKS, vec![by_sequence]), (IMPORTS, vec![by_number])] {
            let collection: Collection<Document> = self.database.collection(name);
            let act = format!("create the indexes of `{name}`");
            ensure_indexes(&act, &collection, indexes).await.map_err(store_failed)?;
        }
        Ok(())
    }

    fn log(&self) -> ImportLog {
        ImportLog::of(&self.database)
    }
}

#[async_trait]
impl EvidenceLedger for MongoLedger {
    async fn watermark(&self, tenant: &TenantId) -> Result<Watermark, LedgerError> {
        self.log().last(tenant).await?.watermark()
    }

    async fn as_of(&self, tenant: &TenantId, at: Sequence) -> Result<Option<Timestamp>, LedgerError> {
        let act = format!("read the as-of time of tenant `{tenant}`");
        let state = self.log().last(tenant).await?;
        let mut filter = doc! { "tenant": tenant.as_str(), "sequence": { "$lte": position(at) } };
        if !state.abandoned.is_empty() {
            filter.insert("epoch", doc! { "$nin": query::epochs(&state) });
        }
        let records: Collection<RawDocumentBuf> = self.database.collection(RECORDS);
        let newest = records.find_one(filter).sort(doc! { "observed_at": -1 }).projection(doc! { "observed_at": 1 });
        let Some(newest) = perform(&act, newest).await.map_err(store_failed)? else {
            return Ok(None);
        };
        let micros = newest.get_i64("observed_at").map_err(|cause| undecodable(&act, cause))?;
        Timestamp::from_micros(micros).map(Some).map_err(|cause| undecodable(&act, cause))
    }

    async fn sources(&self, tenant: &TenantId, at: Sequence) -> Result<Vec<LedgerSource>, LedgerError> {
        let act = format!("list the sources of tenant `{tenant}`");
        let state = self.log().last(tenant).await?;
        let records: Collection<RawDocumentBuf> = self.database.collection(RECORDS);
        let mut sources = Vec::new();
        for kind in RecordKind::ALL {
            let visible = query::visible(&state, position(at));
            let counted = records.aggregate([
                doc! { "$match": { "tenant": tenant.as_str(), "kind": kind.as_str(), "$and": visible } },
                doc! { "$group": { "_id": "$source", "records": { "$sum": 1_i64 } } },
            ]);
            let counted = counted.with_type::<Counted>();
            let mut cursor = perform(&act, counted).await.map_err(store_failed)?;
            while perform(&act, cursor.advance()).await.map_err(store_failed)? {
                let counted = cursor.deserialize_current().map_err(|cause| undecodable(&act, cause))?;
                sources.push(LedgerSource { kind, name: counted.source, records: counted.records });
            }
        }
        sources.sort_unstable_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        Ok(sources)
    }

    async fn cut(
        &self,
        selection: &Selection,
        kind: RecordKind,
        size: PartSize,
        first_index: u32,
    ) -> Result<Vec<Part>, LedgerError> {
        let act = format!("cut {} of tenant `{}`", kind.file_stem(), selection.tenant);
        let state = self.log().last(&selection.tenant).await?;
        match query::in_order(&state, selection, kind, Vec::new()) {
            Some(filter) => read::cut(&self.database, filter, &act, Cutter::new(size, kind, first_index)).await,
            None => Ok(Vec::new()),
        }
    }

    async fn read(&self, range: ReadRange) -> Result<LineStream, LedgerError> {
        let act = format!("read {} of tenant `{}`", range.kind.file_stem(), range.selection.tenant);
        let state = self.log().last(&range.selection.tenant).await?;
        match query::in_order(&state, &range.selection, range.kind, query::bounds(&range)) {
            Some(filter) => Ok(read::stream(self.database.clone(), filter, act)),
            None => Ok(Box::pin(futures::stream::empty())),
        }
    }

    async fn begin_import(&self, tenant: &TenantId) -> Result<Box<dyn ImportSession>, LedgerError> {
        let session = session::MongoSession::begin(self.database.clone(), tenant, self.terms.clone()).await?;
        Ok(Box::new(session))
    }

    async fn check(&self) -> Result<(), LedgerError> {
        self.create_indexes().await
    }
}

#[derive(serde::Deserialize)]
struct Counted {
    #[serde(rename = "_id")]
    source: String,
    records: u64,
}

fn position(at: Sequence) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

/// The ledger holds what it must not hold.
fn undecodable(act: &str, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> LedgerError {
    LedgerError::Refused { act: act.to_owned(), cause: cause.into() }
}

/// An error of the driver, in the words of the port.
fn store_failed(error: MongoError) -> LedgerError {
    let transient = error.is_transient();
    let (act, cause): (String, Box<dyn std::error::Error + Send + Sync>) = match error {
        MongoError::Failed { act, cause } => (act, cause),
        MongoError::TimedOut { ref act, .. } => (act.clone(), error.into()),
    };
    if transient { LedgerError::Unavailable { act, cause } } else { LedgerError::Refused { act, cause } }
}

#[cfg(test)]
mod tests;
