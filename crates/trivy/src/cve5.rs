//! CVE JSON 5: what the CVE programme says of a vulnerability. Its lists of products name no packages that Trivy could look up.

use serde_json::Value;

use crate::entry::Detail;
use crate::severity::{Scores, of_word};

/// Id of the source. The numbers are of the CNA, or of CISA where that added some; NVD had no part in them.
pub(crate) const SOURCE: &str = "cve-program";

/// What a document is.
pub(crate) enum Cve {
    /// The id was rejected by its authority.
    Rejected(String),
    /// What is said of it.
    Published(String, Box<Detail>),
    /// Without an id.
    Nameless,
}

pub(crate) fn read(document: &Value) -> Cve {
    let metadata = &document["cveMetadata"];
    let Some(id) = metadata["cveId"].as_str().filter(|id| !id.is_empty()) else { return Cve::Nameless };
    if metadata["state"].as_str().is_some_and(|state| state.eq_ignore_ascii_case("rejected")) {
        return Cve::Rejected(id.to_owned());
    }
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
    detail.published = metadata["datePublished"].as_str().and_then(super::mapper::time);
    detail.modified = metadata["dateUpdated"].as_str().and_then(super::mapper::time);
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
    Cve::Published(id.to_owned(), Box::new(detail))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().trim().to_owned()
}
