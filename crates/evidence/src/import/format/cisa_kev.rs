//! CISA's catalogue of known exploited vulnerabilities.

use crate::import::tape::Value;

pub(super) fn matches(doc: Value<'_>) -> bool {
    doc.get("catalogVersion").exists()
        && doc.get("vulnerabilities").each().next().is_none_or(|entry| entry.get("cveID").text().is_some())
}
