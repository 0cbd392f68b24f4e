//! Records of the Node.js security working group (<https://github.com/nodejs/security-wg>): of modules, which are mapped, and of
//! Node.js itself, which Trivy does not scan.

use serde_json::Value;

use crate::ecosystem::NPM;
use crate::entry::Detail;
use crate::interval::Set;
use crate::mapper::Record;
use crate::ranges::{Told, UNREADABLE};
use crate::requirement;
use crate::rows::{Place, Rows, Said, ids, time};
use crate::severity::Scores;

const SOURCE: &str = "nodejs-security-wg";

pub(crate) fn map(record: &Record<'_>, rows: &mut Rows<'_>) -> Result<(), serde_json::Error> {
    let document: Value = serde_json::from_slice(record.raw)?;
    let Some(module) = document["module_name"].as_str().map(str::trim).filter(|name| !name.is_empty()) else {
        rows.lose(
            "an ecosystem that Trivy does not scan",
            record.subject,
            Place { ecosystem: "Node.js", package: "" },
            "",
        );
        return Ok(());
    };
    let number = match &document["id"] {
        Value::Number(number) => number.to_string(),
        other => other.as_str().unwrap_or_default().to_owned(),
    };
    let own = if number.is_empty() { record.subject.to_owned() } else { format!("NSWG-ECO-{number}") };
    let cves: Vec<&str> = document["cves"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let ids = ids(&own, cves.iter().copied(), cves.iter().copied());
    let detail = detail(&document);
    let told = vulnerable(&document);
    let said = Said { source: SOURCE, language: NPM, name: module, severity: detail.severity, told };
    if rows.language(&own, &ids, said) {
        rows.details(&ids, detail);
    }
    Ok(())
}

/// What is vulnerable and not patched; a range of patched versions such as `<0.0.0` means that there are none.
fn vulnerable(document: &Value) -> Told {
    let mut told = Told::default();
    let mut read = |name: &str| match &document[name] {
        Value::Null => Some(Set::none()),
        given => {
            let set = given.as_str().and_then(requirement::npm);
            if set.is_none() {
                told.lost.push((UNREADABLE, format!("{name}: {given}")));
            }
            set
        }
    };
    if let (Some(vulnerable), Some(patched)) = (read("vulnerable_versions"), read("patched_versions")) {
        (told.vulnerable, told.patched) = vulnerable.and(&patched.complement()).groups();
    }
    told
}

fn detail(document: &Value) -> Detail {
    let text = |name: &str| document[name].as_str().unwrap_or_default().trim().to_owned();
    let mut scores = Scores::default();
    scores.take(&text("cvss_vector"));
    if let Some(score) = document["cvss_score"].as_f64() {
        scores.take_number(3, score);
    }
    let urls = document["references"].as_array().into_iter().flatten().filter_map(Value::as_str);
    Detail {
        source: SOURCE.to_owned(),
        title: text("title"),
        description: text("overview"),
        severity: scores.severity(),
        scores,
        // Some records put all addresses into one text, each after a dash.
        references: urls
            .flat_map(str::split_whitespace)
            .filter(|word| word.contains("://"))
            .map(str::to_owned)
            .collect(),
        published: time(&text("publish_date")),
        modified: time(&text("updated_at")),
        ..Detail::default()
    }
}
