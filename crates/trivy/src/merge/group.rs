//! The fragments of one entry.

use std::collections::{BTreeMap, BTreeSet};

use crate::entry::{Advisory, Detail, Fragment, OfArchitectures, Vulnerability};
use crate::interval::holds;
use crate::severity::NAMES;
use crate::versions::{Ordered, Scheme, later};

/// Most references of a vulnerability, and of its weaknesses.
const MAX_REFERENCES: usize = 500;
/// Most groups of bounds of one entry.
const MAX_GROUPS: usize = 20_000;
/// Most other names of one entry.
const MAX_NAMES: usize = 500;
/// Most comparisons to find out which fixes no range holds; beyond, no fixes are written and Trivy shows the bounds.
const MAX_COMPARISONS: usize = 200_000;

/// Which of several data sources an entry stands under; others come last.
pub(super) const SOURCES: [&str; 9] = [
    "ghsa",
    "govulndb",
    "ruby-advisory-db",
    "php-security-advisories",
    "nodejs-security-wg",
    "bitnami",
    "julia",
    "osv",
    "project-kb",
];

/// Whose text, dates and severity describe a vulnerability; sources that are not listed come last.
const TEXTS: [&str; 10] = [
    "ghsa",
    "govulndb",
    crate::cve5::SOURCE,
    "osv",
    "ruby-advisory-db",
    "nodejs-security-wg",
    "bitnami",
    "julia",
    "php-security-advisories",
    "project-kb",
];

/// Architectures that a fix of Rocky Linux is given for: its advisories in OSV name none.
const ARCHITECTURES: [&str; 7] = ["aarch64", "i686", "noarch", "ppc64le", "s390x", "src", "x86_64"];

/// Fragments of one entry, joined as they come.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// The data sources and the severities that they give.
    pub(super) sources: BTreeMap<String, u8>,
    pub(super) github: String,
    pub(super) names: BTreeSet<String>,
    vendor: BTreeSet<String>,
    vulnerable: Listed,
    patched: Listed,
    /// The latest fix, of a distribution.
    fixed: Option<String>,
    unfixed: bool,
    since: Option<String>,
    each: bool,
    details: BTreeMap<(usize, String), Detail>,
    /// What went beyond the bounds.
    pub(super) left_out: usize,
}

/// Texts in the order in which they came, each once.
#[derive(Debug, Default)]
struct Listed {
    seen: BTreeSet<String>,
    texts: Vec<String>,
}

impl Listed {
    /// How many had no room.
    fn extend(&mut self, texts: Vec<String>) -> usize {
        let mut left_out = 0;
        for text in texts {
            if self.seen.contains(&text) {
                continue;
            }
            if self.texts.len() >= MAX_GROUPS {
                left_out += 1;
                continue;
            }
            self.seen.insert(text.clone());
            self.texts.push(text);
        }
        left_out
    }
}

/// Adds to a set that has a bound; how many had no room.
fn add(set: &mut BTreeSet<String>, texts: impl IntoIterator<Item = String>, most: usize) -> usize {
    let mut left_out = 0;
    for text in texts {
        if set.len() < most {
            set.insert(text);
        } else if !set.contains(&text) {
            left_out += 1;
        }
    }
    left_out
}

impl Group {
    pub(super) fn take(&mut self, fragment: Fragment) {
        match fragment {
            Fragment::Language { source, github, name, severity, vendor, vulnerable, patched } => {
                self.rate(source, severity);
                self.github = github;
                self.left_out += add(&mut self.names, [name], MAX_NAMES);
                self.left_out += add(&mut self.vendor, vendor, MAX_NAMES);
                self.left_out += self.vulnerable.extend(vulnerable);
                self.left_out += self.patched.extend(patched);
            }
            Fragment::System { source, severity, vendor, fixed, since, each } => {
                self.left_out += add(&mut self.vendor, vendor, MAX_NAMES);
                self.each |= each;
                // Vulnerable is what is older than the latest fix, and not older than the earliest that is known to be affected.
                self.unfixed |= fixed.is_empty();
                let earlier = |one: &str, other: &str| later(&source, one, other).is_lt();
                self.since = Some(match self.since.take() {
                    Some(known) if known.is_empty() || earlier(&known, &since) => known,
                    _ => since,
                });
                self.fixed = Some(match self.fixed.take() {
                    Some(known) if earlier(&fixed, &known) => known,
                    _ => fixed,
                });
                self.rate(source, severity);
            }
            Fragment::Detail(detail) => {
                let place = TEXTS.iter().position(|source| *source == detail.source).unwrap_or(TEXTS.len());
                match self.details.entry((place, detail.source.clone())) {
                    std::collections::btree_map::Entry::Vacant(vacant) => {
                        vacant.insert(*detail);
                    }
                    std::collections::btree_map::Entry::Occupied(mut known) => join(known.get_mut(), *detail),
                }
            }
        }
    }

