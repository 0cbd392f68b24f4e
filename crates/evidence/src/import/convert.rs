//! From a raw document to what is stored: the work of the worker threads.

use bytes::Bytes;
use export_canon::CanonError;
use export_canon::digesting::sha256;
use export_canon::json::{Canonicalizer, Limits};
use export_contract::{Digest, RecordKey, RecordKind, Timestamp};

use super::ImportLimits;
use super::foreign;
use super::format::{Extract, PolicyFields, Recognised, recognise};
use super::identity::{self, Identity};
use super::input::{Item, RawDocument};
use super::refusal::{Position, Refusal, RefusalCode};
use super::tape::Tape;
use crate::NewRecord;
use crate::policy::{Enrichment, FindingKey, PolicyFinding, PolicySnapshot};

/// What became of an item.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A record; its document id still lacks the number that tells repeats apart.
    Record(Box<(NewRecord, Identity)>),
    Enrichment(Enrichment),
    /// A snapshot and the folder whose findings are its own.
    Snapshot {
        snapshot: PolicySnapshot,
        folder: String,
        source: String,
    },
    /// A finding; an empty snapshot id means that of the folder.
    Finding {
        finding: PolicyFinding,
        folder: String,
        source: String,
        position: Position,
    },
    Refused(Refusal),
    Skipped(String),
}

/// A policy document.
#[derive(Debug)]
pub(crate) enum PolicyDocument {
    Snapshot(PolicySnapshot),
    Finding(PolicyFinding),
}

/// Turns items into outcomes; keeps working memory from one to the next.
#[derive(Debug)]
pub(crate) struct Converter {
    canonicalizer: Canonicalizer,
    observed_at: Timestamp,
    source: Option<String>,
}

impl Converter {
    /// `source` replaces the names of all sources.
    pub(crate) fn new(limits: &ImportLimits, observed_at: Timestamp, source: Option<String>) -> Self {
        let max_bytes = usize::try_from(limits.document_bytes).unwrap_or(usize::MAX);
        // Real SBOMs repeat member names. Refusing them would lose evidence, so both stay, in their order.
        let canonicalizer = Canonicalizer::new(Limits { max_bytes, ..Limits::default() }).keep_duplicates();
        Self { canonicalizer, observed_at, source }
    }

    pub(crate) fn convert(&mut self, item: Item) -> Outcome {
        match item {
            Item::Document(document) => self.document(document),
            Item::Refused(mut refusal) => {
                refusal.source = self.source_or(refusal.source);
                Outcome::Refused(refusal)
            }
            Item::Skipped(source) => Outcome::Skipped(self.source_or(source)),
        }
    }

    fn source_or(&self, found: String) -> String {
        self.source.clone().unwrap_or(found)
    }

    fn document(&mut self, document: RawDocument) -> Outcome {
        let source = self.source_or(document.file.source.clone());
        let (position, folder) = (document.position, document.folder);
        let raw = match self.canonical(document.bytes) {
            Ok(raw) => raw,
            Err((code, reason)) => {
                return Outcome::Refused(Refusal { position, code, reason, source });
            }
        };
        // Canonical text is UTF-8.
        let text = std::str::from_utf8(&raw).unwrap_or_default();
        let tape = Tape::new(text);
        match recognise(tape.root(), &document.path, document.file.folder_kind) {
            Recognised::Record(extract) => {
                let record = self.record(*extract, source, &document.path, raw.clone());
                Outcome::Record(Box::new(record))
            }
            Recognised::Enrichment(name) => Outcome::Enrichment(Enrichment {
                name: name.to_owned(),
                source,
                observed_at: self.observed_at,
                digest: digest(&raw),
                raw: raw.clone(),
            }),
            Recognised::Snapshot(fields) => {
                let snapshot = self.snapshot(fields, raw.clone());
                Outcome::Snapshot { snapshot, folder, source }
            }
            Recognised::Finding(fields) => {
                Outcome::Finding { finding: finding(fields, raw.clone()), folder, source, position }
            }
            Recognised::Unknown(reason) => {
                Outcome::Refused(Refusal { position, code: RefusalCode::UnknownFormat, reason, source })
            }
        }
    }

