//! From sorted rows to the entries of the database.

use std::collections::{BTreeMap, BTreeSet};

use crate::ecosystem::data_source;
use crate::entry::{Advisory, DataSource, Detail, Fragment, OfArchitectures, Vulnerability};
use crate::ranges::holds;
use crate::report::{Example, Report, Summary};
use crate::row::{BadRow, Key, Row, Table};
use crate::severity::NAMES;
use crate::versions::later;

/// The bucket of vulnerabilities. It must be there even when it is empty: Trivy crashes without it.
pub const VULNERABILITY: &str = "vulnerability";
const DATA_SOURCE: &str = "data-source";

/// Most references of a vulnerability; of more, the first by their text.
const MAX_REFERENCES: usize = 500;
/// Most groups of bounds of one entry.
const MAX_GROUPS: usize = 20_000;
/// Which of several data sources an entry stands under.
const SOURCES: [&str; 4] = ["ghsa", "govulndb", "bitnami", "osv"];
/// Whose text and dates describe a vulnerability; sources that are not listed come last.
const TEXTS: [&str; 5] = ["ghsa", "govulndb", crate::cve5::SOURCE, "osv", "bitnami"];
/// Architectures that a fix of Rocky Linux is given for: its advisories in OSV name none.
const ARCHITECTURES: [&str; 7] = ["aarch64", "i686", "noarch", "ppc64le", "s390x", "src", "x86_64"];

/// An entry of the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Root bucket.
    pub bucket: String,
    /// Bucket inside it; empty where it has none.
    pub package: String,
    /// Key.
    pub id: String,
    /// JSON.
    pub value: Vec<u8>,
}

/// Merges rows that come in the order of their keys. Entries of one bucket come in order; those of several may alternate.
#[derive(Debug, Default)]
pub struct Merger {
    rejected: BTreeSet<String>,
    open: Option<(Key, Group)>,
    sources: BTreeMap<String, (String, String)>,
    last_package: BTreeMap<String, String>,
    report: Report,
    summary: Summary,
}

/// Fragments of one entry.
#[derive(Debug, Default)]
struct Group {
    sources: BTreeSet<String>,
    github: String,
    names: BTreeSet<String>,
    vendor: BTreeSet<String>,
    vulnerable: Vec<String>,
    patched: Vec<String>,
    fixes: Vec<(String, String)>,
    each: bool,
    details: BTreeMap<(usize, String), Detail>,
}

impl Merger {
    /// Takes the next row and gives an entry once that is complete.
    ///
    /// # Errors
    /// [`BadRow`] where the row is not one of ours.
    pub fn push(&mut self, row: Row) -> Result<Option<Entry>, BadRow> {
        let Row { key, value } = row;
        match key.table {
            Table::Rejected => {
                self.rejected.insert(key.id);
                Ok(None)
            }
            Table::Report => {
                let done = self.close();
                let example: Example = serde_json::from_slice(&value).map_err(|_| BadRow::Value)?;
                self.report.take(&key.bucket, example);
                Ok(done)
            }
            Table::Database => {
                let fragment: Fragment = serde_json::from_slice(&value).map_err(|_| BadRow::Value)?;
                let same = |open: &Key| (&open.bucket, &open.package, &open.id) == (&key.bucket, &key.package, &key.id);
                let done = if self.open.as_ref().is_some_and(|(open, _)| same(open)) { None } else { self.close() };
                self.open.get_or_insert_with(|| (key, Group::default())).1.take(fragment);
                Ok(done)
            }
        }
    }

    /// Gives the last entry, those of the `data-source` bucket, and what was counted.
    pub fn finish(mut self) -> (Vec<Entry>, Report, Summary) {
        let mut rest: Vec<Entry> = self.close().into_iter().collect();
        for (bucket, (id, github)) in &self.sources {
            let (name, url) = data_source(id, github);
            let source = DataSource { id, name: &name, url: &url };
            let value = serde_json::to_vec(&source).unwrap_or_default();
            rest.push(Entry { bucket: DATA_SOURCE.to_owned(), package: String::new(), id: bucket.clone(), value });
        }
        (rest, self.report, self.summary)
    }

    fn close(&mut self) -> Option<Entry> {
        let (Key { bucket, package, id, .. }, group) = self.open.take()?;
        if self.rejected.contains(&id) {
            self.report.take("rejected by its authority", Example { id, detail: package });
            return None;
        }
        if bucket == VULNERABILITY {
            let vulnerability = group.vulnerability();
            *self.summary.severities.entry(vulnerability.severity).or_default() += 1;
            let value = serde_json::to_vec(&vulnerability).ok()?;
            *self.report.entries.entry(bucket.clone()).or_default() += 1;
            return Some(Entry { bucket, package, id, value });
        }
        if group.names.len() > 1 && self.last_package.get(&bucket) != Some(&package) {
            self.report.merged_names += 1;
        }
        if group.sources.len() > 1 {
            self.report.merged_sources += 1;
        }
        let source = SOURCES.iter().find(|source| group.sources.contains(**source)).map(|source| (*source).to_owned());
        let source = source.or_else(|| group.sources.first().cloned()).unwrap_or_default();
        let github = group.github.clone();
        let bucket = if github.is_empty() { bucket } else { format!("{bucket}::{}", data_source(&source, &github).0) };
        let value = serde_json::to_vec(&group.advisory()).ok()?;
        *self.report.entries.entry(bucket.clone()).or_default() += 1;
        if self.last_package.get(&bucket) != Some(&package) {
            *self.summary.packages.entry(bucket.clone()).or_default() += 1;
            self.last_package.insert(bucket.clone(), package.clone());
        }
        self.sources.entry(bucket.clone()).or_insert((source, github));
        Some(Entry { bucket, package, id, value })
    }
}