    fn rate(&mut self, source: String, severity: u8) {
        let known = self.sources.entry(source).or_default();
        *known = severity.max(*known);
    }

    /// The data source that the entry stands under.
    pub(super) fn source(&self) -> &str {
        let listed = SOURCES.into_iter().find(|source| self.sources.contains_key(*source));
        listed.or_else(|| self.sources.keys().next().map(String::as_str)).unwrap_or_default()
    }

    /// The severity that its data source gives, else the highest of the others.
    pub(super) fn severity(&self) -> u8 {
        let own = self.sources.get(self.source()).copied().unwrap_or_default();
        if own > 0 { own } else { self.sources.values().copied().max().unwrap_or_default() }
    }

    pub(super) fn advisory(self, scheme: Option<Scheme>) -> Advisory {
        let vendor_ids: Vec<String> = self.vendor.into_iter().collect();
        let fixed_version = self.fixed.filter(|_| !self.unfixed).unwrap_or_default();
        if self.each {
            let arches = ARCHITECTURES.to_vec();
            let entry = OfArchitectures { fixed_version: fixed_version.clone(), arches, vendor_ids };
            return Advisory { fixed_version, entries: vec![entry], ..Advisory::default() };
        }
        let vulnerable_versions = self.vulnerable.texts;
        Advisory {
            vendor_ids,
            fixed_version,
            affected_version: self.since.unwrap_or_default(),
            patched_versions: scheme.map_or_else(Vec::new, |s| shown(s, self.patched.texts, &vulnerable_versions)),
            vulnerable_versions,
            entries: Vec::new(),
        }
    }

    pub(super) fn vulnerability(self) -> Vulnerability {
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
        out.weaknesses = weaknesses.into_iter().take(MAX_REFERENCES).collect();
        out.references = references.into_iter().take(MAX_REFERENCES).collect();
        out
    }
}

/// The fixes that may be written: Trivy takes a fix for safe, even where another range holds it.
fn shown(scheme: Scheme, patched: Vec<String>, vulnerable: &[String]) -> Vec<String> {
    if patched.len().saturating_mul(vulnerable.len()) > MAX_COMPARISONS {
        return Vec::new();
    }
    let safe = |fix: &String| {
        Ordered::read(scheme, fix)
            .is_some_and(|fix| vulnerable.iter().all(|group| holds(scheme, group, &fix) == Some(false)))
    };
    patched.into_iter().filter(safe).collect()
}

/// Another record of the same source: the first one's text stands, what it lacks is taken from the other.
fn join(known: &mut Detail, other: Detail) {
    let Detail { title, description, severity, scores, weaknesses, references, published, modified, .. } = other;
    for (into, from) in [(&mut known.title, title), (&mut known.description, description)] {
        if into.is_empty() {
            *into = from;
        }
    }
    if known.scores.is_empty() {
        known.scores = scores;
    }
    known.severity = known.severity.max(severity);
    for (into, from) in [(&mut known.weaknesses, weaknesses), (&mut known.references, references)] {
        for text in from {
            if into.len() < MAX_REFERENCES && !into.contains(&text) {
                into.push(text);
            }
        }
    }
    known.published = known.published.take().or(published);
    known.modified = known.modified.take().or(modified);
}
