//! The statements that read in key order.

use export_contract::{RecordKey, RecordKind};
use export_sqlite::rusqlite::types::Value;

use crate::compile::sql::{Clause, condition};
use crate::{ReadRange, Selection};

/// Columns of a key.
pub(super) const KEY: &str = "e.subject, e.document_id, e.source";
/// Columns of a stored line, in the order that [`super::read`] takes them.
pub(super) const LINE: &str = "e.subject, e.document_id, e.source, e.content_hash, e.plain_bytes, e.line";

/// The statement that gives `columns` of the chosen records in key order. `evidence_order` is named, so that SQLite
/// refuses the statement rather than sort (a test reads its plan).
pub(super) fn in_order(columns: &str, selection: &Selection, kind: RecordKind, bounds: Clause) -> Clause {
    let watermark = i64::try_from(selection.watermark.0).unwrap_or(i64::MAX);
    let visible = Clause::new(
        "e.tenant = ? AND e.kind = ? AND e.sequence <= ? AND (e.superseded_at IS NULL OR e.superseded_at > ?)",
        [
            Value::Text(selection.tenant.to_string()),
            Value::Text(kind.to_string()),
            Value::Integer(watermark),
            Value::Integer(watermark),
        ],
    );
    let chosen = visible.and(bounds).and(condition(&selection.selectors, kind));
    let text =
        format!("SELECT {columns} FROM evidence e INDEXED BY evidence_order WHERE {} ORDER BY {KEY}", chosen.text);
    Clause { text, ..chosen }
}

/// The bounds of a range, as far as it has any.
pub(super) fn bounds(range: &ReadRange) -> Clause {
    let key = |key: &RecordKey| [&key.subject, &key.document_id, &key.source].map(|text| Value::Text(text.clone()));
    let compare = |how: &str, bound: &RecordKey| Clause::new(&format!("({KEY}) {how} (?, ?, ?)"), key(bound));
    // Only the higher of the two lower bounds is given: SQLite seeks by one of them and would filter by the other.
    let lower = match (&range.first, &range.after) {
        (Some(first), Some(after)) if first > after => Some(compare(">=", first)),
        (_, Some(after)) => Some(compare(">", after)),
        (Some(first), None) => Some(compare(">=", first)),
        (None, None) => None,
    };
    let upper = range.last.as_ref().map(|last| compare("<=", last));
    [lower, upper].into_iter().flatten().fold(Clause::new("1", []), Clause::and)
}
