//! Node.js security working group: modules (`vuln/npm`) and Node.js itself (`vuln/core`), two shapes.

use export_contract::RecordKind;

use super::Extract;
use crate::import::purl;
use crate::import::tape::Value;

pub(super) fn matches(doc: Value<'_>) -> bool {
    is_module(doc) || (doc.get("vulnerable").exists() && doc.get("patched").exists() && doc.get("cve").exists())
}

fn is_module(doc: Value<'_>) -> bool {
    doc.get("module_name").text().is_some() && doc.get("vulnerable_versions").exists()
}

/// Ids are bare numbers; `NSWG-ECO-n` and `NSWG-COR-n` is how others cite them. Those of Node.js itself stand
/// in the path only.
pub(super) fn extract(doc: Value<'_>, path: &str) -> Extract {
    let mut out = Extract::new(RecordKind::Advisory, super::NODEJS);
    for cve in doc.get("cves").each().chain(doc.get("cve").each()).filter_map(Value::text) {
        out.links.alias(&cve);
    }
    for url in doc.get("references").each().chain(doc.get("ref").each()).filter_map(Value::text) {
        // Some records put all addresses into one string, one a line, each after a dash.
        for word in url.split_whitespace() {
            out.links.reference(word);
        }
    }
    let number = doc.get("id").text_or_number().or_else(|| super::stem(path).map(str::to_owned));
    if is_module(doc) {
        out.id = number.map(|number| format!("NSWG-ECO-{number}"));
        if let Some(purl) = doc.get("module_name").filled().and_then(|name| purl::from_package("npm", &name)) {
            out.links.purl(&purl);
        }
        out.ecosystems.insert("npm".to_owned());
    } else {
        let first_cve = || doc.get("cve").each().find_map(Value::filled);
        out.id = number.map(|number| format!("NSWG-COR-{number}")).or_else(first_cve);
        out.ecosystems.insert("node.js".to_owned());
    }
    out
}
