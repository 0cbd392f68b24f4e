//! How a record stands in the collections.
//!
//! | field | meaning |
//! |---|---|
//! | `_id` | tenant, epoch and sequence |
//! | `tenant`, `sequence`, `kind`, `subject`, `document_id`, `source` | as in the port |
//! | `epoch` | the import that wrote it |
//! | `ecosystems`, `purls` | what selectors look at |
//! | `observed_at` | microseconds since 1970; BSON's own dates are cut to milliseconds |
//! | `superseded_at_sequence`, `superseded_by_epoch` | by which batch (its first sequence), and by which import |
//! | `content_hash`, `fingerprint`, `content.format`, `content.spec_version` | the document and its form |
//! | `plain_bytes` | length of the plain export line |
//! | `line` | the export line as a zstd frame, or |
//! | `chunks` | how many documents of `evidence_chunks` hold it, `_id` being that of the record, a slash and a number |

use bytes::Bytes;
use export_contract::{Digest, RecordKey, TenantId};
use export_mongo::bson::spec::BinarySubtype;
use export_mongo::bson::{Binary, Bson, Document, RawDocument, doc};

use super::undecodable;
use crate::batch::Row;
use crate::{LedgerError, NewRecord};

/// Name of the collection of records.
pub(super) const RECORDS: &str = "evidence_records";
/// Name of the collection of long lines.
pub(super) const CHUNKS: &str = "evidence_chunks";

/// Longer stored lines go into chunks. Far below MongoDB's 16 MiB for a document, so that a batch of a cursor stays
/// small too; only one line of some hundred is longer.
pub(super) const INLINE_BYTES: usize = 256 << 10;
/// Length of a chunk (all but the last).
const CHUNK_BYTES: usize = 8 << 20;

/// `_id` of a record.
pub(super) fn id(tenant: &TenantId, epoch: i64, sequence: i64) -> String {
    format!("{tenant}/{epoch}/{sequence}")
}

fn chunk_id(record: &str, number: i64) -> String {
    format!("{record}/{number}")
}

fn binary(bytes: &[u8]) -> Bson {
    Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes: bytes.to_vec() })
}

/// The documents of a row: that of the record, and those of its line where it is long.
pub(super) fn documents(tenant: &TenantId, epoch: i64, record: &NewRecord, row: &Row) -> (Document, Vec<Document>) {
    let id = id(tenant, epoch, row.sequence);
    let texts = |texts: &[String]| texts.iter().map(Bson::from).collect::<Vec<_>>();
    let mut document = doc! {
        "_id": &id,
        "tenant": tenant.as_str(),
        "sequence": row.sequence,
        "epoch": epoch,
        "kind": record.kind.as_str(),
        "subject": &record.key.subject,
        "document_id": &record.key.document_id,
        "source": &record.key.source,
        "ecosystems": texts(&record.ecosystems),
        "purls": texts(&record.linkset.purls),
        "observed_at": record.observed_at.as_micros(),
        "content_hash": Digest::from_bytes(row.digests.content).as_str(),
        "fingerprint": binary(&row.digests.fingerprint.0),
        "content": { "format": &record.format, "spec_version": &record.spec_version },
        "plain_bytes": i64::from(row.line.plain_bytes),
    };
    let line = &row.line.frame;
    if line.len() <= INLINE_BYTES {
        document.insert("line", binary(line));
        return (document, Vec::new());
    }
    let chunk = |(number, bytes): (i64, &[u8])| {
        doc! { "_id": chunk_id(&id, number), "tenant": tenant.as_str(), "epoch": epoch, "sequence": row.sequence,
        "bytes": binary(bytes) }
    };
    let chunks: Vec<Document> = (0..).zip(line.chunks(CHUNK_BYTES)).map(chunk).collect();
    document.insert("chunks", i64::try_from(chunks.len()).unwrap_or(i64::MAX));
    (document, chunks)
}

/// Where a line is.
pub(super) enum Place {
    Here(Bytes),
    /// In the chunks with these ids.
    Chunks(Vec<String>),
}

/// The fields that a read needs.
pub(super) struct Stored {
    pub(super) key: RecordKey,
    pub(super) content_hash: Digest,
    pub(super) plain_bytes: u32,
    pub(super) line: Place,
}

/// Which fields [`stored`] looks at.
pub(super) fn stored_projection() -> Document {
    doc! { "subject": 1, "document_id": 1, "source": 1, "content_hash": 1, "plain_bytes": 1, "line": 1, "chunks": 1 }
}

/// Which fields [`key`] and [`plain_bytes`] look at.
pub(super) fn cut_projection() -> Document {
    doc! { "_id": 0, "subject": 1, "document_id": 1, "source": 1, "plain_bytes": 1 }
}

pub(super) fn key(document: &RawDocument) -> Result<RecordKey, LedgerError> {
    let text = |field| Ok::<_, LedgerError>(text(document, field)?.to_owned());
    Ok(RecordKey { subject: text("subject")?, document_id: text("document_id")?, source: text("source")? })
}

/// Length of the plain export line.
pub(super) fn plain_bytes(document: &RawDocument) -> Result<u32, LedgerError> {
    let act = "read a record";
    let length = document.get_i64("plain_bytes").map_err(|cause| undecodable(act, cause))?;
    u32::try_from(length).map_err(|cause| undecodable(act, cause))
}

pub(super) fn text<'a>(document: &'a RawDocument, field: &'static str) -> Result<&'a str, LedgerError> {
    document.get_str(field).map_err(|cause| undecodable("read a record", cause))
}

pub(super) fn stored(document: &RawDocument) -> Result<Stored, LedgerError> {
    let act = "read a record";
    let content_hash = text(document, "content_hash")?.parse().map_err(|cause| undecodable(act, cause))?;
    let line = match document.get_binary("line") {
        Ok(line) => Place::Here(Bytes::copy_from_slice(line.bytes)),
        Err(_) => {
            let chunks = document.get_i64("chunks").map_err(|cause| undecodable(act, cause))?;
            let id = text(document, "_id")?;
            Place::Chunks((0..chunks).map(|number| chunk_id(id, number)).collect())
        }
    };
    let plain_bytes = plain_bytes(document)?;
    Ok(Stored { key: key(document)?, content_hash, plain_bytes, line })
}
