//! Records of ruby-advisory-db (<https://github.com/rubysec/ruby-advisory-db>): what is patched and what was never affected. All
//! the rest is vulnerable, and that is what is written, so that it can be joined with what others say.

use serde_json::Value;

use crate::ecosystem::RUBY_GEMS;
use crate::entry::Detail;
use crate::interval::Set;
use crate::mapper::Record;
use crate::ranges::{Told, UNREADABLE};
use crate::requirement;
use crate::rows::{Place, Rows, Said, ids, time};
use crate::severity::Scores;

const SOURCE: &str = "ruby-advisory-db";

pub(crate) fn map(record: &Record<'_>, rows: &mut Rows<'_>) -> Result<(), serde_json::Error> {
    let document: Value = serde_json::from_slice(record.raw)?;
    let text = |name: &str| document[name].as_str().map(str::trim).unwrap_or_default();
    let id = |name: &str, prefix: &str| Some(text(name)).filter(|id| !id.is_empty()).map(|id| format!("{prefix}{id}"));
    let known: Vec<String> =
        [id("cve", "CVE-"), id("ghsa", "GHSA-"), id("osvdb", "OSVDB-")].into_iter().flatten().collect();
    let own = known.first().map_or(record.subject, String::as_str);
    let gem = text("gem");
    if gem.is_empty() {
        // Ruby itself and its other implementations.
        rows.lose("an ecosystem that Trivy does not scan", own, Place { ecosystem: text("engine"), package: "" }, "");
        return Ok(());
    }
    let ids = ids(own, known.iter().map(String::as_str), known.iter().map(String::as_str));
    let detail = detail(&document);
    let told = vulnerable(&document);
    let said = Said { source: SOURCE, language: RUBY_GEMS, name: gem, severity: detail.severity, told };
    if rows.language(own, &ids, said) {
        rows.details(&ids, detail);
    }
    Ok(())
}

/// A requirement that cannot be read makes the whole record useless: it may be the one that says what is fixed.
fn vulnerable(document: &Value) -> Told {
    let mut told = Told::default();
    let mut safe = Set::none();
    for list in ["patched_versions", "unaffected_versions"].map(|name| &document[name]) {
        for requirement in list.as_array().into_iter().flatten().chain(Some(list).filter(|list| list.is_string())) {
            let text = requirement.as_str().unwrap_or_default();
            let Some(set) = requirement::gem(text) else {
                told.lost.push((UNREADABLE, requirement.to_string()));
                return told;
            };
            safe = safe.or(set);
        }
    }
    (told.vulnerable, told.patched) = safe.complement().groups();
    told
}

fn detail(document: &Value) -> Detail {
    let text = |name: &str| document[name].as_str().unwrap_or_default().trim().to_owned();
    let mut scores = Scores::default();
    for (name, version) in [("cvss_v2", 2), ("cvss_v3", 3), ("cvss_v4", 4)] {
        if let Some(score) = document[name].as_f64() {
            scores.take_number(version, score);
        }
    }
    let related = document["related"]["url"].as_array().into_iter().flatten().filter_map(Value::as_str);
    Detail {
        source: SOURCE.to_owned(),
        title: text("title"),
        description: text("description"),
        severity: scores.severity(),
        scores,
        references: document["url"].as_str().into_iter().chain(related).map(str::to_owned).collect(),
        published: document["date"].as_str().and_then(time),
        ..Detail::default()
    }
}
