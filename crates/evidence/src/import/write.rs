//! The last step: outcomes into the ledger and the policy store, in reading order, and into the summary.

use std::collections::BTreeMap;
use std::io;

use export_contract::TenantId;

use super::ImportError;
use super::convert::Outcome;
use super::identity::Repeats;
use super::refusal::{Position, Refusal, RefusalCode, RejectFile};
use super::summary::{Class, ImportSummary, Tally};
use crate::policy::{PolicyFinding, PolicySnapshot, PolicyStore};
use crate::{ImportSession, LedgerError, NewRecord};

/// Writes outcomes.
pub(crate) struct Writer<'a> {
    session: Box<dyn ImportSession>,
    policy: &'a dyn PolicyStore,
    tenant: TenantId,
    rejects: RejectFile,
    repeats: Repeats,
    tally: Tally,
    /// Snapshots and their sources; stored at the end, since they make their findings visible.
    snapshots: Vec<(PolicySnapshot, String)>,
    /// Id of the last snapshot of each folder.
    snapshot_of_folder: BTreeMap<String, String>,
}

/// What stopped the writer.
#[derive(Debug)]
pub(crate) enum WriteError {
    Store(LedgerError),
    Reject(io::Error),
    /// A thread did not do its part.
    Import(ImportError),
}

impl From<ImportError> for WriteError {
    fn from(cause: ImportError) -> Self {
        Self::Import(cause)
    }
}

impl From<LedgerError> for WriteError {
    fn from(cause: LedgerError) -> Self {
        Self::Store(cause)
    }
}

impl From<io::Error> for WriteError {
    fn from(cause: io::Error) -> Self {
        Self::Reject(cause)
    }
}

impl WriteError {
    pub(crate) fn into_import(self, reject: impl FnOnce(io::Error) -> ImportError) -> ImportError {
        match self {
            Self::Store(cause) => ImportError::Store(cause),
            Self::Reject(cause) => reject(cause),
            Self::Import(error) => error,
        }
    }
}

impl<'a> Writer<'a> {
    pub(crate) fn new(
        session: Box<dyn ImportSession>,
        policy: &'a dyn PolicyStore,
        tenant: TenantId,
        rejects: RejectFile,
    ) -> Self {
        Self {
            session,
            policy,
            tenant,
            rejects,
            repeats: Repeats::default(),
            tally: Tally::default(),
            snapshots: Vec::new(),
            snapshot_of_folder: BTreeMap::new(),
        }
    }

    /// Writes the outcomes of a batch.
    pub(crate) async fn write(&mut self, outcomes: Vec<Outcome>) -> Result<(), WriteError> {
        let mut records = Vec::new();
        let mut findings = Vec::new();
        for outcome in outcomes {
            match outcome {
                Outcome::Record(record) => {
                    let (mut record, identity) = *record;
                    let number = self.repeats.number(identity);
                    if number > 1 {
                        record.key.document_id = format!("{}#{number}", record.key.document_id);
                    }
                    records.push(record);
                }
                Outcome::Enrichment(enrichment) => {
                    let source = enrichment.source.clone();
                    let put = self.policy.put_enrichment(&self.tenant, enrichment).await?;
                    self.tally.put(Class::Enrichment, &source, put);
                }
                Outcome::Snapshot { snapshot, folder, source } => {
                    self.snapshot_of_folder.insert(folder, snapshot.snapshot_id.clone());
                    self.snapshots.push((snapshot, source));
                }
                Outcome::Finding { finding, folder, source, position } => {
                    findings.extend(self.place(finding, &folder, source, position)?);
                }
                Outcome::Refused(refusal) => self.refuse(Class::Unknown, &refusal)?,
                Outcome::Skipped(source) => self.tally.skipped(Class::Unknown, &source, 1),
            }
        }
        self.put_records(records).await?;
        self.put_findings(findings).await
    }

    async fn put_records(&mut self, records: Vec<NewRecord>) -> Result<(), WriteError> {
        if records.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = records.iter().map(|record| (record.kind, record.key.source.clone())).collect();
        let puts = self.session.put(records).await?;
        for ((kind, source), put) in names.into_iter().zip(puts) {
            self.tally.put(kind.into(), &source, put);
        }
        Ok(())
    }

    /// Gives a finding its snapshot: its own word, else the snapshot of its folder.
    fn place(
        &mut self,
        mut finding: PolicyFinding,
        folder: &str,
        source: String,
        position: Position,
    ) -> Result<Option<(PolicyFinding, String)>, WriteError> {
        if finding.snapshot_id.is_empty() {
            let Some(snapshot_id) = self.snapshot_of_folder.get(folder) else {
                let reason = "it names no snapshot_id, and no snapshot stands before it in its folder".to_owned();
                let refusal = Refusal { position, code: RefusalCode::NoSnapshot, reason, source };
                self.refuse(Class::Policy, &refusal)?;
                return Ok(None);
            };
            finding.snapshot_id.clone_from(snapshot_id);
        }
        Ok(Some((finding, source)))
    }

    async fn put_findings(&mut self, findings: Vec<(PolicyFinding, String)>) -> Result<(), WriteError> {
        if findings.is_empty() {
            return Ok(());
        }
        let (findings, sources): (Vec<_>, Vec<_>) = findings.into_iter().unzip();
        let puts = self.policy.put_findings(&self.tenant, findings).await?;
        for (source, put) in sources.iter().zip(puts) {
            self.tally.put(Class::Policy, source, put);
        }
        Ok(())
    }

    fn refuse(&mut self, class: Class, refusal: &Refusal) -> Result<(), WriteError> {
        tracing::debug!(position = %refusal.position, code = %refusal.code, reason = refusal.reason, "refused a document");
        self.tally.refused(class, refusal);
        Ok(self.rejects.write(refusal)?)
    }

    /// Makes everything visible.
    pub(crate) async fn finish(self) -> Result<ImportSummary, WriteError> {
        let mut tally = self.tally;
        if let Err(cause) = self.rejects.finish() {
            abandon(self.session).await;
            return Err(cause.into());
        }
        let watermark = self.session.commit().await?;
        for (snapshot, source) in self.snapshots {
            let put = self.policy.put_snapshot(&self.tenant, snapshot).await?;
            tally.put(Class::Policy, &source, put);
        }
        Ok(tally.finish(watermark))
    }

    /// Leaves the ledger as it was.
    pub(crate) async fn abandon(self) {
        abandon(self.session).await;
    }
}

/// Gives the lease back. What made the import fail matters more than a failure of this, after which the lease
/// runs out by itself.
async fn abandon(session: Box<dyn ImportSession>) {
    if let Err(error) = session.abandon().await {
        tracing::warn!(%error, "the lease of a failed import runs out by itself");
    }
}
