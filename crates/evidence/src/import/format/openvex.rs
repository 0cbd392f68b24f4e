//! OpenVEX, v0.2.0 and the early form of v0.0.1 in which vulnerabilities and products are plain strings.

use export_contract::RecordKind;

use super::Extract;
use crate::import::tape::Value;

const CONTEXT: &str = "openvex.dev/ns";

pub(super) fn matches(doc: Value<'_>) -> bool {
    doc.get("statements").is_array()
        && doc.get("@context").each().filter_map(Value::text).any(|text| text.contains(CONTEXT))
}

/// The same `@id` stands on many documents of a hub, so it is the document id but never a key by itself.
pub(super) fn extract(doc: Value<'_>) -> Extract {
    let mut out = Extract::new(RecordKind::Vex, super::OPENVEX);
    let context = doc.get("@context").each().filter_map(Value::text).find(|text| text.contains(CONTEXT));
    let version = context.as_deref().and_then(|text| text.rsplit_once("/ns/")).map(|(_, version)| version);
    version.unwrap_or_default().trim_start_matches('v').clone_into(&mut out.spec_version);
    out.id = doc.get("@id").filled();
    for statement in doc.get("statements").each() {
        vulnerability(statement.get("vulnerability"), &mut out);
        for product in statement.get("products").each() {
            if out.subject.is_none() {
                out.subject = name(product);
            }
            links(product, &mut out);
            for component in product.get("subcomponents").each() {
                links(component, &mut out);
            }
        }
        // v0.0.1 names them beside the products.
        for component in statement.get("subcomponents").each() {
            links(component, &mut out);
        }
    }
    out.with_ecosystems_of_purls()
}

fn vulnerability(value: Value<'_>, out: &mut Extract) {
    if let Some(name) = value.text().or_else(|| value.get("name").text()) {
        out.links.alias(&name);
    }
    for alias in value.get("aliases").each().filter_map(Value::text) {
        out.links.alias(&alias);
    }
    if let Some(address) = value.get("@id").text() {
        out.links.reference(&address);
    }
}

/// What a product is called: its purl, else its `@id`.
fn name(product: Value<'_>) -> Option<String> {
    product.get("identifiers").get("purl").filled().or_else(|| product.get("@id").filled()).or_else(|| product.filled())
}

fn links(product: Value<'_>, out: &mut Extract) {
    let identifiers = product.get("identifiers");
    let named =
        [product, product.get("@id"), identifiers.get("purl"), identifiers.get("cpe22"), identifiers.get("cpe23")];
    for text in named.into_iter().filter_map(Value::text) {
        out.links.product(&text);
    }
}
