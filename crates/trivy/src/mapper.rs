//! From a record to rows.

use serde::Serialize;
use serde_json::Value;

use crate::cve5::{self, Cve};
use crate::ecosystem::{Style, System, Target, target};
use crate::entry::{Detail, Fragment};
use crate::merge::VULNERABILITY;
use crate::names;
use crate::osv::{Affected, Osv};
use crate::ranges;
use crate::report::Example;
use crate::row::{Key, Row, Table};
use crate::severity::{Scores, of_word};

/// Longest name in bytes: bbolt takes keys of 32,768.
const MAX_NAME: usize = 32_000;

/// A record, borrowed from its line.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Publisher or pack.
    pub source: &'a str,
    /// Pack or source path and upstream id.
    pub document_id: &'a str,
    /// What the record speaks of.
    pub subject: &'a str,
    /// Format, as the evidence ledger names it.
    pub format: &'a str,
    /// The upstream document.
    pub raw: &'a [u8],
}

/// Maps advisories. What cannot be expressed becomes a row of the report, so that nothing is dropped in silence.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mapper;

impl Mapper {
    /// Gives the rows of `record`, which never fails.
    pub fn map(&self, record: &Record<'_>, out: &mut dyn FnMut(Row)) {
        let mut rows = Rows::new(record, out);
        let subject = record.subject;
        match record.format {
            "osv" => match serde_json::from_slice::<Osv>(record.raw) {
                Ok(osv) => map_osv(&osv, &mut rows),
                Err(error) => rows.report("a document that is not what its format says", subject, &error.to_string()),
            },
            "cve5" => match serde_json::from_slice::<Value>(record.raw) {
                Ok(document) => match cve5::read(&document) {
                    Cve::Rejected(id) => rows.put(Table::Rejected, "", "", &id, &Value::Null),
                    Cve::Published(id, detail) => {
                        rows.put(Table::Database, VULNERABILITY, "", &id, &Fragment::Detail(detail));
                        rows.report(
                            "a CVE record names products, not packages; its text, scores and dates are used",
                            &id,
                            "",
                        );
                    }
                    Cve::Nameless => rows.report("a document without an id", subject, ""),
                },
                Err(error) => rows.report("a document that is not what its format says", subject, &error.to_string()),
            },
            other => rows.report("a format that is not mapped to Trivy", subject, other),
        }
    }
}

/// Rows of one record.
pub(crate) struct Rows<'a> {
    origin: String,
    ordinal: u32,
    out: &'a mut dyn FnMut(Row),
}

impl<'a> Rows<'a> {
    pub(crate) fn new(record: &Record<'_>, out: &'a mut dyn FnMut(Row)) -> Self {
        Self { origin: format!("{}\u{1}{}", record.source, record.document_id), ordinal: 0, out }
    }

    pub(crate) fn put(&mut self, table: Table, bucket: &str, package: &str, id: &str, value: &impl Serialize) {
        if [bucket, package, id].iter().any(|name| name.contains('\0')) {
            return self.report("a name with a NUL", &id.replace('\0', "\u{fffd}"), "");
        }
        if [package, id].iter().any(|name| name.len() > MAX_NAME) || id.is_empty() {
            return self.report("a name that is empty or longer than a database key", "", "");
        }
        // Both are structures of ours, which always have a JSON text.
        let Ok(value) = serde_json::to_vec(value) else { return };
        let origin = format!("{}\u{1}{:08}", self.origin.replace('\0', "\u{fffd}"), self.ordinal);
        self.ordinal += 1;
        let key = Key { table, bucket: bucket.to_owned(), package: package.to_owned(), id: id.to_owned(), origin };
        (self.out)(Row { key, value });
    }

    pub(crate) fn report(&mut self, reason: &str, id: &str, detail: &str) {
        let short = |text: &str| text.replace('\0', "\u{fffd}").chars().take(200).collect::<String>();
        let example = Example { id: short(id), detail: short(detail) };
        let id = if example.id.is_empty() { "-".to_owned() } else { example.id.clone() };
        self.put(Table::Report, reason, "", &id, &example);
    }
}

/// `text` in RFC 3339, if it is a time.
pub(crate) fn time(text: &str) -> Option<String> {
    let text = if text.contains(['Z', '+']) || text.len() < 19 { text.to_owned() } else { format!("{text}Z") };
    text.parse::<export_contract::Timestamp>().ok().map(|time| time.to_string())
}

fn is_cve(id: &str) -> bool {
    id.strip_prefix("CVE-").and_then(|rest| rest.split_once('-')).is_some_and(|(year, number)| {
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        year.len() == 4 && number.len() >= 4 && digits(year) && digits(number)
    })
}

/// The ids that an advisory is found under: the CVEs it is about, else its own.
fn ids(osv: &Osv, related_too: bool) -> Vec<&str> {
    let own = std::iter::once(&osv.id).chain(&osv.aliases).chain(&osv.upstream);
    let related = osv.related.iter().filter(|_| related_too);
    let mut ids: Vec<&str> = own.chain(related).map(|id| id.trim()).filter(|id| is_cve(id)).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() { vec![&osv.id] } else { ids }
}

