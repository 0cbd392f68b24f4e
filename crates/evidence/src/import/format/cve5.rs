//! CVE JSON 5.x.

use export_contract::RecordKind;

use super::Extract;
use crate::import::tape::Value;

/// Registries that `collectionURL` names, and their ecosystems.
const COLLECTIONS: [(&str, &str); 8] = [
    ("crates.io", "crates.io"),
    ("npmjs.", "npm"),
    ("nuget.org", "nuget"),
    ("packagist.org", "packagist"),
    ("pkg.go.dev", "go"),
    ("pypi.", "pypi"),
    ("repo.maven.apache.org", "maven"),
    ("rubygems.org", "rubygems"),
];

pub(super) fn matches(doc: Value<'_>) -> bool {
    doc.get("cveMetadata").is_object()
        && (doc.get("dataType").text().as_deref() == Some("CVE_RECORD") || doc.get("containers").is_object())
}

pub(super) fn extract(doc: Value<'_>) -> Extract {
    let mut out = Extract::new(RecordKind::Advisory, super::CVE5);
    out.spec_version = doc.get("dataVersion").text_or_number().unwrap_or_default();
    out.id = doc.get("cveMetadata").get("cveId").filled();
    let containers = doc.get("containers");
    for container in containers.get("cna").each().chain(containers.get("adp").each()) {
        for reference in container.get("references").each().filter_map(|reference| reference.get("url").text()) {
            out.links.reference(&reference);
        }
        // The number of the vendor's own advisory; only those that are ids of a database are aliases.
        for advisory in container.get("source").get("advisory").each().filter_map(Value::text) {
            if advisory.trim_start().starts_with("GHSA-") {
                out.links.alias(&advisory);
            }
        }
        for affected in container.get("affected").each() {
            if let Some(purl) = affected.get("packageURL").text() {
                out.links.purl(&purl);
            }
            for cpe in affected.get("cpes").each().filter_map(Value::text) {
                out.links.cpe(&cpe);
            }
            if let Some(url) = affected.get("collectionURL").text() {
                let known = COLLECTIONS.iter().find(|(host, _)| url.contains(host));
                out.ecosystems.extend(known.map(|(_, ecosystem)| (*ecosystem).to_owned()));
            }
        }
        for cpe in container.get("cpeApplicability").inside("criteria").filter_map(Value::text) {
            out.links.cpe(&cpe);
        }
    }
    out.with_ecosystems_of_purls()
}
