//! A ledger and a policy store in memory that show what import put.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use export_contract::message::{LedgerSource, Part};
use export_contract::{RecordKind, Sequence, TenantId, Timestamp};
use export_evidence::policy::{Enrichment, PolicyFinding, PolicySnapshot, PolicyStore};
use export_evidence::{
    EvidenceLedger, ImportSession, LedgerError, LineStream, NewRecord, PartSize, PutRecord, ReadRange, Selection,
    Watermark,
};

pub(crate) type Identity = (RecordKind, String, String);

/// Committed records by identity.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryLedger {
    pub(crate) records: Arc<Mutex<BTreeMap<Identity, NewRecord>>>,
    /// Forgets raw documents, for the whole evidence.
    pub(crate) without_raw: bool,
    /// How many sessions gave their lease back.
    pub(crate) abandoned: Arc<std::sync::atomic::AtomicUsize>,
    /// Fails on the n-th put.
    pub(crate) fail_on_put: Option<usize>,
}

impl MemoryLedger {
    pub(crate) fn all(&self) -> Vec<NewRecord> {
        self.records.lock().unwrap().values().cloned().collect()
    }
}

struct Session {
    ledger: MemoryLedger,
    staged: BTreeMap<Identity, NewRecord>,
    puts: usize,
}

#[async_trait]
impl ImportSession for Session {
    async fn put(&mut self, records: Vec<NewRecord>) -> Result<Vec<PutRecord>, LedgerError> {
        self.puts += 1;
        if self.ledger.fail_on_put == Some(self.puts) {
            return Err(refused("put"));
        }
        let committed = self.ledger.records.lock().unwrap();
        let mut puts = Vec::new();
        for mut record in records {
            if self.ledger.without_raw {
                let digest = export_canon::digesting::sha256(&record.raw);
                record.raw = bytes::Bytes::copy_from_slice(digest.as_bytes());
            }
            let identity = (record.kind, record.key.source.clone(), record.key.document_id.clone());
            let before = self.staged.get(&identity).or_else(|| committed.get(&identity));
            puts.push(match before {
                None => PutRecord::Added,
                Some(before) if before.raw == record.raw && before.linkset == record.linkset => PutRecord::Unchanged,
                Some(_) => PutRecord::Changed,
            });
            self.staged.insert(identity, record);
        }
        Ok(puts)
    }

    async fn abandon(self: Box<Self>) -> Result<(), LedgerError> {
        self.ledger.abandoned.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }

    async fn commit(self: Box<Self>) -> Result<Watermark, LedgerError> {
        let mut committed = self.ledger.records.lock().unwrap();
        committed.extend(self.staged);
        Ok(Watermark { sequence: Sequence(committed.len() as u64), as_of: None })
    }
}

fn refused(act: &str) -> LedgerError {
    LedgerError::Refused { act: act.to_owned(), cause: "not here".into() }
}

#[async_trait]
impl EvidenceLedger for MemoryLedger {
    async fn watermark(&self, _: &TenantId) -> Result<Watermark, LedgerError> {
        Ok(Watermark::default())
    }
    async fn as_of(&self, _: &TenantId, _: Sequence) -> Result<Option<Timestamp>, LedgerError> {
        Ok(None)
    }
    async fn sources(&self, _: &TenantId, _: Sequence) -> Result<Vec<LedgerSource>, LedgerError> {
        Err(refused("list sources"))
    }
    async fn cut(&self, _: &Selection, _: RecordKind, _: PartSize, _: u32) -> Result<Vec<Part>, LedgerError> {
        Err(refused("cut"))
    }
    async fn read(&self, _: ReadRange) -> Result<LineStream, LedgerError> {
        Err(refused("read"))
    }
    async fn begin_import(&self, _: &TenantId) -> Result<Box<dyn ImportSession>, LedgerError> {
        Ok(Box::new(Session { ledger: self.clone(), staged: BTreeMap::new(), puts: 0 }))
    }
    async fn check(&self) -> Result<(), LedgerError> {
        Ok(())
    }
}

/// What was put, last word first served.
#[derive(Debug, Default)]
pub(crate) struct MemoryPolicy {
    pub(crate) snapshots: Mutex<Vec<PolicySnapshot>>,
    pub(crate) findings: Mutex<Vec<PolicyFinding>>,
    pub(crate) enrichments: Mutex<Vec<Enrichment>>,
}

fn put<T: PartialEq>(list: &Mutex<Vec<T>>, item: T) -> PutRecord {
    let mut list = list.lock().unwrap();
    if list.contains(&item) {
        return PutRecord::Unchanged;
    }
    list.push(item);
    PutRecord::Added
}

#[async_trait]
impl PolicyStore for MemoryPolicy {
    async fn put_snapshot(&self, _: &TenantId, snapshot: PolicySnapshot) -> Result<PutRecord, LedgerError> {
        Ok(put(&self.snapshots, snapshot))
    }
    async fn put_findings(&self, _: &TenantId, findings: Vec<PolicyFinding>) -> Result<Vec<PutRecord>, LedgerError> {
        Ok(findings.into_iter().map(|finding| put(&self.findings, finding)).collect())
    }
    async fn put_enrichment(&self, _: &TenantId, enrichment: Enrichment) -> Result<PutRecord, LedgerError> {
        Ok(put(&self.enrichments, enrichment))
    }
    async fn enrichments(&self, _: &TenantId) -> Result<Vec<Enrichment>, LedgerError> {
        Ok(self.enrichments.lock().unwrap().clone())
    }
}
