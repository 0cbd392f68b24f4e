//! The index of records whose documents are files of their own.

use std::io::Read;

use export_contract::{Digest, RecordKind, Timestamp};
use serde::{Deserialize, Serialize};

use crate::document::{self, Document};
use crate::error::MirrorError;

/// The value of [`DocumentIndex::schema`].
pub const SCHEMA: &str = "urn:export-center:documents";
/// The value of [`DocumentIndex::version`] that this build writes; readers take any `1.x`.
pub const VERSION: &str = "1.0";

/// Which file is which record. Written as RFC 8785 canonical JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DocumentIndex {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// `major.minor`.
    pub version: String,
    /// What the documents are.
    pub kind: RecordKind,
    /// The documents, in order of subject, document id and source.
    pub documents: Vec<DocumentEntry>,
}

/// One document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DocumentEntry {
    /// Its file.
    pub path: String,
    /// What it is about.
    pub subject: String,
    /// Pack or source path and upstream id.
    pub document_id: String,
    /// Publisher or pack.
    pub source: String,
    /// When the ledger took it in.
    pub observed_at: Timestamp,
    /// Its format, such as `cyclonedx`.
    pub format: String,
    /// Version of the format, empty when it does not say.
    pub spec_version: String,
    /// Its bytes.
    pub bytes: u64,
    /// Its digest.
    pub digest: Digest,
}

impl Document for DocumentIndex {
    const SCHEMA: &'static str = SCHEMA;

    fn says(&self) -> (&str, &str) {
        (&self.schema, &self.version)
    }
}

impl DocumentIndex {
    /// An index of these documents.
    pub fn new(kind: RecordKind, documents: Vec<DocumentEntry>) -> Self {
        Self { schema: SCHEMA.to_owned(), version: VERSION.to_owned(), kind, documents }
    }

    /// Reads an index; `name` is what it is called.
    ///
    /// # Errors
    /// When it is none or of a later major version.
    pub fn read(name: &str, text: impl Read) -> Result<Self, MirrorError> {
        document::read(name, text)
    }
}
