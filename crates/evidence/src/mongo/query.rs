//! Filters and orders.

use export_contract::{RecordKey, RecordKind};
use export_mongo::bson::{Bson, Document, doc};
use export_mongo::mongodb::IndexModel;
use export_mongo::mongodb::options::IndexOptions;

use super::imports::Entry;
use crate::compile::mongo::conditions;
use crate::{ReadRange, Selection};

/// The indexes of the records, by name. `evidence_order` begins with the fields that [`in_order`] compares for equality and goes
/// on with those of [`key_order`].
pub(super) fn indexes() -> Vec<IndexModel> {
    let index = |name: &str, keys: Document| {
        IndexModel::builder().keys(keys).options(IndexOptions::builder().name(name.to_owned()).build()).build()
    };
    vec![
        index(
            "evidence_order",
            doc! { "tenant": 1, "kind": 1, "subject": 1, "document_id": 1, "source": 1, "sequence": 1, "plain_bytes": 1 },
        ),
        index("evidence_identity", doc! { "tenant": 1, "kind": 1, "source": 1, "document_id": 1, "sequence": 1 }),
        index("evidence_sequence", doc! { "tenant": 1, "sequence": 1 }),
        index("evidence_observed", doc! { "tenant": 1, "observed_at": 1 }),
    ]
}

/// The canonical order inside tenant and kind (design D15).
pub(super) fn key_order() -> Document {
    doc! { "subject": 1, "document_id": 1, "source": 1 }
}

/// Epochs as a list value.
pub(super) fn epochs(state: &Entry) -> Vec<Bson> {
    state.abandoned.iter().map(|epoch| Bson::from(*epoch)).collect()
}

/// Conditions under which a record of a tenant is visible at `watermark`. What an import wrote that never committed
/// does not count, be it a record or the mark on one that it superseded.
pub(super) fn visible(state: &Entry, watermark: i64) -> Vec<Document> {
    let mut all = vec![doc! { "sequence": { "$lte": watermark } }];
    let mut not_superseded =
        vec![doc! { "superseded_at_sequence": Bson::Null }, doc! { "superseded_at_sequence": { "$gt": watermark } }];
    let abandoned = epochs(state);
    if !abandoned.is_empty() {
        all.push(doc! { "epoch": { "$nin": &abandoned } });
        not_superseded.push(doc! { "superseded_by_epoch": { "$in": abandoned } });
    }
    all.push(doc! { "$or": not_superseded });
    all
}

/// The filter of the chosen records of a kind; `None` where none can be chosen.
pub(super) fn in_order(
    state: &Entry,
    selection: &Selection,
    kind: RecordKind,
    bounds: Vec<Document>,
) -> Option<Document> {
    let watermark = i64::try_from(selection.watermark.0).unwrap_or(i64::MAX);
    let mut all = visible(state, watermark);
    all.extend(bounds);
    all.extend(conditions(&selection.selectors, kind)?);
    Some(doc! { "tenant": selection.tenant.as_str(), "kind": kind.as_str(), "$and": all })
}

/// The bounds of a range.
pub(super) fn bounds(range: &ReadRange) -> Vec<Document> {
    let mut all = Vec::new();
    all.extend(range.first.iter().flat_map(|key| beyond(key, "$gt", true)));
    all.extend(range.after.iter().flat_map(|key| beyond(key, "$gt", false)));
    all.extend(range.last.iter().flat_map(|key| beyond(key, "$lt", true)));
    all
}

/// Keys beyond `key` in the direction of `strictly`. The bound on the subject alone says nothing new, but it is what an
/// index can be searched by.
fn beyond(key: &RecordKey, strictly: &str, inclusive: bool) -> [Document; 2] {
    let or_equal = format!("{strictly}e");
    let last = if inclusive { or_equal.as_str() } else { strictly };
    let (subject, document_id, source) = (&key.subject, &key.document_id, &key.source);
    [
        doc! { "subject": { &or_equal: subject } },
        doc! { "$or": [
            { "subject": { strictly: subject } },
            { "subject": subject, "document_id": { strictly: document_id } },
            { "subject": subject, "document_id": document_id, "source": { last: source } },
        ] },
    ]
}
