//! Whatever a document holds, it gives a row.

use proptest::prelude::*;
use serde_json::Value;

use crate::Merger;
use crate::mapper::{Mapper, Record};
use crate::row::Table;

/// Any JSON with the names that mappers ask for.
fn any_document() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec![
        "id",
        "affected",
        "package",
        "ecosystem",
        "name",
        "ranges",
        "events",
        "introduced",
        "fixed",
        "last_affected",
        "versions",
        "aliases",
        "severity",
        "score",
        "references",
        "url",
        "database_specific",
        "last_known_affected_version_range",
        "withdrawn",
        "gem",
        "cve",
        "patched_versions",
        "unaffected_versions",
        "branches",
        "reference",
        "module_name",
        "vulnerable_versions",
        "cvss_vector",
        "artifacts",
        "vulnerability_id",
        "notes",
        "cveMetadata",
        "cveId",
        "containers",
        "cna",
        "adp",
        "metrics",
        "type",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}|[-~^<>=|, 0-9.vx*]{0,16}|npm|PyPI|Alpine:v3.19|AlmaLinux:9|RubyGems|Maven|CVE-2024-000[1-3]|\u{0}"
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names.clone(), inner), 0..8)
                .prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn every_document_of_every_format_gives_a_row_and_no_panic(document in any_document(), subject in "\\PC{0,20}") {
        for format in ["osv", "cve5", "ruby-advisory-db", "friendsofphp", "nodejs-security-wg", "project-kb", "csaf"] {
            let raw = document.to_string();
            let record = Record { source: "s", document_id: "d", subject: &subject, format, raw: raw.as_bytes() };
            let mut merger = Merger::default();
            let mut found = Vec::new();
            Mapper.map(&record, &mut |row| found.push(row));
            prop_assert!(!found.is_empty(), "{format} {raw}");
            found.sort_by_key(|row| row.key.encode());
            for row in found {
                prop_assert!(row.key.table == Table::Report || !row.key.id.is_empty());
                merger.push(row).unwrap();
            }
            merger.finish();
        }
    }
}
