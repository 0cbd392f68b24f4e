//! Policy snapshots with their findings, and enrichment catalogues: what stands beside the evidence.
//!
//! A snapshot is the frozen outcome of a policy engine. Its findings are found through it only, so an import
//! that stops half-way leaves nothing that a run could see: it writes findings first and the snapshot last.

mod mongo;
mod sqlite;
#[cfg(feature = "testing")]
pub mod suite;

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use export_contract::{Digest, TenantId, Timestamp};

use crate::{LedgerError, PutRecord};

pub use self::mongo::MongoPolicyStore;
pub use self::sqlite::SqlitePolicyStore;

/// A snapshot as it came from the policy engine.
#[derive(Clone, PartialEq, Eq)]
pub struct PolicySnapshot {
    /// Id at the policy engine.
    pub snapshot_id: String,
    /// Version of the policy that was evaluated.
    pub policy_version: String,
    /// Fingerprint of the inputs, as the engine wrote it; empty when it did not.
    pub inputs_hash: String,
    /// When the engine made it; where it does not say, when it was imported.
    pub generated_at: Timestamp,
    /// SHA-256 of `raw`.
    pub digest: Digest,
    /// The canonical text of the whole snapshot, its decision trace included.
    pub raw: Bytes,
}

impl fmt::Debug for PolicySnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicySnapshot").field("snapshot_id", &self.snapshot_id).finish_non_exhaustive()
    }
}

/// The place of a finding among those of its snapshot. No two findings of a snapshot share one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FindingKey {
    /// What was judged, mostly a purl.
    pub subject: String,
    /// The advisory that it was judged for.
    pub advisory: String,
    /// Id at the policy engine; empty when it gives none.
    pub finding_id: String,
}

/// One evaluated finding.
#[derive(Clone, PartialEq, Eq)]
pub struct PolicyFinding {
    /// The snapshot it belongs to.
    pub snapshot_id: String,
    /// Its place.
    pub key: FindingKey,
    /// Verdict, as the engine wrote it.
    pub status: String,
    /// Severity in lower case; empty when the engine gives none.
    pub severity: String,
    /// The canonical text of the whole finding, rationale and rule chain included.
    pub raw: Bytes,
}

impl fmt::Debug for PolicyFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicyFinding")
            .field("snapshot_id", &self.snapshot_id)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// A catalogue that enriches evidence without being evidence, such as CISA KEV. A tenant has one of each name.
#[derive(Clone, PartialEq, Eq)]
pub struct Enrichment {
    /// Format and name of the catalogue, such as `cisa-kev`.
    pub name: String,
    /// Where it came from.
    pub source: String,
    /// When it was taken in.
    pub observed_at: Timestamp,
    /// SHA-256 of `raw`.
    pub digest: Digest,
    /// Its canonical text.
    pub raw: Bytes,
}

impl fmt::Debug for Enrichment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enrichment").field("name", &self.name).field("source", &self.source).finish_non_exhaustive()
    }
}

/// Where snapshots, findings and enrichment live. Every call is one transaction; errors are those of the
/// ledger port.
#[async_trait]
pub trait PolicyStore: Send + Sync + fmt::Debug {
    /// Puts a snapshot; one of the same id is replaced.
    async fn put_snapshot(&self, tenant: &TenantId, snapshot: PolicySnapshot) -> Result<PutRecord, LedgerError>;

    /// Puts findings, in order; one of the same snapshot and key is replaced.
    async fn put_findings(
        &self,
        tenant: &TenantId,
        findings: Vec<PolicyFinding>,
    ) -> Result<Vec<PutRecord>, LedgerError>;

    /// Puts a catalogue; one of the same name is replaced.
    async fn put_enrichment(&self, tenant: &TenantId, enrichment: Enrichment) -> Result<PutRecord, LedgerError>;

    /// The tenant's snapshots, oldest first: by `generated_at`, then id.
    async fn snapshots(&self, tenant: &TenantId) -> Result<Vec<PolicySnapshot>, LedgerError>;

    /// At most `limit` findings of a snapshot in key order, those after `after` where it is given.
    async fn findings(
        &self,
        tenant: &TenantId,
        snapshot_id: &str,
        after: Option<FindingKey>,
        limit: u32,
    ) -> Result<Vec<PolicyFinding>, LedgerError>;

    /// The tenant's catalogues by name.
    async fn enrichments(&self, tenant: &TenantId) -> Result<Vec<Enrichment>, LedgerError>;
}
