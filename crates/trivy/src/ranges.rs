//! OSV ranges in Trivy's words.

use crate::interval::{holds, split_sign};
use crate::osv::{Affected, Range};
use crate::versions::{Ordered, Scheme};

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
pub(crate) const UNREADABLE: &str = "a version that Trivy cannot read";

/// Translates ranges and listed versions. OSV means their union; a listed version is written unless it is made of numbers only and
/// lies in a range: of prereleases and the like Trivy's comparers think differently, and those of npm and Bitnami of 0.59 match
/// only what names them.
pub(crate) fn translate(affected: &Affected, scheme: Scheme) -> Told {
    let mut told = Told::default();
    for range in affected.ranges.iter().filter(|range| range.kind != "GIT") {
        let mut open: Option<&str> = None;
        for (kind, version) in in_order(range, scheme) {
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
    // GitHub keeps the last version that it knows to be affected apart, where there is no fix.
    if let Some(last) = affected.database_specific.get("last_known_affected_version_range").and_then(|v| v.as_str()) {
        let bound: String = last.split_whitespace().collect();
        let version = bound.trim_start_matches(['<', '=']);
        if bound.starts_with('<') && scheme.reads(version) {
            for group in told.vulnerable.iter_mut().filter(|group| !group.contains(['<']) && !group.starts_with('=')) {
                let bound = bound.replace(version, &scheme.bound(version));
                *group = if group == ">=0" { bound } else { format!("{group}, {bound}") };
            }
        } else {
            told.lost.push((UNREADABLE, last.to_owned()));
        }
    }
    let ranges = told.vulnerable.len();
    for version in &affected.versions {
        if !scheme.reads(version) {
            told.lost.push((UNREADABLE, version.clone()));
        } else if !told.vulnerable.iter().take(ranges).any(|group| surely_holds(scheme, group, version)) {
            told.vulnerable.push(format!("={}", scheme.written(version)));
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    told.vulnerable.retain(|group| seen.insert(group.clone()));
    seen.clear();
    told.patched.retain(|version| seen.insert(version.clone()));
    told
}

/// The events of a range in the order of their versions, as OSV goes through them. Most documents write them so, some interleave
/// intervals. Where a version cannot be put in order for sure, the order of the document stands.
fn in_order(range: &Range, scheme: Scheme) -> Vec<(&str, &str)> {
    let events = || range.events.iter().flatten().map(|(kind, version)| (kind.as_str(), version.as_str()));
    let place = |(kind, version): (&str, &str)| match version {
        "0" if kind == "introduced" => Some(None),
        _ if scheme != Scheme::Free || is_plain(version) => Ordered::read(scheme, version).map(Some),
        _ => None,
    };
    let Some(places) = events().map(place).collect::<Option<Vec<_>>>() else { return events().collect() };
    let mut placed: Vec<_> = places.into_iter().zip(events()).collect();
    placed.sort_by(|(a, _), (b, _)| match (a, b) {
        (Some(a), Some(b)) => a.compare(b),
        _ => a.is_some().cmp(&b.is_some()),
    });
    placed.into_iter().map(|(_, event)| event).collect()
}

/// Numbers and dots alone.
fn is_plain(version: &str) -> bool {
    version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// Whether every comparer finds `version` in `group`.
fn surely_holds(scheme: Scheme, group: &str, version: &str) -> bool {
    let plain = is_plain(version) && (scheme != Scheme::Free || group.split(", ").all(|b| is_plain(split_sign(b).1)));
    plain && Ordered::read(scheme, version).and_then(|version| holds(scheme, group, &version)) == Some(true)
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
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{Told, UNREADABLE, translate};
    use crate::interval::split_sign;
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

    #[test]
    fn listed_versions_are_written_where_no_range_holds_them_for_every_reader() {
        let mut affected = ranges(&json!([{"introduced": "1.0.0"}, {"fixed": "2.0.0"}]));
        affected["versions"] = json!(["1.5.0", "2.0.0-rc.1", "1.5.0-beta.1", "0.9.0", "2.0.0"]);
        assert_eq!(told(affected).vulnerable, [">=1.0.0, <2.0.0", "=2.0.0-rc.1", "=1.5.0-beta.1", "=0.9.0", "=2.0.0"]);
    }

    #[test]
    fn events_are_gone_through_in_the_order_of_their_versions() {
        let events = json!([{"introduced": "2.0.0-rc.1"}, {"fixed": "1.2.0"}, {"fixed": "2.0.0"}, {"introduced": "1.0.0-alpha"}]);
        assert_eq!(told(ranges(&events)).vulnerable, [">=1.0.0-alpha, <1.2.0", ">=2.0.0-rc.1, <2.0.0"]);
        // Intervals that adjoin stay as they are written: the fix comes before what is introduced again.
        let events = json!([{"introduced": "0"}, {"fixed": "1.0"}, {"introduced": "1.0"}, {"fixed": "1.1"}]);
        assert_eq!(told(ranges(&events)).vulnerable, ["<1.0", ">=1.0, <1.1"]);
    }

    #[test]
    fn a_fix_before_anything_is_introduced_is_told() {
        let told = told(ranges(&json!([{"fixed": "1.0"}])));
        assert_eq!((told.vulnerable.len(), told.lost[0].1.as_str()), (0, "1.0"));
    }

    proptest! {
        #[test]
        fn no_group_is_ever_empty_and_every_bound_can_be_read(
            events in proptest::collection::vec(("introduced|fixed|last_affected|limit", "[0-9a.v-]{0,8}"), 0..8),
            versions in proptest::collection::vec("[0-9a.v-]{0,8}", 0..8),
        ) {
            let events: Vec<Value> = events.into_iter().map(|(kind, version)| json!({ kind: version })).collect();
            let mut affected = ranges(&json!(events));
            affected["versions"] = json!(versions);
            for scheme in [Scheme::Generic, Scheme::Semantic, Scheme::Pep440, Scheme::Gem, Scheme::Free] {
                for group in translate(&serde_json::from_value(affected.clone()).unwrap(), scheme).vulnerable {
                    for bound in group.split(", ") {
                        let (sign, version) = split_sign(bound);
                        prop_assert!(sign.is_some() && (version == "0" || scheme.reads(version)), "{scheme:?} {group}");
                    }
                }
            }
        }
    }
}
