//! The log of a tenant's imports, which decides who imports and what is committed.
//!
//! Entry `n` of a tenant is one document whose `_id` holds `n`. An import is an *open* entry and, after it, a *committed* or an
//! *abandoned* one; the last entry is the state of the tenant. Every step is the insertion of entry `n + 1` by one who
//! has seen entry `n`, and the unique `_id` lets one of them through. Nothing else is needed of the server: no
//! transaction, and no atomic conditional update, which FerretDB does not have.

use export_contract::{Sequence, TenantId, Timestamp};
use export_mongo::bson::oid::ObjectId;
use export_mongo::bson::{Bson, doc};
use export_mongo::mongodb::{Collection, Database};
use export_mongo::{MongoError, perform, perform_again};
use serde::{Deserialize, Serialize};

use super::{store_failed, undecodable};
use crate::lease::LeaseTerms;
use crate::{LedgerError, Watermark};

/// Name of the collection.
pub(super) const IMPORTS: &str = "evidence_imports";

/// Rounds of a race for the next entry; each lost round means that somebody else went on.
const ROUNDS: u32 = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Open,
    Committed,
    Abandoned,
}

/// An entry. Open and abandoned ones repeat the watermark of the last committed one, so that the last entry says all.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    #[serde(rename = "_id")]
    id: String,
    tenant: TenantId,
    /// Counts the entries of a tenant from 1. That of an open entry is the *epoch* of all that the import writes.
    pub(super) number: i64,
    pub(super) state: State,
    /// Tells who made it, so that one who lost the answer to an insertion knows his own entry.
    session: ObjectId,
    /// Microseconds since 1970; of an open entry.
    lease_until: Option<i64>,
    pub(super) watermark: i64,
    pub(super) as_of: Option<i64>,
    /// Epochs that were never committed. What they wrote is not there, even if it arrives after they were given up.
    pub(super) abandoned: Vec<i64>,
}

impl Entry {
    pub(super) fn before_all(tenant: &TenantId) -> Self {
        Self {
            id: id(tenant, 0),
            tenant: tenant.clone(),
            number: 0,
            state: State::Committed,
            session: ObjectId::new(),
            lease_until: None,
            watermark: 0,
            as_of: None,
            abandoned: Vec::new(),
        }
    }

    fn next(&self, state: State) -> Self {
        let number = self.number + 1;
        Self { id: id(&self.tenant, number), number, state, lease_until: None, ..self.clone() }
    }

    fn abandon(&self) -> Self {
        let mut entry = self.next(State::Abandoned);
        entry.abandoned.push(self.number);
        entry
    }

    pub(super) fn watermark(&self) -> Result<Watermark, LedgerError> {
        watermark(self.watermark, self.as_of)
    }
}

pub(super) fn watermark(sequence: i64, as_of: Option<i64>) -> Result<Watermark, LedgerError> {
    Ok(Watermark { sequence: Sequence(sequence.unsigned_abs()), as_of: as_of.map(timestamp).transpose()? })
}

fn id(tenant: &TenantId, number: i64) -> String {
    format!("{tenant}/{number}")
}

fn timestamp(micros: i64) -> Result<Timestamp, LedgerError> {
    Timestamp::from_micros(micros).map_err(|cause| undecodable("read a time of the import log", cause))
}

/// The log of all tenants.
#[derive(Clone, Debug)]
pub(super) struct ImportLog {
    entries: Collection<Entry>,
}

impl ImportLog {
    pub(super) fn of(database: &Database) -> Self {
        Self { entries: database.collection(IMPORTS) }
    }

    /// The state of a tenant.
    pub(super) async fn last(&self, tenant: &TenantId) -> Result<Entry, LedgerError> {
        let newest = self.entries.find_one(doc! { "tenant": tenant.as_str() }).sort(doc! { "number": -1 });
        let found = perform(&format!("read the imports of tenant `{tenant}`"), newest).await.map_err(store_failed)?;
        Ok(found.unwrap_or_else(|| Entry::before_all(tenant)))
    }

    /// Inserts an entry unless another one has its number.
    async fn append(&self, entry: &Entry) -> Result<bool, LedgerError> {
        let act = format!("append to the imports of tenant `{}`", entry.tenant);
        match perform_again(&act, || self.entries.insert_one(entry)).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_duplicate_key() => {
                let there = self.entry(&entry.tenant, entry.number).await?;
                Ok(there.is_some_and(|there| (there.session, there.state) == (entry.session, entry.state)))
            }
            Err(error) => Err(store_failed(error)),
        }
    }

    /// Opens an import. One whose lease has ended is abandoned first.
    pub(super) async fn open(&self, tenant: &TenantId, terms: &LeaseTerms) -> Result<Entry, LedgerError> {
        for _ in 0..ROUNDS {
            let last = self.last(tenant).await?;
            if last.state == State::Open {
                let until = last.lease_until.unwrap_or_default();
                if until > terms.now().as_micros() {
                    return Err(LedgerError::ImportInProgress { tenant: tenant.clone(), until: timestamp(until)? });
                }
                self.append(&last.abandon()).await?;
                continue;
            }
            let lease_until = Some(terms.end().as_micros());
            let entry = Entry { session: ObjectId::new(), lease_until, ..last.next(State::Open) };
            if self.append(&entry).await? {
                return Ok(entry);
            }
        }
        Err(LedgerError::ImportInProgress { tenant: tenant.clone(), until: terms.end() })
    }

    /// Whether the import that opened with `entry` has neither ended nor been given up by another one.
    pub(super) async fn is_open(&self, entry: &Entry) -> Result<bool, LedgerError> {
        Ok(self.entry(&entry.tenant, entry.number + 1).await?.is_none())
    }

    async fn entry(&self, tenant: &TenantId, number: i64) -> Result<Option<Entry>, LedgerError> {
        let act = format!("read the imports of tenant `{tenant}`");
        perform(&act, self.entries.find_one(doc! { "_id": id(tenant, number) })).await.map_err(store_failed)
    }

    /// Moves the end of the lease. Does not say whether it is still held: [`Self::is_open`] does.
    pub(super) async fn renew(&self, entry: &Entry, terms: &LeaseTerms) -> Result<(), MongoError> {
        let act = format!("renew the import lease of tenant `{}`", entry.tenant);
        let later = doc! { "$max": { "lease_until": terms.end().as_micros() } };
        let this = doc! { "_id": Bson::from(&entry.id) };
        perform_again(&act, || self.entries.update_one(this.clone(), later.clone())).await.map(drop)
    }

    /// Commits the import that opened with `entry`. False where it was given up before.
    pub(super) async fn commit(&self, entry: &Entry, watermark: i64, as_of: Option<i64>) -> Result<bool, LedgerError> {
        self.append(&Entry { watermark, as_of, ..entry.next(State::Committed) }).await
    }

    /// Gives up the import that opened with `entry`, unless another one has done so before.
    pub(super) async fn abandon(&self, entry: &Entry) -> Result<(), LedgerError> {
        self.append(&entry.abandon()).await.map(drop)
    }
}