fn map_osv(osv: &Osv, rows: &mut Rows<'_>) {
    if osv.withdrawn.as_ref().is_some_and(|at| !at.is_empty()) {
        return rows.report("withdrawn", &osv.id, osv.withdrawn.as_deref().unwrap_or_default());
    }
    let mut written: Vec<(String, Vec<&str>)> = Vec::new();
    for affected in &osv.affected {
        let Some(package) = affected.package.as_ref().filter(|package| !package.name.is_empty()) else {
            rows.report("no package is named", &osv.id, "");
            continue;
        };
        let Some(target) = target(&package.ecosystem) else {
            rows.report("an ecosystem that Trivy does not scan", &osv.id, &package.ecosystem);
            continue;
        };
        let source = match &target {
            // A distribution's erratum is about the CVEs that it fixes, which it lists as related.
            Target::System(system) => {
                let ids = ids(osv, matches!(system.source, "alma" | "rocky"));
                if !map_system(osv, affected, &package.name, system, &ids, rows) {
                    continue;
                }
                (system.source.to_owned(), ids)
            }
            Target::Language(language) => {
                let source = match osv.id.split('-').next() {
                    Some("GHSA") => "ghsa",
                    Some("GO") => "govulndb",
                    Some("BIT") => "bitnami",
                    _ => "osv",
                };
                let told = ranges::translate(affected, language.scheme);
                for (reason, what) in &told.lost {
                    rows.report(reason, &osv.id, &format!("{} {} {what}", package.ecosystem, package.name));
                }
                if told.vulnerable.is_empty() {
                    let detail = format!("{} {}", package.ecosystem, package.name);
                    rows.report("no version is named that Trivy could compare", &osv.id, &detail);
                    continue;
                }
                let ids = ids(osv, false);
                for id in &ids {
                    let fragment = Fragment::Language {
                        source: source.to_owned(),
                        github: language.github.to_owned(),
                        name: package.name.clone(),
                        vendor: vendor(osv, id),
                        vulnerable: told.vulnerable.clone(),
                        patched: told.patched.clone(),
                    };
                    for key in names::keys(language.prefix, &package.name) {
                        rows.put(Table::Database, language.prefix, &key, id, &fragment);
                    }
                }
                (source.to_owned(), ids)
            }
        };
        if !written.contains(&source) {
            written.push(source);
        }
    }
    if osv.affected.is_empty() {
        rows.report("no package is named", &osv.id, "");
    }
    for (source, ids) in written {
        let detail = detail(osv, &source);
        for id in ids {
            rows.put(Table::Database, VULNERABILITY, "", id, &Fragment::Detail(Box::new(detail.clone())));
        }
    }
}

/// The other names of an advisory.
fn vendor(osv: &Osv, id: &str) -> Vec<String> {
    let own = std::iter::once(&osv.id).chain(&osv.aliases);
    let mut vendor: Vec<String> = own.filter(|name| *name != id && !is_cve(name)).cloned().collect();
    vendor.sort();
    vendor.dedup();
    vendor
}

/// Rows of a distribution's package; `false` where nothing could be said of it.
fn map_system(osv: &Osv, affected: &Affected, name: &str, system: &System, ids: &[&str], rows: &mut Rows<'_>) -> bool {
    let events =
        || affected.ranges.iter().filter(|range| range.kind != "GIT").flat_map(|range| &range.events).flatten();
    let fixed = events().filter(|(kind, _)| *kind == "fixed").map(|(_, version)| version.as_str());
    let fixed = fixed.max_by(|a, b| crate::versions::later(system.source, a, b));
    let where_ = format!("{} {name}", system.bucket);
    let fixed = match fixed {
        Some(fixed) if fixed.contains(char::is_whitespace) || (system.source == "alpine" && fixed.contains(':')) => {
            rows.report("a version that Trivy cannot read", &osv.id, &format!("{where_} {fixed}"));
            return false;
        }
        Some(fixed) => fixed,
        None if events().any(|(kind, _)| kind == "last_affected") || events().next().is_none() => {
            rows.report(
                "a distribution's package with a last affected version or a list of versions",
                &osv.id,
                &where_,
            );
            return false;
        }
        None if system.style == Style::MayBeUnfixed => "",
        None => {
            rows.report("not fixed, and Trivy finds on this system only what has a fix", &osv.id, &where_);
            return false;
        }
    };
    for id in ids {
        let fragment = Fragment::System {
            source: system.source.to_owned(),
            vendor: vendor(osv, id),
            fixed: fixed.to_owned(),
            each: system.style == Style::PerArchitecture,
        };
        rows.put(Table::Database, &system.bucket, name, id, &fragment);
    }
    true
}

fn detail(osv: &Osv, source: &str) -> Detail {
    let mut scores = Scores::default();
    for rated in osv.severity.iter().chain(osv.affected.iter().flat_map(|affected| &affected.severity)) {
        scores.take(&rated.score);
    }
    let word = osv.database_specific["severity"].as_str().map_or(0, of_word);
    let weaknesses = osv.database_specific["cwe_ids"].as_array().into_iter().flatten();
    Detail {
        source: source.to_owned(),
        title: osv.summary.trim().to_owned(),
        description: osv.details.trim().to_owned(),
        // GitHub's word is the reviewed one.
        severity: if word > 0 { word } else { scores.severity() },
        scores,
        weaknesses: weaknesses.filter_map(Value::as_str).map(str::to_owned).collect(),
        references: osv
            .references
            .iter()
            .map(|reference| reference.url.clone())
            .filter(|url| !url.is_empty())
            .collect(),
        published: osv.published.as_deref().and_then(time),
        modified: osv.modified.as_deref().and_then(time),
    }
}
