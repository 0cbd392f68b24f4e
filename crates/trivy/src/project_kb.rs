//! Statements of SAP's project-kb (<https://github.com/SAP/project-kb>): artefacts of Maven that were judged one by one, and
//! commits, which Trivy has no use for.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::ecosystem::MAVEN;
use crate::entry::Detail;
use crate::mapper::Record;
use crate::ranges::{Told, UNREADABLE};
use crate::rows::{Place, Rows, Said, ids};

const SOURCE: &str = "project-kb";

pub(crate) fn map(record: &Record<'_>, rows: &mut Rows<'_>) -> Result<(), serde_json::Error> {
    let document: Value = serde_json::from_slice(record.raw)?;
    let own =
        document["vulnerability_id"].as_str().map(str::trim).filter(|id| !id.is_empty()).unwrap_or(record.subject);
    let aliases = document["aliases"].as_array().into_iter().flatten();
    let aliases: Vec<&str> = aliases.filter_map(|alias| alias.as_str().or_else(|| alias["alias"].as_str())).collect();
    let ids = ids(own, aliases.iter().copied(), aliases.iter().copied());
    let artefacts: Vec<&Value> = document["artifacts"].as_array().into_iter().flatten().collect();
    let mut packages: BTreeMap<String, Told> = BTreeMap::new();
    for artefact in artefacts.iter().filter(|artefact| artefact["affected"] == true) {
        let purl = artefact["id"].as_str().unwrap_or_default();
        let Some((package, version)) = maven(purl) else {
            rows.report("a package URL that names no version of a Maven artefact", own, purl);
            continue;
        };
        let told = packages.entry(package).or_default();
        if MAVEN.scheme.reads(&version) {
            let group = format!("={version}");
            if !told.vulnerable.contains(&group) {
                told.vulnerable.push(group);
            }
        } else {
            told.lost.push((UNREADABLE, version));
        }
    }
    if packages.is_empty() {
        let reason = if artefacts.is_empty() {
            "only commits are named"
        } else {
            "only artefacts that are not affected are named"
        };
        rows.lose(reason, own, Place::default(), "");
        return Ok(());
    }
    let mut any = false;
    for (name, told) in &packages {
        any |=
            rows.language(own, &ids, Said { source: SOURCE, language: MAVEN, name, severity: 0, told: told.clone() });
    }
    if any {
        rows.details(&ids, detail(&document));
    }
    Ok(())
}

/// `group:artifact` and version of a package URL such as `pkg:maven/group/artifact@1.0`.
fn maven(purl: &str) -> Option<(String, String)> {
    let path = purl.strip_prefix("pkg:maven/")?.split(['?', '#']).next()?;
    let (path, version) = path.rsplit_once('@')?;
    let (group, artifact) = path.split_once('/')?;
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().ok().map(|text| text.trim().to_owned());
    let (group, artifact, version) = (decoded(group)?, decoded(artifact)?, decoded(version)?);
    let whole = [&group, &artifact, &version].iter().all(|text| !text.is_empty());
    whole.then(|| (format!("{group}:{artifact}"), version))
}

fn detail(document: &Value) -> Detail {
    let notes = || document["notes"].as_array().into_iter().flatten();
    let links = notes().flat_map(|note| note["links"].as_array().into_iter().flatten()).filter_map(Value::as_str);
    let texts: Vec<&str> = notes().filter_map(|note| note["text"].as_str()).map(str::trim).collect();
    Detail {
        source: SOURCE.to_owned(),
        description: texts.join("\n\n"),
        references: links.map(str::to_owned).collect(),
        ..Detail::default()
    }
}

#[cfg(test)]
mod tests {
    use super::maven;

    #[test]
    fn package_urls_of_maven_name_group_artefact_and_version() {
        let found = |purl| maven(purl).map(|(name, version)| format!("{name} {version}"));
        assert_eq!(found("pkg:maven/rope/rope@0.10.7").as_deref(), Some("rope:rope 0.10.7"));
        assert_eq!(found("pkg:maven/org.a/b@1.0%2B2?type=jar").as_deref(), Some("org.a:b 1.0+2"));
        for bad in ["pkg:maven/a/b", "pkg:maven/b@1", "pkg:pypi/a@1", "", "pkg:maven//b@1", "pkg:maven/a/b@%ff"] {
            assert_eq!(found(bad), None, "{bad}");
        }
    }
}
