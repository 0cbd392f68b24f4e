//! A batch of records on its way into a ledger: what is new, what is changed, and the rows to write.

use std::collections::BTreeMap;
use std::sync::Arc;

use export_contract::{RecordKind, TenantId};

use crate::line::{Digests, Fingerprint, Line, build_lines};
use crate::{LedgerError, NewRecord, PutRecord};

/// What makes two records of a tenant the same one at two times (design D16).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    pub(crate) kind: RecordKind,
    pub(crate) source: String,
    pub(crate) document_id: String,
}

impl Identity {
    pub(crate) fn of(record: &NewRecord) -> Self {
        let (source, document_id) = (record.key.source.clone(), record.key.document_id.clone());
        Self { kind: record.kind, source, document_id }
    }
}

/// A row to be written for the record at `index` of the batch.
pub(crate) struct Row {
    pub(crate) index: usize,
    pub(crate) sequence: i64,
    pub(crate) digests: Digests,
    pub(crate) line: Line,
}

pub(crate) struct Prepared {
    /// One per record of the batch.
    pub(crate) outcomes: Vec<PutRecord>,
    /// One per record that is not unchanged, in order.
    pub(crate) rows: Vec<Row>,
}

/// Decides what becomes of each record, given the fingerprints of the current ones, and builds the lines of those that
/// are written. Sequences count from `first`. Works on blocking threads.
pub(crate) async fn prepare(
    tenant: &TenantId,
    records: Arc<Vec<NewRecord>>,
    current: BTreeMap<Identity, Fingerprint>,
    first: i64,
) -> Result<Prepared, LedgerError> {
    let tenant = tenant.clone();
    tokio::task::spawn_blocking(move || prepare_blocking(&tenant, &records, current, first))
        .await
        .map_err(|cause| LedgerError::Unavailable { act: "build export lines".to_owned(), cause: cause.into() })?
}

fn prepare_blocking(
    tenant: &TenantId,
    records: &[NewRecord],
    mut current: BTreeMap<Identity, Fingerprint>,
    first: i64,
) -> Result<Prepared, LedgerError> {
    let mut outcomes = Vec::with_capacity(records.len());
    let mut written = Vec::new();
    let mut to_build = Vec::new();
    for (index, record) in records.iter().enumerate() {
        let digests = Digests::of(record);
        let outcome = match current.insert(Identity::of(record), digests.fingerprint) {
            None => PutRecord::Added,
            Some(before) if before == digests.fingerprint => PutRecord::Unchanged,
            Some(_) => PutRecord::Changed,
        };
        if outcome != PutRecord::Unchanged {
            written.push((index, digests));
            to_build.push((record, digests));
        }
        outcomes.push(outcome);
    }
    let lines = build_lines(tenant, &to_build)?;
    let rows = written.into_iter().zip(lines).zip(first..);
    let rows = rows.map(|(((index, digests), line), sequence)| Row { index, sequence, digests, line }).collect();
    Ok(Prepared { outcomes, rows })
}
