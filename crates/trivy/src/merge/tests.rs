use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Entry, Merger};
use crate::entry::{Detail, Fragment};
use crate::row::{Key, Row, Table};
use crate::{Report, Summary};

fn row(bucket: &str, package: &str, id: &str, origin: &str, fragment: &Fragment) -> Row {
    let text = |text: &str| text.to_owned();
    let key = Key {
        table: Table::Database,
        bucket: text(bucket),
        package: text(package),
        id: text(id),
        origin: text(origin),
    };
    Row { key, value: serde_json::to_vec(fragment).unwrap() }
}

fn language(source: &str, name: &str, severity: u8, vulnerable: &[&str], patched: &[&str]) -> Fragment {
    let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    Fragment::Language {
        source: source.to_owned(),
        github: "npm".to_owned(),
        name: name.to_owned(),
        severity,
        vendor: list(&[source]),
        vulnerable: list(vulnerable),
        patched: list(patched),
    }
}

fn merge(mut rows: Vec<Row>) -> (Vec<Entry>, Report, Summary) {
    rows.sort_by_key(|row| row.key.encode());
    let mut merger = Merger::default();
    let mut entries = Vec::new();
    for row in rows {
        entries.extend(merger.push(row).unwrap());
    }
    let (rest, report, summary) = merger.finish();
    entries.extend(rest);
    (entries, report, summary)
}

fn value(entry: &Entry) -> Value {
    serde_json::from_slice(&entry.value).unwrap()
}

#[test]
fn several_records_of_one_vulnerability_become_the_union_of_their_ranges() {
    let (entries, report, summary) = merge(vec![
        row("npm", "a", "CVE-1", "2", &language("osv", "A", 4, &["<1.2.4", "=3.0.0"], &["1.2.4"])),
        row("npm", "a", "CVE-1", "1", &language("ghsa", "a", 2, &["<1.2.3", "=3.0.0"], &["1.2.3"])),
    ]);
    assert_eq!(entries[0].bucket, "npm::GitHub Security Advisory npm", "one bucket, of the source that comes first");
    assert_eq!(
        value(&entries[0]),
        json!({
            "VendorIDs": ["ghsa", "osv"], "VulnerableVersions": ["<1.2.3", "=3.0.0", "<1.2.4"],
            // Trivy would take 1.2.3 for safe, which the second record says is vulnerable.
            "PatchedVersions": ["1.2.4"]
        })
    );
    assert_eq!((entries.len(), report.merged_names, report.merged_sources), (2, 1, 1));
    let summary = &summary.ecosystems["npm"];
    assert_eq!((summary.packages, summary.advisories, &summary.severities), (1, 1, &[("MEDIUM", 1)].into()));
}

#[test]
fn each_package_counts_once_in_the_summary() {
    let one = language("osv", "a", 0, &["<1.0"], &[]);
    let (_, _, summary) = merge(vec![
        row("npm", "a", "CVE-1", "", &one),
        row("npm", "a", "CVE-2", "", &language("ghsa", "a", 3, &["<1.0"], &[])),
        row("npm", "b", "CVE-1", "", &one),
    ]);
    let summary = &summary.ecosystems["npm"];
    assert_eq!((summary.packages, summary.advisories), (2, 3));
    assert_eq!(summary.severities, [("HIGH", 1), ("UNKNOWN", 2)].into());
}

#[test]
fn the_latest_fix_of_a_distribution_counts_and_without_one_none() {
    let system = |fixed: &str| Fragment::System {
        source: "debian".to_owned(),
        severity: 0,
        vendor: Vec::new(),
        fixed: fixed.to_owned(),
        since: String::new(),
        each: false,
    };
    let fixed = |fixes: [&str; 2]| {
        let rows =
            fixes.iter().zip(["1", "2"]).map(|(fix, origin)| row("debian 12", "a", "CVE-1", origin, &system(fix)));
        value(&merge(rows.collect()).0[0])
    };
    assert_eq!(fixed(["1.10-1", "1.9-1"]), json!({ "FixedVersion": "1.10-1" }));
    assert_eq!(fixed(["1.9-1", "1.10-1"]), json!({ "FixedVersion": "1.10-1" }));
    assert_eq!(fixed(["1.9-1", ""]), json!({}));
}

#[test]
fn texts_are_of_the_source_that_comes_first_and_severities_of_each() {
    let detail = |source: &str, title: &str, severity: u8, published: Option<&str>| {
        Fragment::Detail(Box::new(Detail {
            source: source.to_owned(),
            title: title.to_owned(),
            severity,
            references: vec![format!("https://{source}.example")],
            published: published.map(str::to_owned),
            ..Detail::default()
        }))
    };
    let (entries, ..) = merge(vec![
        row("vulnerability", "", "CVE-1", "1", &detail("osv", "of osv", 4, Some("2024-01-01T00:00:00Z"))),
        row("vulnerability", "", "CVE-1", "2", &detail("ghsa", "of ghsa", 2, None)),
        row("vulnerability", "", "CVE-1", "3", &detail("ghsa", "of ghsa, later", 3, None)),
    ]);
    assert_eq!(
        value(&entries[0]),
        json!({
            "Title": "of ghsa", "Severity": "HIGH", "VendorSeverity": { "ghsa": 3, "osv": 4 },
            "References": ["https://ghsa.example", "https://osv.example"], "PublishedDate": "2024-01-01T00:00:00Z"
        })
    );
}

#[test]
fn an_entry_has_bounds_and_what_is_beyond_is_reported() {
    let versions: Vec<String> = (0..30_000).map(|number| format!("={number}.0")).collect();
    let versions: Vec<&str> = versions.iter().map(String::as_str).collect();
    let (entries, report, _) = merge(vec![row("npm", "a", "CVE-1", "", &language("osv", "a", 0, &versions, &[]))]);
    assert_eq!(value(&entries[0])["VulnerableVersions"].as_array().unwrap().len(), 20_000);
    let reason = &report.not_expressed["more versions, names or addresses than an entry may have"];
    assert_eq!((reason.count, reason.examples[0].detail.as_str()), (1, "10000 left out"));
}

#[test]
fn a_damaged_row_is_refused() {
    let mut damaged = row("npm", "a", "CVE-1", "", &language("osv", "a", 0, &[], &[]));
    damaged.value.truncate(5);
    assert!(Merger::default().push(damaged).is_err());
}

proptest! {
    #[test]
    fn entries_are_the_same_in_whatever_order_their_rows_were_made(
        (rows, shuffled) in prop::collection::vec((0_u8..3, 0_u8..3, 0_usize..4), 0..20).prop_flat_map(|rows| {
            let rows: Vec<Row> = rows
                .into_iter()
                .enumerate()
                .map(|(place, (package, id, source))| {
                    let source = ["ghsa", "osv", "bitnami", "unknown"][source];
                    let range = format!("<{place}");
                    let fragment = language(source, "a", package, &[&range], &[]);
                    row("npm", &format!("p{package}"), &format!("CVE-{id}"), &format!("{place:08}"), &fragment)
                })
                .collect();
            (Just(rows.clone()), Just(rows).prop_shuffle())
        })
    ) {
        let (one, other) = (merge(rows), merge(shuffled));
        prop_assert_eq!(&one, &other);
        // No id stands in two buckets of the ecosystem: Trivy would take the last alone.
        let keys: Vec<_> = one.0.iter().filter(|entry| entry.bucket != "data-source").map(|e| (&e.package, &e.id)).collect();
        prop_assert!(keys.is_sorted() && keys.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