    /// The record of a document that a peer kept: the one that an import of the same text from a file without path would
    /// make, but for the upstream id, which stands where the path would where the document has another id of its own.
    ///
    /// # Errors
    /// Why it is refused.
    pub(crate) fn pulled(
        &mut self,
        text: Bytes,
        upstream_id: Option<&str>,
        source: String,
        kind: RecordKind,
    ) -> Result<NewRecord, (RefusalCode, String)> {
        let raw = self.canonical(text)?;
        let tape = Tape::new(std::str::from_utf8(&raw).unwrap_or_default());
        let path = upstream_id.unwrap_or_default();
        let found = match recognise(tape.root(), path, Some(kind)) {
            Recognised::Record(extract) => {
                let path = if extract.id.as_deref() == upstream_id { "" } else { path };
                return Ok(self.record(*extract, source, path, raw.clone()).0);
            }
            Recognised::Enrichment(name) => format!("the catalogue {name}"),
            Recognised::Snapshot(_) => "a policy snapshot".to_owned(),
            Recognised::Finding(_) => "a policy finding".to_owned(),
            Recognised::Unknown(reason) => return Err((RefusalCode::UnknownFormat, reason)),
        };
        Err((RefusalCode::UnknownFormat, format!("it is {found}, and no evidence; import it from a file")))
    }

    /// A policy document as an engine gives it, and whose it says that it is.
    ///
    /// # Errors
    /// Why it is none.
    pub(crate) fn policy(&mut self, text: Bytes) -> Result<(PolicyDocument, Option<String>), String> {
        let raw = self.canonical(text).map_err(|(_, reason)| reason)?;
        let tape = Tape::new(std::str::from_utf8(&raw).unwrap_or_default());
        match recognise(tape.root(), "", None) {
            Recognised::Snapshot(mut fields) => {
                let owner = fields.tenant.take();
                Ok((PolicyDocument::Snapshot(self.snapshot(fields, raw.clone())), owner))
            }
            Recognised::Finding(mut fields) => {
                let owner = fields.tenant.take();
                Ok((PolicyDocument::Finding(finding(fields, raw.clone())), owner))
            }
            Recognised::Record(_) | Recognised::Enrichment(_) => Err("it is evidence, and no policy".to_owned()),
            Recognised::Unknown(reason) => Err(reason),
        }
    }

    /// The canonical text. A byte order mark at the beginning is white space to us: common tools write one,
    /// and it means nothing.
    fn canonical(&mut self, bytes: Bytes) -> Result<Bytes, (RefusalCode, String)> {
        let bytes = if bytes.starts_with(b"\xef\xbb\xbf") { bytes.slice(3..) } else { bytes };
        match self.canonicalizer.canonicalize(&bytes) {
            Ok(std::borrow::Cow::Borrowed(text)) => Ok(bytes.slice_ref(text)),
            Ok(std::borrow::Cow::Owned(text)) => Ok(Bytes::from(text)),
            Err(error @ (CanonError::TooLarge { .. } | CanonError::TooDeep { .. })) => {
                Err((RefusalCode::TooLarge, error.to_string()))
            }
            Err(error) => Err(foreign::name(&bytes).unwrap_or((RefusalCode::Malformed, error.to_string()))),
        }
    }

    fn record(&self, extract: Extract, source: String, path: &str, raw: Bytes) -> (NewRecord, Identity) {
        let names = identity::name(path, extract.id.as_deref(), extract.subject.as_deref(), &raw);
        let identity = Identity::new(extract.kind, &source, &names.document_id, &raw);
        let record = NewRecord {
            kind: extract.kind,
            key: RecordKey { subject: names.subject, document_id: names.document_id, source },
            ecosystems: extract.ecosystems.into_iter().collect(),
            observed_at: self.observed_at,
            linkset: extract.links.finish(extract.id.as_deref()),
            format: extract.format.to_owned(),
            spec_version: extract.spec_version,
            raw,
        };
        (record, identity)
    }

    fn snapshot(&self, fields: PolicyFields, raw: Bytes) -> PolicySnapshot {
        PolicySnapshot {
            snapshot_id: fields.snapshot_id.unwrap_or_default(),
            policy_version: fields.policy_version,
            inputs_hash: fields.inputs_hash,
            generated_at: fields.generated_at.and_then(|time| time.parse().ok()).unwrap_or(self.observed_at),
            digest: digest(&raw),
            raw,
        }
    }
}

fn finding(fields: PolicyFields, raw: Bytes) -> PolicyFinding {
    PolicyFinding {
        snapshot_id: fields.snapshot_id.unwrap_or_default(),
        key: FindingKey {
            subject: fields.subject,
            advisory: fields.advisory,
            finding_id: fields.finding_id.unwrap_or_default(),
        },
        status: fields.status,
        severity: fields.severity,
        raw,
    }
}

fn digest(raw: &[u8]) -> Digest {
    Digest::from_bytes(*sha256(raw).as_bytes())
}
