//! Policy snapshots with their findings, and enrichment catalogues: what stands beside the evidence.
//!
//! A snapshot is the frozen outcome of a policy engine. Its findings are found through it only, so an import
//! that stops half-way leaves nothing that a run could see: it writes findings first and the snapshot last.
//!
//! Runs read through [`PolicySource`], and imports write through [`PolicyStore`]; the stores are both.

mod http;
mod line;
mod mongo;
mod source;
mod sqlite;
#[cfg(feature = "testing")]
pub mod suite;

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use export_canon::digesting::sha256;
use export_contract::message::PolicySnapshotRef;
use export_contract::{Digest, TenantId, Timestamp};

use crate::import::tape::Tape;
use crate::{LedgerError, PutRecord};

pub use self::http::HttpPolicyEngine;
pub use self::line::{Findings, FindingsDigester, Tally};
pub use self::mongo::MongoPolicyStore;
pub use self::source::{FindingStream, NoPolicy, PolicyError, PolicySource, SnapshotName};
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

impl PolicySnapshot {
    /// The fingerprint of the decision trace: as the engine wrote it, or the digest of the trace's canonical text where the
    /// snapshot holds the trace itself.
    pub fn decision_trace(&self) -> Option<String> {
        let tape = Tape::new(std::str::from_utf8(&self.raw).unwrap_or_default());
        let found = ["decision_trace", "decisionTrace"].map(|name| tape.root().get(name));
        let written = found.iter().find_map(|trace| trace.text_or_number());
        written
            .or_else(|| found.iter().find_map(|trace| trace.nested()).map(|text| sha256(text.as_bytes()).to_string()))
    }

    /// What a plan pins of it, but for the findings.
    pub fn reference(&self) -> PolicySnapshotRef {
        PolicySnapshotRef {
            policy_version: self.policy_version.clone(),
            inputs_hash: self.inputs_hash.clone(),
            decision_trace: self.decision_trace(),
            ..PolicySnapshotRef::new(self.snapshot_id.clone(), self.digest.clone())
        }
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

/// Where imports put snapshots, findings and enrichment. Every call is one transaction; errors are those of the ledger port.
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

    /// The tenant's catalogues by name.
    async fn enrichments(&self, tenant: &TenantId) -> Result<Vec<Enrichment>, LedgerError>;
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use export_canon::digesting::sha256;
    use export_contract::{Digest, Timestamp};

    use super::PolicySnapshot;

    #[test]
    fn a_decision_trace_is_named_as_the_engine_does_or_by_the_digest_of_its_text() {
        let trace = |raw: &'static str| {
            let raw = Bytes::from_static(raw.as_bytes());
            let (digest, generated_at) = (Digest::from_bytes([0; 32]), Timestamp::from_micros(0).unwrap());
            let (snapshot_id, policy_version, inputs_hash) = Default::default();
            PolicySnapshot { snapshot_id, policy_version, inputs_hash, generated_at, digest, raw }.decision_trace()
        };
        assert_eq!(trace(r#"{"decision_trace":"sha256:abc"}"#).as_deref(), Some("sha256:abc"));
        let of = |text: &str| Some(sha256(text.as_bytes()).to_string());
        assert_eq!(trace(r#"{"a":{},"decisionTrace":[{"b":1.0},"]"],"z":1}"#), of(r#"[{"b":1.0},"]"]"#));
        assert_eq!(trace(r#"{"decision_trace":null}"#), None);
        assert_eq!(trace("{}"), None);
    }
}
