//! OSV.

use export_contract::RecordKind;

use super::Extract;
use crate::import::purl;
use crate::import::tape::Value;

/// An id and one of the members that no other format has beside it. Withdrawn records may have no `affected`.
pub(super) fn matches(doc: Value<'_>) -> bool {
    doc.get("id").text().is_some()
        && (doc.get("modified").text().is_some()
            || doc.get("schema_version").text().is_some()
            || doc.get("affected").is_array())
}

/// `upstream` holds the ids that a distribution's record takes up, for 24,000 records the only place where
/// the CVE stands, so they count as aliases; `related` does not, since it names other vulnerabilities.
pub(super) fn extract(doc: Value<'_>) -> Extract {
    let mut out = Extract::new(RecordKind::Advisory, super::OSV);
    out.spec_version = doc.get("schema_version").filled().unwrap_or_default();
    out.id = doc.get("id").filled();
    for alias in doc.get("aliases").each().chain(doc.get("upstream").each()).filter_map(Value::text) {
        out.links.alias(&alias);
    }
    for reference in doc.get("references").each().filter_map(|reference| reference.get("url").text()) {
        out.links.reference(&reference);
    }
    for package in doc.get("affected").each().map(|affected| affected.get("package")) {
        let written = package.get("purl").text();
        if let Some(written) = &written {
            out.links.purl(written);
        }
        let Some(ecosystem) = package.get("ecosystem").text() else {
            continue;
        };
        let ecosystem = ecosystem.split(':').next().unwrap_or_default().trim().to_lowercase();
        if ecosystem.is_empty() {
            continue;
        }
        if written.is_none()
            && let Some(name) = package.get("name").text()
            && let Some(purl) = purl::from_package(&ecosystem, &name)
        {
            out.links.purl(&purl);
        }
        out.ecosystems.insert(ecosystem);
    }
    out
}
