//! What a run exports: the selectors as they are asked for and as a run keeps them.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{RecordKind, TenantId, Timestamp};

/// Selectors as a client sends them. The gateway turns them into [`Selectors`] once, at submit (design D25).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SelectorRequest {
    /// The tenants asked for. Empty means the caller's own; another tenant needs an approval.
    pub tenants: Vec<String>,
    /// A window of `observed_at`.
    pub window: Option<WindowRequest>,
    /// Record kinds; empty means those that the profile includes.
    pub kinds: Vec<String>,
    /// Sources (publishers or packs), compared whole.
    pub sources: Vec<String>,
    /// Ecosystems as OSV names them, without release suffix, compared without regard to case.
    pub ecosystems: Vec<String>,
    /// Package URL prefixes; a record matches when one of its purls starts with one of them.
    pub products: Vec<String>,
    /// Subjects of SBOMs, compared whole; other kinds are not touched by it.
    pub sbom_subjects: Vec<String>,
    /// Severities of policy findings; raw evidence is not touched by it.
    pub severities: Vec<String>,
    /// Subjects or document ids to keep; a trailing `*` makes a prefix. Empty means all.
    pub include: Vec<String>,
    /// Subjects or document ids to leave out; a trailing `*` makes a prefix. Wins over `include`.
    pub exclude: Vec<String>,
}

/// A time window as it is asked for: absolute bounds, or `last` (`"90m"`, `"36h"`, `"7d"`, `"2w"`), not both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WindowRequest {
    /// First instant inside, RFC 3339.
    pub from: Option<String>,
    /// First instant outside, RFC 3339.
    pub until: Option<String>,
    /// Length of a window that ends at submit.
    pub last: Option<String>,
}

/// A time window, `from` inside, `until` outside; an absent bound is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Window {
    /// First instant inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// First instant outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// The selectors of a run: absolute, sorted, each entry once. An empty set restricts nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Selectors {
    /// The tenants whose evidence is read, where an approval lets a run read that of others; empty means the run's own.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tenants: BTreeSet<TenantId>,
    /// Window of `observed_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Record kinds.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub kinds: BTreeSet<RecordKind>,
    /// Sources, compared whole.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub sources: BTreeSet<String>,
    /// Ecosystems, lower case, without release suffix.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ecosystems: BTreeSet<String>,
    /// Package URL prefixes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub products: BTreeSet<String>,
    /// SBOM subjects, compared whole.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub sbom_subjects: BTreeSet<String>,
    /// Severities of policy findings, lower case.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub severities: BTreeSet<String>,
    /// Subjects or document ids to keep.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub include: BTreeSet<Pattern>,
    /// Subjects or document ids to leave out.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub exclude: BTreeSet<Pattern>,
}

/// A text to compare whole, or as a prefix where it ends in `*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Pattern(pub String);

impl Pattern {
    /// Whether `text` is meant.
    pub fn matches(&self, text: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(prefix) => text.starts_with(prefix),
            None => text == self.0,
        }
    }
}

/// Why selectors were refused; `path` names the member, such as `selectors.window.last`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct SelectorError {
    /// The member at fault.
    pub path: String,
    /// What is wrong with it and what would be right.
    pub problem: String,
}

/// Most entries in one list of a request.
pub const MAX_LIST: usize = 1_000;
/// Longest entry of a list, in bytes.
pub const MAX_ENTRY: usize = 512;
const SEVERITIES: [&str; 6] = ["critical", "high", "medium", "low", "info", "none"];

impl SelectorRequest {
    /// The tenants that are named beside `own`, as they are written; whether they are any is for [`Self::resolve_across`] to say.
    pub fn others<'a>(&'a self, own: &'a TenantId) -> impl Iterator<Item = &'a str> {
        let named = self.tenants.iter().flat_map(|entry| entry.split(',')).map(str::trim);
        named.filter(move |name| *name != own.as_str())
    }