impl Group {
    fn take(&mut self, fragment: Fragment) {
        match fragment {
            Fragment::Language { source, github, name, vendor, vulnerable, patched } => {
                self.sources.insert(source);
                self.github = github;
                self.names.insert(name);
                self.vendor.extend(vendor);
                for (into, from) in [(&mut self.vulnerable, vulnerable), (&mut self.patched, patched)] {
                    for text in from {
                        if into.len() < MAX_GROUPS && !into.contains(&text) {
                            into.push(text);
                        }
                    }
                }
            }
            Fragment::System { source, vendor, fixed, each } => {
                self.vendor.extend(vendor);
                self.each |= each;
                self.fixes.push((source.clone(), fixed));
                self.sources.insert(source);
            }
            Fragment::Detail(detail) => {
                let place = TEXTS.iter().position(|source| *source == detail.source).unwrap_or(TEXTS.len());
                match self.details.entry((place, detail.source.clone())) {
                    std::collections::btree_map::Entry::Vacant(vacant) => {
                        vacant.insert(*detail);
                    }
                    std::collections::btree_map::Entry::Occupied(mut known) => known.get_mut().join(*detail),
                }
            }
        }
    }

    fn advisory(mut self) -> Advisory {
        // Trivy passes over an installed version that is among the fixes; what fixes one range and lies in another is none.
        let vulnerable = &self.vulnerable;
        let endless = vulnerable.iter().any(|group| group == ">=0");
        self.patched.retain(|fix| !endless && !vulnerable.iter().any(|group| holds(group, fix)));
        let vendor_ids: Vec<String> = self.vendor.into_iter().collect();
        // Vulnerable is what is older than the latest fix; one that is not fixed anywhere has none.
        let unfixed = self.fixes.iter().any(|(_, fixed)| fixed.is_empty());
        let latest = self.fixes.into_iter().max_by(|(source, a), (_, b)| later(source, a, b));
        let fixed = latest.map(|(_, fixed)| fixed).filter(|_| !unfixed).unwrap_or_default();
        if self.each {
            let arches = ARCHITECTURES.to_vec();
            let entry = OfArchitectures { fixed_version: fixed.clone(), arches, vendor_ids };
            return Advisory { fixed_version: fixed, entries: vec![entry], ..Advisory::default() };
        }
        Advisory {
            vendor_ids,
            fixed_version: fixed,
            vulnerable_versions: self.vulnerable,
            patched_versions: self.patched,
            entries: Vec::new(),
        }
    }

    fn vulnerability(self) -> Vulnerability {
        let mut out = Vulnerability { severity: NAMES[0], ..Vulnerability::default() };
        let mut weaknesses = BTreeSet::new();
        let mut references = BTreeSet::new();
        for detail in self.details.into_values() {
            for (into, from) in [(&mut out.title, detail.title), (&mut out.description, detail.description)] {
                if into.is_empty() {
                    *into = from;
                }
            }
            if detail.severity > 0 {
                if out.severity == NAMES[0] {
                    out.severity = NAMES.get(usize::from(detail.severity)).copied().unwrap_or(NAMES[0]);
                }
                out.vendor_severity.insert(detail.source.clone(), detail.severity);
            }
            if !detail.scores.is_empty() {
                out.scores.insert(detail.source, detail.scores);
            }
            weaknesses.extend(detail.weaknesses);
            references.extend(detail.references);
            out.published_date = out.published_date.or(detail.published);
            out.last_modified_date = out.last_modified_date.or(detail.modified);
        }
        out.weaknesses = weaknesses.into_iter().collect();
        out.references = references.into_iter().take(MAX_REFERENCES).collect();
        out
    }
}

impl Detail {
    /// Another record of the same source: the first one's text stands, what it lacks is taken from the other.
    fn join(&mut self, other: Self) {
        let Self { title, description, severity, scores, weaknesses, references, published, modified, .. } = other;
        for (into, from) in [(&mut self.title, title), (&mut self.description, description)] {
            if into.is_empty() {
                *into = from;
            }
        }
        if self.scores.is_empty() {
            self.scores = scores;
        }
        self.severity = self.severity.max(severity);
        self.weaknesses.extend(weaknesses);
        if self.references.len() < MAX_REFERENCES {
            self.references.extend(references);
        }
        self.published = self.published.take().or(published);
        self.modified = self.modified.take().or(modified);
    }
}
