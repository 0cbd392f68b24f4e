//! CSAF 2.x. Every category counts as VEX: real security advisories carry `product_status` just as the VEX
//! profile does.

use export_contract::RecordKind;

use super::Extract;
use crate::import::tape::Value;

pub(super) fn matches(doc: Value<'_>) -> bool {
    let document = doc.get("document");
    document.get("csaf_version").exists() || (document.get("tracking").is_object() && document.get("category").exists())
}

/// The subject is the first product with a purl, else with a CPE; most industrial advisories name their
/// products in prose only and are called by their own id.
pub(super) fn extract(doc: Value<'_>) -> Extract {
    let mut out = Extract::new(RecordKind::Vex, super::CSAF);
    let document = doc.get("document");
    out.spec_version = document.get("csaf_version").text_or_number().unwrap_or_default();
    out.id = document.get("tracking").get("id").filled();
    for alias in document.get("tracking").get("aliases").each().filter_map(Value::text) {
        out.links.alias(&alias);
    }
    let (mut first_purl, mut first_cpe) = (None, None);
    for helper in doc.get("product_tree").inside("product_identification_helper") {
        for purl in helper.get("purl").each().chain(helper.get("purls").each()).filter_map(Value::filled) {
            out.links.purl(&purl);
            first_purl.get_or_insert(purl);
        }
        if let Some(cpe) = helper.get("cpe").filled() {
            out.links.cpe(&cpe);
            first_cpe.get_or_insert(cpe);
        }
    }
    out.subject = first_purl.or(first_cpe);
    for vulnerability in doc.get("vulnerabilities").each() {
        let ids = vulnerability.get("ids").each().filter_map(|id| id.get("text").text());
        for id in vulnerability.get("cve").text().into_iter().chain(ids) {
            out.links.alias(&id);
        }
        addresses(vulnerability, &mut out);
    }
    addresses(document, &mut out);
    out.with_ecosystems_of_purls()
}

fn addresses(holder: Value<'_>, out: &mut Extract) {
    for url in holder.get("references").each().filter_map(|reference| reference.get("url").text()) {
        out.links.reference(&url);
    }
}
