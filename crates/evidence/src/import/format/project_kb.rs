//! SAP project-kb statements, their YAML turned into JSON value for value.

use export_contract::RecordKind;

use super::Extract;
use crate::import::tape::Value;

pub(super) fn matches(doc: Value<'_>) -> bool {
    doc.get("vulnerability_id").text().is_some()
        && ["notes", "fixes", "artifacts"].iter().any(|name| doc.get(name).exists())
}

pub(super) fn extract(doc: Value<'_>) -> Extract {
    let mut out = Extract::new(RecordKind::Advisory, super::PROJECT_KB);
    out.id = doc.get("vulnerability_id").filled();
    for alias in doc.get("aliases").each() {
        if let Some(alias) = alias.text().or_else(|| alias.get("alias").text()) {
            out.links.alias(&alias);
        }
    }
    for artifact in doc.get("artifacts").each().filter_map(|artifact| artifact.get("id").text()) {
        out.links.purl(&artifact);
    }
    for note in doc.get("notes").each() {
        for link in note.get("links").each().filter_map(Value::text) {
            out.links.reference(&link);
        }
    }
    for repository in doc.get("fixes").inside("repository").filter_map(Value::text) {
        out.links.reference(&repository);
    }
    out.with_ecosystems_of_purls()
}