    /// Checks every member and makes the request absolute: relative windows end at `now`, lists are trimmed, split
    /// at commas, sorted and made unique.
    ///
    /// # Errors
    /// All faults at once, each with the path of its member.
    pub fn resolve(&self, tenant: &TenantId, now: Timestamp) -> Result<Selectors, Vec<SelectorError>> {
        self.resolve_across(tenant, &BTreeSet::new(), now)
    }

    /// The same where an approval lets the caller read the evidence of `approved`, too.
    ///
    /// # Errors
    /// As there.
    pub fn resolve_across(
        &self,
        tenant: &TenantId,
        approved: &BTreeSet<TenantId>,
        now: Timestamp,
    ) -> Result<Selectors, Vec<SelectorError>> {
        let mut faults = Vec::new();
        let mut tenants = BTreeSet::new();
        for name in entries("tenants", &self.tenants, &mut faults) {
            match name.parse::<TenantId>().ok().filter(|named| named == tenant || approved.contains(named)) {
                Some(named) => _ = tenants.insert(named),
                // What other tenants there are is not for the caller to learn.
                None => fault(
                    &mut faults,
                    "tenants",
                    format!(
                        "tenant `{name}` is not the caller's: its evidence is exported with a signed approval only"
                    ),
                ),
            }
        }
        // To name oneself is to name nobody.
        if tenants.iter().all(|named| named == tenant) {
            tenants.clear();
        }
        let mut kinds = BTreeSet::new();
        for kind in entries("kinds", &self.kinds, &mut faults) {
            match kind.parse() {
                Ok(kind) => _ = kinds.insert(kind),
                Err(error) => fault(&mut faults, "kinds", format!("{error}")),
            }
        }
        let mut severities = BTreeSet::new();
        for severity in entries("severities", &self.severities, &mut faults) {
            let severity = severity.to_ascii_lowercase();
            if SEVERITIES.contains(&severity.as_str()) {
                severities.insert(severity);
            } else {
                fault(&mut faults, "severities", format!("`{severity}` is not one of {}", SEVERITIES.join(", ")));
            }
        }
        let products = entries("products", &self.products, &mut faults);
        for product in products.iter().filter(|product| !product.starts_with("pkg:")) {
            fault(
                &mut faults,
                "products",
                format!("`{product}` is not a package URL prefix: it must start with `pkg:`"),
            );
        }
        let selectors = Selectors {
            tenants,
            window: self.window.as_ref().and_then(|window| resolve_window(window, now, &mut faults)),
            kinds,
            sources: entries("sources", &self.sources, &mut faults),
            ecosystems: entries("ecosystems", &self.ecosystems, &mut faults).iter().map(|e| e.to_lowercase()).collect(),
            products,
            sbom_subjects: entries("sbomSubjects", &self.sbom_subjects, &mut faults),
            severities,
            include: patterns("include", &self.include, &mut faults),
            exclude: patterns("exclude", &self.exclude, &mut faults),
        };
        if faults.is_empty() { Ok(selectors) } else { Err(faults) }
    }
}

fn fault(faults: &mut Vec<SelectorError>, member: &str, problem: String) {
    faults.push(SelectorError { path: format!("selectors.{member}"), problem });
}

fn entries(member: &str, list: &[String], faults: &mut Vec<SelectorError>) -> BTreeSet<String> {
    let found: BTreeSet<String> =
        list.iter().flat_map(|entry| entry.split(',')).map(str::trim).map(str::to_owned).collect();
    if found.len() > MAX_LIST {
        fault(faults, member, format!("{} entries, at most {MAX_LIST} are allowed", found.len()));
    }
    if found.contains("") {
        fault(faults, member, "an entry is empty".to_owned());
    }
    if found.iter().any(|entry| entry.len() > MAX_ENTRY) {
        fault(faults, member, format!("an entry is longer than {MAX_ENTRY} bytes"));
    }
    if found.iter().any(|entry| entry.contains('\0')) {
        fault(faults, member, "an entry holds a NUL character".to_owned());
    }
    found
}

