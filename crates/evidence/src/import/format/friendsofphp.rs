//! FriendsOfPHP security-advisories, their YAML turned into JSON value for value.

use export_contract::RecordKind;

use super::Extract;
use crate::import::purl;
use crate::import::tape::Value;

pub(super) fn matches(doc: Value<'_>) -> bool {
    doc.get("branches").is_object() && doc.get("reference").text().is_some()
}

/// A record has no id of its own; 390 of 1,433 do not name a CVE either. Those are called by package and file
/// name.
pub(super) fn extract(doc: Value<'_>, path: &str) -> Extract {
    let mut out = Extract::new(RecordKind::Advisory, super::FRIENDS_OF_PHP);
    let cve = doc.get("cve").filled().filter(|cve| cve.starts_with("CVE-"));
    let reference = doc.get("reference").filled().unwrap_or_default();
    let package = reference.strip_prefix("composer://").unwrap_or(&reference).to_owned();
    if let Some(cve) = &cve {
        out.links.alias(cve);
    }
    let named =
        super::stem(path).map(|stem| if package.is_empty() { stem.to_owned() } else { format!("{package}/{stem}") });
    out.id = cve.or(named).or_else(|| (!package.is_empty()).then(|| package.clone()));
    if let Some(link) = doc.get("link").text() {
        out.links.reference(&link);
    }
    if let Some(purl) = purl::from_package("packagist", &package) {
        out.links.purl(&purl);
    }
    out.ecosystems.insert("packagist".to_owned());
    out
}
