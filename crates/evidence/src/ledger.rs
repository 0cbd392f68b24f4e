//! The port: what an evidence ledger promises to its readers and writers.

use std::fmt;
use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use export_contract::evidence::Linkset;
use export_contract::message::{LedgerSource, Part};
use export_contract::selectors::Selectors;
use export_contract::{Digest, RecordKey, RecordKind, Sequence, TenantId, Timestamp};

use crate::cutter::PartSize;

/// What failed, by outcome. The vendor's error is the source.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The ledger does not answer; worth another try.
    #[error("the evidence ledger is unavailable: cannot {act}")]
    Unavailable {
        /// What was tried.
        act: String,
        /// Why it failed.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The ledger refuses for good, or holds what it must not hold.
    #[error("the evidence ledger refused: cannot {act}")]
    Refused {
        /// What was tried.
        act: String,
        /// Why it failed.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another import of this tenant is at work.
    #[error("another import of tenant `{tenant}` is at work until {until}")]
    ImportInProgress {
        /// Whose.
        tenant: TenantId,
        /// When its lease ends if it does not renew it.
        until: Timestamp,
    },
    /// The import lost its lease to another one: it was stopped for longer than the lease lasts.
    #[error("the import of tenant `{tenant}` lost its lease; run it again, nothing is imported twice")]
    LeaseLost {
        /// Whose.
        tenant: TenantId,
    },
}

impl LedgerError {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::ImportInProgress { .. })
    }
}

/// The committed end of a tenant's ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermark {
    /// Records up to this position, that one included, are committed.
    pub sequence: Sequence,
    /// Greatest `observed_at` among them.
    pub as_of: Option<Timestamp>,
}

/// Which records of a ledger: one tenant's, visible at a watermark, chosen by selectors.
///
/// A record is visible at `watermark` when its sequence is at most that and it was not superseded at or before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Whose.
    pub tenant: TenantId,
    /// As of which position.
    pub watermark: Sequence,
    /// Which of the visible ones; [`crate::predicate`] defines the meaning.
    pub selectors: Selectors,
}

/// A range of one kind of a selection, in key order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRange {
    /// Which records.
    pub selection: Selection,
    /// Of which kind.
    pub kind: RecordKind,
    /// First key, inside; `None` begins at the start.
    pub first: Option<RecordKey>,
    /// Last key, inside; `None` goes to the end.
    pub last: Option<RecordKey>,
    /// Go on after this key: the cursor of an interrupted read.
    pub after: Option<RecordKey>,
}

/// A record as it is stored: its key, and its finished export line.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredLine {
    /// Place in the canonical order.
    pub key: RecordKey,
    /// Digest of the canonical raw document.
    pub content_hash: Digest,
    /// Length of the plain line, its newline included.
    pub plain_bytes: u32,
    /// The canonical text of the [`export_contract::evidence::Envelope`] and a newline, as one zstd frame.
    pub line: Bytes,
}

impl fmt::Debug for StoredLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredLine")
            .field("key", &self.key)
            .field("plain_bytes", &self.plain_bytes)
            .finish_non_exhaustive()
    }
}

/// Lines in key order, in batches so that the hot path does not await each record. A batch is never empty and
/// holds at most some 1 MiB of stored bytes (one record may be larger).
pub type LineStream = Pin<Box<dyn futures::Stream<Item = Result<Vec<StoredLine>, LedgerError>> + Send>>;

/// A record to be written.
#[derive(Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// Advisory, VEX or SBOM.
    pub kind: RecordKind,
    /// Subject, document id and source.
    pub key: RecordKey,
    /// Ecosystems, lower case, without release suffix, sorted, each once.
    pub ecosystems: Vec<String>,
    /// When it was observed.
    pub observed_at: Timestamp,
    /// What it links to. Selectors on products look at its purls.
    pub linkset: Linkset,
    /// Format of the document, such as `osv`.
    pub format: String,
    /// Version of the format, empty when it does not say.
    pub spec_version: String,
    /// The canonical text of the document.
    pub raw: Bytes,
}

impl fmt::Debug for NewRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewRecord").field("kind", &self.kind).field("key", &self.key).finish_non_exhaustive()
    }
}

/// What became of a record that was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutRecord {
    /// No record of that tenant, kind, source and document id was visible: it is new.
    Added,
    /// It supersedes the record that was visible.
    Changed,
    /// The visible record has the same content; nothing was written.
    Unchanged,
}

/// A ledger. Every promise here is kept by the conformance suite, which each driver runs.
#[async_trait]
pub trait EvidenceLedger: Send + Sync + fmt::Debug {
    /// The committed end of a tenant's ledger; position 0 when the tenant has none.
    async fn watermark(&self, tenant: &TenantId) -> Result<Watermark, LedgerError>;

    /// Greatest `observed_at` among the records with a sequence up to `at`.
    async fn as_of(&self, tenant: &TenantId, at: Sequence) -> Result<Option<Timestamp>, LedgerError>;

    /// Every source of a tenant with its visible records, selectors not applied; sorted by kind and name.
    async fn sources(&self, tenant: &TenantId, at: Sequence) -> Result<Vec<LedgerSource>, LedgerError>;

    /// Cuts the records of `kind` into parts of `size` (the last may be shorter), in key order. Part indexes count from
    /// `first_index`. The cut depends on the selected records alone. Served by an index, never by a sort.
    async fn cut(
        &self,
        selection: &Selection,
        kind: RecordKind,
        size: PartSize,
        first_index: u32,
    ) -> Result<Vec<Part>, LedgerError>;

    /// Reads a range in key order, with bounded memory. Dropping the stream ends the read.
    async fn read(&self, range: ReadRange) -> Result<LineStream, LedgerError>;

    /// Takes the tenant's import lease. Nothing that the session puts is visible to any reader before it commits.
    async fn begin_import(&self, tenant: &TenantId) -> Result<Box<dyn ImportSession>, LedgerError>;

    /// Creates what is missing (tables, indexes) and answers whether the ledger can be read and written.
    async fn check(&self) -> Result<(), LedgerError>;
}

/// An import that holds the tenant's lease. Dropped without commit, it leaves the watermark where it was; what it put
/// is overwritten or taken up by the next import.
#[async_trait]
pub trait ImportSession: Send {
    /// Puts records, in order. Of two with the same identity (tenant, kind, source, document id) the later one wins.
    ///
    /// Content is the same when everything but `observed_at` is. Batches of some MiB are best: a batch is one step.
    async fn put(&mut self, records: Vec<NewRecord>) -> Result<Vec<PutRecord>, LedgerError>;

    /// Advances the watermark over everything that was put, and gives the lease back.
    async fn commit(self: Box<Self>) -> Result<Watermark, LedgerError>;

    /// Gives the lease back without commit, so that the next import need not wait for its end. Of a lease that is lost
    /// there is nothing to give back, which is no error.
    async fn abandon(self: Box<Self>) -> Result<(), LedgerError>;
}