fn patterns(member: &str, list: &[String], faults: &mut Vec<SelectorError>) -> BTreeSet<Pattern> {
    let found = entries(member, list, faults);
    for entry in &found {
        if entry.strip_suffix('*').unwrap_or(entry).contains('*') {
            fault(faults, member, format!("`{entry}`: `*` may stand at the end only"));
        }
    }
    found.into_iter().map(Pattern).collect()
}

fn resolve_window(window: &WindowRequest, now: Timestamp, faults: &mut Vec<SelectorError>) -> Option<Window> {
    let mut bound = |member: &str, text: &Option<String>| {
        text.as_ref().and_then(|text| match text.parse::<Timestamp>() {
            Ok(at) => Some(at),
            Err(error) => {
                fault(faults, member, error.to_string());
                None
            }
        })
    };
    let from = bound("window.from", &window.from);
    let until = bound("window.until", &window.until);
    if let Some(last) = &window.last {
        if window.from.is_some() || window.until.is_some() {
            fault(faults, "window", "use `last` or `from` and `until`, not both".to_owned());
        }
        let Some(seconds) = parse_span(last) else {
            fault(faults, "window.last", format!("`{last}` is not a length such as 90m, 36h, 7d or 2w"));
            return None;
        };
        return Some(Window { from: Some(now.plus_seconds(-seconds)), until: Some(now) });
    }
    if let (Some(from), Some(until)) = (from, until)
        && from >= until
    {
        fault(faults, "window", format!("`from` ({from}) must be before `until` ({until})"));
    }
    if window.from.is_none() && window.until.is_none() {
        fault(faults, "window", "give `from`, `until` or `last`".to_owned());
    }
    Some(Window { from, until })
}

/// Seconds of a span such as `90m`; at most ten years.
fn parse_span(text: &str) -> Option<i64> {
    let unit = text.chars().last()?;
    let number: i64 = text.strip_suffix(unit)?.parse().ok()?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return None,
    };
    number.checked_mul(factor).filter(|seconds| (1..=315_360_000).contains(seconds))
}

#[cfg(test)]
mod tests {
    use super::{SelectorRequest, WindowRequest};
    use crate::Timestamp;

    fn now() -> Timestamp {
        "2026-01-10T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn lists_are_split_sorted_and_made_unique() {
        let request = SelectorRequest { ecosystems: vec!["npm, PyPI".into(), "npm".into()], ..Default::default() };
        let selectors = request.resolve(&"acme".parse().unwrap(), now()).unwrap();
        assert_eq!(selectors.ecosystems.into_iter().collect::<Vec<_>>(), ["npm", "pypi"]);
    }

    #[test]
    fn a_relative_window_becomes_absolute() {
        let request = SelectorRequest {
            window: Some(WindowRequest { last: Some("7d".into()), ..Default::default() }),
            ..Default::default()
        };
        let window = request.resolve(&"acme".parse().unwrap(), now()).unwrap().window.unwrap();
        assert_eq!(window.from.unwrap().to_string(), "2026-01-03T00:00:00Z");
        assert_eq!(window.until, Some(now()));
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let request = SelectorRequest {
            tenants: vec!["other".into()],
            kinds: vec!["advisory".into(), "nonsense".into()],
            products: vec!["npm/lodash".into()],
            window: Some(WindowRequest { from: Some("yesterday".into()), ..Default::default() }),
            include: vec!["a*b".into()],
            severities: vec!["awful".into()],
            ..Default::default()
        };
        let faults = request.resolve(&"acme".parse().unwrap(), now()).unwrap_err();
        let paths: Vec<&str> = faults.iter().map(|fault| fault.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "selectors.tenants",
                "selectors.kinds",
                "selectors.severities",
                "selectors.products",
                "selectors.window.from",
                "selectors.include"
            ]
        );
    }
}
