//! What the members of a peer's document are called.
//!
//! Published names of the peers (raw advisories, VEX observations and raw VEX, advisory observations), older and newer
//! spellings; the first that is there counts. A member of another type than expected counts as absent, as in import.

use export_contract::Timestamp;
use export_mongo::bson::RawDocument;
use export_mongo::bson::raw::RawBsonRef;

use super::text::date_text;

/// Whose document it is.
pub(super) const TENANT: [&str; 3] = ["tenant", "tenantId", "tenant_id"];

/// The upstream document.
pub(super) const RAW: [&str; 2] = ["content", "raw"];

/// Who published it, or which adapter fetched it.
const SOURCE: [&[&str]; 8] = [
    &["source"],
    &["source", "id"],
    &["source", "name"],
    &["source", "vendor"],
    &["source", "connector"],
    &["providerId"],
    &["provider_id"],
    &["sourceId"],
];

/// What the publisher calls it; stands in the record's id beside the document's own id, where they differ.
const UPSTREAM_ID: [&[&str]; 5] =
    [&["upstream", "upstreamId"], &["upstream", "upstream_id"], &["upstreamId"], &["upstream_id"], &["source_uri"]];

/// When it was fetched, else stored.
const OBSERVED_AT: [&[&str]; 9] = [
    &["upstream", "fetchedAt"],
    &["upstream", "fetched_at"],
    &["fetchedAt"],
    &["fetched_at"],
    &["retrieved_at"],
    &["ingestedAt"],
    &["ingested_at"],
    &["createdAt"],
    &["created_at"],
];

/// The `_id` of the revision that this one takes the place of.
const SUPERSEDES: [&str; 1] = ["supersedes"];

/// The member at `path`. A document that cannot be read that far has none; reading it whole says what is wrong.
pub(super) fn at<'a>(document: &'a RawDocument, path: &[&str]) -> Option<RawBsonRef<'a>> {
    let (last, containers) = path.split_last()?;
    let mut document = document;
    for name in containers {
        document = document.get(name).ok().flatten()?.as_document()?;
    }
    document.get(last).ok().flatten()
}

fn text<'a>(document: &'a RawDocument, paths: &[&[&str]]) -> Option<&'a str> {
    paths.iter().find_map(|path| at(document, path)?.as_str()).map(str::trim).filter(|text| !text.is_empty())
}

pub(super) fn source(document: &RawDocument) -> Option<&str> {
    text(document, &SOURCE)
}

pub(super) fn upstream_id(document: &RawDocument) -> Option<&str> {
    text(document, &UPSTREAM_ID)
}

pub(super) fn observed_at(document: &RawDocument) -> Option<Timestamp> {
    OBSERVED_AT.iter().find_map(|path| match at(document, path)? {
        RawBsonRef::DateTime(date) => date_text(date.timestamp_millis())?.parse().ok(),
        RawBsonRef::String(text) => text.parse().ok(),
        _ => None,
    })
}

/// The name of the revision before, see [`name`].
pub(super) fn supersedes(document: &RawDocument) -> Option<String> {
    at(document, &SUPERSEDES).filter(|id| *id != RawBsonRef::Null).map(name)
}

/// An `_id` as text: strings as they are, object ids as hexadecimal digits, so that a reference by text finds them.
pub(super) fn name(id: RawBsonRef<'_>) -> String {
    match id {
        RawBsonRef::String(text) => text.to_owned(),
        RawBsonRef::ObjectId(id) => id.to_hex(),
        RawBsonRef::Int32(number) => number.to_string(),
        RawBsonRef::Int64(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}
