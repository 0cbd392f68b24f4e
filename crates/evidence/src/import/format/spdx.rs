//! SPDX JSON: 2.x documents and the graph of 3.x.

use std::collections::BTreeSet;

use export_contract::RecordKind;

use super::Extract;
use crate::import::tape::Value;

/// Id of every 2.x document.
const DOCUMENT: &str = "SPDXRef-DOCUMENT";

/// Real documents lack the version, or have a number there, so the id of the document speaks as well.
pub(super) fn matches(doc: Value<'_>) -> bool {
    doc.get("spdxVersion").exists() || doc.get("SPDXID").text().as_deref() == Some(DOCUMENT) || is_graph(doc)
}

fn is_graph(doc: Value<'_>) -> bool {
    doc.get("@graph").exists()
        && doc.get("@context").each().filter_map(Value::text).any(|text| text.contains("spdx.org/rdf"))
}

pub(super) fn extract(doc: Value<'_>) -> Extract {
    if is_graph(doc) { graph(doc) } else { document(doc) }
}

/// 2.x. The main component is the first package that the document describes, by `documentDescribes` or by a
/// relationship.
fn document(doc: Value<'_>) -> Extract {
    let mut out = Extract::new(RecordKind::Sbom, super::SPDX);
    let version = doc.get("spdxVersion").text_or_number().unwrap_or_default();
    version.strip_prefix("SPDX-").unwrap_or(&version).clone_into(&mut out.spec_version);
    out.id = doc.get("documentNamespace").filled().or_else(|| doc.get("name").filled());
    let described = described(doc);
    for package in doc.get("packages").each() {
        let is_main = package.get("SPDXID").filled().is_some_and(|id| described.contains(&id));
        for reference in package.get("externalRefs").each() {
            let Some(locator) = reference.get("referenceLocator").filled() else {
                continue;
            };
            if is_main && out.subject.is_none() && locator.starts_with("pkg:") {
                out.subject = Some(locator.clone());
            }
            out.links.product(&locator);
        }
    }
    out.with_ecosystems_of_purls()
}

fn described(doc: Value<'_>) -> BTreeSet<String> {
    let mut ids: BTreeSet<String> = doc.get("documentDescribes").each().filter_map(Value::filled).collect();
    for relationship in doc.get("relationships").each() {
        let from = relationship.get("spdxElementId").filled();
        let to = relationship.get("relatedSpdxElement").filled();
        match relationship.get("relationshipType").text().as_deref() {
            Some("DESCRIBES") if from.as_deref() == Some(DOCUMENT) => ids.extend(to),
            Some("DESCRIBED_BY") if to.as_deref() == Some(DOCUMENT) => ids.extend(from),
            _ => {}
        }
    }
    ids
}

/// 3.x. The main component is the root element of the document, or of the SBOM that is the document's root.
fn graph(doc: Value<'_>) -> Extract {
    let mut out = Extract::new(RecordKind::Sbom, super::SPDX);
    let elements = || doc.get("@graph").each();
    out.spec_version = elements().find_map(|element| element.get("specVersion").filled()).unwrap_or_default();
    let is_a = |element: Value<'_>, name: &str| element.get("type").text().is_some_and(|kind| kind.ends_with(name));
    let mut roots = BTreeSet::new();
    for element in elements() {
        let is_document = is_a(element, "SpdxDocument");
        if is_document && out.id.is_none() {
            out.id = id(element);
        }
        if is_document || is_a(element, "Sbom") || is_a(element, "Bom") {
            roots.extend(element.get("rootElement").each().filter_map(Value::filled));
        }
    }
    for element in elements() {
        let is_root = id(element).is_some_and(|id| roots.contains(&id));
        let identifiers = element.get("externalIdentifier").each().map(|external| external.get("identifier"));
        let purl = element.get("software_packageUrl");
        for text in [purl, element.get("packageUrl")].into_iter().chain(identifiers).filter_map(Value::filled) {
            if is_root && out.subject.is_none() && text.starts_with("pkg:") {
                out.subject = Some(text.clone());
            }
            out.links.product(&text);
        }
    }
    out.with_ecosystems_of_purls()
}

fn id(element: Value<'_>) -> Option<String> {
    element.get("spdxId").filled().or_else(|| element.get("@id").filled())
}
