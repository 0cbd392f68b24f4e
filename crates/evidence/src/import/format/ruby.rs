//! ruby-advisory-db, its YAML turned into JSON value for value.

use export_contract::RecordKind;

use super::Extract;
use crate::import::purl;
use crate::import::tape::Value;

/// A gem or an engine (`ruby`, `jruby`, …), and what every record has.
pub(super) fn matches(doc: Value<'_>) -> bool {
    (doc.get("gem").text().is_some() || doc.get("engine").text().is_some())
        && doc.get("title").text().is_some()
        && doc.get("url").text().is_some()
}

/// `related` names other flaws as often as further ids of this one, so only its addresses are taken.
pub(super) fn extract(doc: Value<'_>, path: &str) -> Extract {
    let mut out = Extract::new(RecordKind::Advisory, super::RUBY);
    let prefixed = |name: &str, prefix: &str| doc.get(name).text_or_number().map(|id| format!("{prefix}{id}"));
    let ids = [prefixed("cve", "CVE-"), prefixed("ghsa", "GHSA-"), prefixed("osvdb", "OSVDB-")];
    for id in ids.iter().flatten() {
        out.links.alias(id);
    }
    out.id = ids.into_iter().flatten().next().or_else(|| super::stem(path).map(str::to_owned));
    for url in doc.get("url").each().chain(doc.get("related").get("url").each()).filter_map(Value::text) {
        out.links.reference(&url);
    }
    if let Some(purl) = doc.get("gem").filled().and_then(|gem| purl::from_package("rubygems", &gem)) {
        out.links.purl(&purl);
        out.ecosystems.insert("rubygems".to_owned());
    } else {
        out.ecosystems.extend(doc.get("engine").filled().map(|engine| engine.to_lowercase()));
    }
    out
}
