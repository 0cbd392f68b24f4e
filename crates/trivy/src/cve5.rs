//! CVE JSON 5: what the CVE programme says of a vulnerability. Its lists of products name no packages that Trivy could look up.

use serde_json::Value;

use crate::entry::Detail;
use crate::mapper::Record;
use crate::row::Table;
use crate::rows::{Id, Rows, time};
use crate::severity::{Scores, of_word};

/// Id of the source. The numbers are of the CNA, or of CISA where that added some; NVD had no part in them.
pub(crate) const SOURCE: &str = "cve-program";

/// How descriptions of ids begin that were rejected without their state telling.
const REJECTED: [&str; 3] = ["** REJECT **", "Rejected reason:", "** REJECTED **"];

/// A rejected id goes out of the whole database; of others the text, scores and dates are used.
pub(crate) fn map(record: &Record<'_>, rows: &mut Rows<'_>) -> Result<(), serde_json::Error> {
    let document: Value = serde_json::from_slice(record.raw)?;
    let metadata = &document["cveMetadata"];
    let Some(id) = metadata["cveId"].as_str().map(str::trim).filter(|id| !id.is_empty()) else {
        rows.report("a document without an id", record.subject, "");
        return Ok(());
    };
    let detail = detail(&document);
    let state = metadata["state"].as_str().unwrap_or_default();
    if state.eq_ignore_ascii_case("rejected") || REJECTED.iter().any(|text| detail.description.starts_with(text)) {
        rows.put(Table::Rejected, "", "", id, &Value::Null);
        rows.report("a CVE that its authority rejected", id, "");
        return Ok(());
    }
    rows.details(&[Id { id: id.to_owned(), vendor: Vec::new() }], detail);
    rows.report("a CVE record names products, not packages; its text, scores and dates are used", id, "");
    Ok(())
}

fn detail(document: &Value) -> Detail {
    let metadata = &document["cveMetadata"];
    let cna = &document["containers"]["cna"];
    let others = document["containers"]["adp"].as_array().into_iter().flatten();
    let mut detail = Detail { source: SOURCE.to_owned(), ..Detail::default() };
    detail.title = text(&cna["title"]);
    detail.description = cna["descriptions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|one| one["lang"].as_str().is_none_or(|language| language.starts_with("en")))
        .map(|one| text(&one["value"]))
        .unwrap_or_default();
    detail.published = metadata["datePublished"].as_str().and_then(time);
    detail.modified = metadata["dateUpdated"].as_str().and_then(time);
    let mut scores = Scores::default();
    for container in std::iter::once(cna).chain(others) {
        for metric in container["metrics"].as_array().into_iter().flatten() {
            for version in ["cvssV4_0", "cvssV3_1", "cvssV3_0", "cvssV2_0"] {
                if let Some(vector) = metric[version]["vectorString"].as_str() {
                    scores.take(vector);
                    detail.severity = detail.severity.max(of_word(&text(&metric[version]["baseSeverity"])));
                }
            }
        }
        for problem in container["problemTypes"].as_array().into_iter().flatten() {
            let named = problem["descriptions"].as_array().into_iter().flatten();
            detail.weaknesses.extend(named.filter_map(|one| one["cweId"].as_str()).map(str::to_owned));
        }
        let references = container["references"].as_array().into_iter().flatten();
        detail.references.extend(references.filter_map(|one| one["url"].as_str()).map(str::to_owned));
    }
    if scores.severity() > 0 {
        detail.severity = scores.severity();
    }
    detail.scores = scores;
    detail
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().trim().to_owned()
}
