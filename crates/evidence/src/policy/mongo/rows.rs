//! How snapshots, findings and catalogues stand in the collections.

use bytes::Bytes;
use export_canon::zst::{FrameEncoder, decompress_frame};
use export_contract::digest::ParseDigestError;
use export_contract::{Digest, TenantId, Timestamp};
use export_mongo::bson::spec::BinarySubtype;
use export_mongo::bson::{Binary, Bson, Document, doc};

use super::undecodable;
use crate::LedgerError;
use crate::policy::{FindingKey, PolicyFinding};

/// Level of the stored frames.
const LEVEL: i32 = 3;

/// Longest text that is unpacked again; import lets none pass that is longer.
const MAX_RAW_BYTES: usize = 256 << 20;

pub(super) fn place(tenant: &TenantId, finding: &PolicyFinding) -> Document {
    let FindingKey { subject, advisory, finding_id } = &finding.key;
    doc! {
        "tenant": tenant.as_str(),
        "snapshot_id": &finding.snapshot_id,
        "subject": subject,
        "advisory": advisory,
        "finding_id": finding_id,
    }
}

pub(super) fn key(act: &str, row: &Document) -> Result<FindingKey, LedgerError> {
    Ok(FindingKey {
        subject: text(act, row, "subject")?,
        advisory: text(act, row, "advisory")?,
        finding_id: text(act, row, "finding_id")?,
    })
}

pub(super) fn packed(act: &str, raw: &[u8]) -> Result<Bson, LedgerError> {
    let mut bytes = Vec::new();
    let encoded = FrameEncoder::new(LEVEL).and_then(|mut encoder| encoder.encode(raw, &mut bytes));
    encoded.map_err(|cause| undecodable(act, cause))?;
    Ok(Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes }))
}

pub(super) fn unpacked(act: &str, row: &Document) -> Result<Bytes, LedgerError> {
    let frame = row.get_binary_generic("raw").map_err(|cause| undecodable(act, cause))?;
    decompress_frame(frame, MAX_RAW_BYTES).map(Bytes::from).map_err(|cause| undecodable(act, cause))
}

pub(super) fn text(act: &str, row: &Document, field: &str) -> Result<String, LedgerError> {
    row.get_str(field).map(str::to_owned).map_err(|cause| undecodable(act, cause))
}

pub(super) fn digest(act: &str, row: &Document) -> Result<Digest, LedgerError> {
    text(act, row, "digest")?.parse().map_err(|cause: ParseDigestError| undecodable(act, cause))
}

pub(super) fn time(act: &str, row: &Document, field: &str) -> Result<Timestamp, LedgerError> {
    let micros = row.get_i64(field).map_err(|cause| undecodable(act, cause))?;
    Timestamp::from_micros(micros).map_err(|cause| undecodable(act, cause))
}
