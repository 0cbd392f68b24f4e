//! OSV ranges in Trivy's words.

use crate::osv::Affected;
use crate::versions::Scheme;

/// What Trivy is told of a package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Each element a group of bounds that all hold, such as `>=1.0, <1.2`; any group is enough.
    pub(crate) vulnerable: Vec<String>,
    /// The fixes, to be shown.
    pub(crate) patched: Vec<String>,
    /// Why something could not be told, and what.
    pub(crate) lost: Vec<(&'static str, String)>,
}

/// A bound that no version of the ecosystem can be read from.
const UNREADABLE: &str = "a version that Trivy cannot read";

/// Translates ranges and listed versions. Every listed version is written, also one inside a range: OSV means the union, and Trivy
/// matches prereleases of npm and Bitnami by name only.
pub(crate) fn translate(affected: &Affected, scheme: Scheme) -> Told {
    let mut told = Told::default();
    for range in affected.ranges.iter().filter(|range| range.kind != "GIT") {
        let mut open: Option<&str> = None;
        let mut events: Vec<(&str, &str)> =
            range.events.iter().flatten().map(|(kind, version)| (kind.as_str(), version.as_str())).collect();
        // OSV goes through events in the order of their versions. Some documents interleave intervals; those whose versions are
        // plain numbers are put in order, all others are in order already.
        let numbers: Option<Vec<Vec<u64>>> = events.iter().map(|(_, version)| plain_numbers(version)).collect();
        if numbers.is_some() {
            events.sort_by_cached_key(|(_, version)| plain_numbers(version));
        }
        for (kind, version) in events {
            match kind {
                // What is affected from an earlier version on stays so.
                "introduced" => open = open.or(Some(version)),
                "fixed" | "last_affected" => {
                    let bound = (if kind == "fixed" { "<" } else { "<=" }, version);
                    if kind == "fixed" && scheme.reads(version) {
                        told.patched.push(scheme.written(version));
                    }
                    match open.take() {
                        Some(from) => told.group(scheme, from, Some(bound)),
                        // A second fix of what is fixed already changes nothing.
                        None if !told.vulnerable.is_empty() => {}
                        None => told.lost.push(("a fix before anything is introduced", version.to_owned())),
                    }
                }
                _ => {}
            }
        }
        if let Some(from) = open {
            told.group(scheme, from, None);
        }
    }
    for version in &affected.versions {
        if scheme.reads(version) {
            told.vulnerable.push(format!("={}", scheme.written(version)));
        } else {
            told.lost.push((UNREADABLE, version.clone()));
        }
    }
    // GitHub keeps the last version that it knows to be affected apart, where there is no fix.
    if let Some(last) = affected.database_specific.get("last_known_affected_version_range").and_then(|v| v.as_str()) {
        let bound: String = last.split_whitespace().collect();
        let version = bound.trim_start_matches(['<', '=']);
        if bound.starts_with('<') && scheme.reads(version) {
            for group in told.vulnerable.iter_mut().filter(|group| !group.contains(['<']) && !group.starts_with('=')) {
                let bound = bound.replace(version, &scheme.bound(version));
                *group = if group == ">=0" { bound } else { format!("{group}, {bound}") };
            }
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    told.vulnerable.retain(|group| seen.insert(group.clone()));
    seen.clear();
    told.patched.retain(|version| seen.insert(version.clone()));
    told
}

/// Whether a version of plain numbers lies in a group of bounds of plain numbers; `false` where either is something else.
pub(crate) fn holds(group: &str, version: &str) -> bool {
    let Some(version) = plain_numbers(version) else { return false };
    group.split(',').map(str::trim).all(|bound| {
        let (sign, rest) = bound.split_at(bound.find(|c: char| c.is_ascii_alphanumeric()).unwrap_or(bound.len()));
        plain_numbers(rest).is_some_and(|rest| match sign {
            ">=" => version >= rest,
            "<" => version < rest,
            "<=" => version <= rest,
            "=" => version == rest,
            _ => false,
        })
    })
}

/// The parts of a version of digits and dots alone, without the zeros at its end.
fn plain_numbers(version: &str) -> Option<Vec<u64>> {
    let mut parts = version.split('.').map(|part| part.parse().ok()).collect::<Option<Vec<u64>>>()?;
    while parts.last() == Some(&0) {
        parts.pop();
    }
    Some(parts)
}

impl Told {
    fn group(&mut self, scheme: Scheme, from: &str, to: Option<(&str, &str)>) {
        for version in [Some(from).filter(|from| *from != "0"), to.map(|(_, version)| version)].into_iter().flatten() {
            if !scheme.reads(version) {
                self.lost.push((UNREADABLE, version.to_owned()));
                return;
            }
        }
        let (from, exact) = (&scheme.bound(from), scheme.written(from));
        let to = to.map(|(sign, to)| (sign, scheme.bound(to)));
        self.vulnerable.push(match to {
            None => format!(">={from}"),
            Some(("<=", to)) if to == *from => format!("={exact}"),
            Some((sign, to)) if from == "0" => format!("{sign}{to}"),
            Some((sign, to)) => format!(">={from}, {sign}{to}"),
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Told, UNREADABLE, translate};
    use crate::versions::Scheme;

    fn told(affected: Value) -> Told {
        translate(&serde_json::from_value(affected).unwrap(), Scheme::Generic)
    }

    #[test]
    fn a_local_version_is_no_bound_for_trivy_and_a_spelling_is_made_normal() {
        let affected = json!({
            "ranges": [{ "type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"last_affected": "2.6.0+cu124"}] }],
            "versions": ["2.0.0-Alpha1", "2.6.0+cu124"],
        });
        let told = translate(&serde_json::from_value(affected).unwrap(), Scheme::Pep440);
        assert_eq!(told.vulnerable, ["<=2.6.0", "=2.0.0a1", "=2.6.0+cu124"]);
    }

    fn ranges(events: &Value) -> Value {
        json!({ "ranges": [{ "type": "ECOSYSTEM", "events": events }] })
    }

    #[test]
    fn every_shape_of_a_range_is_told_as_trivy_reads_it() {
        for (events, vulnerable, patched) in [
            (json!([{"introduced": "0"}, {"fixed": "1.2"}]), vec!["<1.2"], vec!["1.2"]),
            (json!([{"introduced": "1.0"}, {"fixed": "1.2"}]), vec![">=1.0, <1.2"], vec!["1.2"]),
            (json!([{"introduced": "0"}]), vec![">=0"], vec![]),
            (json!([{"introduced": "1.0"}]), vec![">=1.0"], vec![]),
            (json!([{"introduced": "0"}, {"last_affected": "1.2"}]), vec!["<=1.2"], vec![]),
            (json!([{"introduced": "1.2"}, {"last_affected": "1.2"}]), vec!["=1.2"], vec![]),
            (
                json!([{"introduced": "0"}, {"fixed": "1.2"}, {"introduced": "2.0"}, {"fixed": "2.1"}]),
                vec!["<1.2", ">=2.0, <2.1"],
                vec!["1.2", "2.1"],
            ),
            (
                json!([{"introduced": "2.0"}, {"fixed": "2.1"}, {"introduced": "0"}, {"fixed": "1.2"}]),
                vec!["<1.2", ">=2.0, <2.1"],
                vec!["1.2", "2.1"],
            ),
            (json!([{"introduced": "1.0"}, {"introduced": "1.5"}, {"fixed": "1.9"}]), vec![">=1.0, <1.9"], vec!["1.9"]),
            (json!([{"introduced": "0"}, {"fixed": "1.2"}, {"fixed": "1.3"}]), vec!["<1.2"], vec!["1.2", "1.3"]),
        ] {
            let told = told(ranges(&events));
            assert_eq!(
                (told.vulnerable, told.patched, told.lost),
                (
                    vulnerable.into_iter().map(str::to_owned).collect(),
                    patched.into_iter().map(str::to_owned).collect(),
                    vec![]
                ),
                "{events}"
            );
        }
    }

    #[test]
    fn a_bound_that_trivy_cannot_read_is_left_out_and_told() {
        let told = told(ranges(&json!([{"introduced": "0"}, {"fixed": "next"}])));
        assert_eq!(told.vulnerable, Vec::<String>::new(), "an empty list, never an empty range");
        assert_eq!(told.lost, [(UNREADABLE, "next".to_owned())]);
    }

    #[test]
    fn git_ranges_are_passed_over_and_listed_versions_are_written() {
        let told = told(json!({
            "ranges": [{ "type": "GIT", "events": [{"introduced": "0"}, {"fixed": "0123456789abcdef"}] }],
            "versions": ["1.0", "1.1", "1.0"],
        }));
        assert_eq!(told, Told { vulnerable: vec!["=1.0".to_owned(), "=1.1".to_owned()], ..Told::default() });
    }

    #[test]
    fn what_github_knows_last_to_be_affected_closes_an_open_range() {
        let mut affected = ranges(&json!([{"introduced": "1.0"}]));
        affected["database_specific"] = json!({ "last_known_affected_version_range": "<= 1.5" });
        assert_eq!(told(affected).vulnerable, [">=1.0, <=1.5"]);
    }
}
