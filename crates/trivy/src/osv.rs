//! OSV (<https://ossf.github.io/osv-schema/>).

mod document;
mod systems;

use serde_json::Value;

use crate::ecosystem::{Target, target};
use crate::entry::Detail;
use crate::mapper::Record;
use crate::ranges;
use crate::rows::{Id, Place, Rows, Said, ids, time};
use crate::severity::{Scores, of_word};

pub(crate) use document::{Affected, Osv, Range};

pub(crate) fn map(record: &Record<'_>, rows: &mut Rows<'_>) -> Result<(), serde_json::Error> {
    let (osv, mended) = document::read(record.raw)?;
    if mended {
        rows.report("members of another type than OSV gives them, which are passed over", &osv.id, "");
    }
    if osv.withdrawn.as_ref().is_some_and(|at| !at.is_empty()) {
        rows.report("withdrawn", &osv.id, osv.withdrawn.as_deref().unwrap_or_default());
        return Ok(());
    }
    if osv.affected.is_empty() {
        rows.report("no package is named", &osv.id, "");
    }
    let mut written: Vec<(&'static str, Vec<Id>)> = Vec::new();
    for affected in &osv.affected {
        if let Some((source, ids)) = map_affected(&osv, affected, rows)
            && !written.iter().any(|(other, _)| *other == source)
        {
            written.push((source, ids));
        }
    }
    for (source, ids) in written {
        rows.details(&ids, detail(&osv, source));
    }
    Ok(())
}

/// Rows of one package; the data source and the ids that it stands under.
fn map_affected(osv: &Osv, affected: &Affected, rows: &mut Rows<'_>) -> Option<(&'static str, Vec<Id>)> {
    let Some(package) = affected.package.as_ref().filter(|package| !package.name.trim().is_empty()) else {
        let git = affected.ranges.iter().any(|range| range.kind == "GIT");
        rows.report(if git { "only commits are named" } else { "no package is named" }, &osv.id, "");
        return None;
    };
    let place = Place { ecosystem: &package.ecosystem, package: &package.name };
    let Some(target) = target(&package.ecosystem) else {
        rows.lose("an ecosystem that Trivy does not scan", &osv.id, place, "");
        return None;
    };
    // A distribution's erratum is about the CVEs that it fixes, which it lists as related.
    let related = matches!(&target, Target::System(system) if matches!(system.source, "alma" | "rocky"));
    let aliases = || osv.aliases.iter().chain(&osv.upstream).map(String::as_str);
    let candidates = aliases().chain(osv.related.iter().filter(|_| related).map(String::as_str));
    let ids = ids(&osv.id, candidates, aliases());
    match target {
        Target::System(system) => systems::map(osv, affected, &system, &ids, rows).then_some((system.source, ids)),
        Target::Language(language) => {
            let source = match osv.id.split('-').next() {
                Some("GHSA") => "ghsa",
                Some("GO") => "govulndb",
                Some("BIT") => "bitnami",
                Some("JLSEC") => "julia",
                _ => "osv",
            };
            let told = ranges::translate(affected, language.scheme);
            let severity = detail(osv, source).severity;
            let said = Said { source, language, name: &package.name, severity, told };
            rows.language(&osv.id, &ids, said).then_some((source, ids))
        }
    }
}

/// What the document says of the vulnerability itself.
fn detail(osv: &Osv, source: &str) -> Detail {
    let mut scores = Scores::default();
    // What is no vector is a word, as Ubuntu writes its priority.
    let mut word = osv.database_specific["severity"].as_str().map_or(0, of_word);
    for rated in osv.severity.iter().chain(osv.affected.iter().flat_map(|affected| &affected.severity)) {
        if !scores.take(&rated.score) {
            word = word.max(of_word(&rated.score));
        }
    }
    if matches!(source, "alma" | "rocky")
        && let Some((first, _)) = osv.summary.split_once(':')
    {
        // `Important: openssh security update`.
        word = word.max(of_word(first));
    }
    let weaknesses = osv.database_specific["cwe_ids"].as_array().into_iter().flatten();
    let urls = osv.references.iter().map(|reference| reference.url.trim());
    Detail {
        source: source.to_owned(),
        title: osv.summary.trim().to_owned(),
        description: osv.details.trim().to_owned(),
        // The word is what the publisher's reviewer says; vectors are often copied.
        severity: if word > 0 { word } else { scores.severity() },
        scores,
        weaknesses: weaknesses.filter_map(Value::as_str).map(str::to_owned).collect(),
        references: urls.filter(|url| !url.is_empty()).map(str::to_owned).collect(),
        published: osv.published.as_deref().and_then(time),
        modified: osv.modified.as_deref().and_then(time),
    }
}
