mod formats;
mod laws;

use std::borrow::Borrow;
use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Mapper, Record};
use crate::row::Row;
use crate::{Merger, Report};

/// Rows of documents, each under a name of its own.
fn rows(documents: &[(&str, &str, Value)]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (format, name, document) in documents {
        let raw = document.to_string();
        let record = Record { source: "test", document_id: name, subject: name, format, raw: raw.as_bytes() };
        Mapper.map(&record, &mut |row| rows.push(row));
    }
    rows.sort_by_key(|row| row.key.encode());
    rows
}

/// Entries by `bucket|package|id`, and the report.
fn database(documents: &[(&str, &str, Value)]) -> (BTreeMap<String, Value>, Report) {
    let mut merger = Merger::default();
    let mut entries = Vec::new();
    for row in rows(documents) {
        entries.extend(merger.push(row).unwrap());
    }
    let (rest, report, _) = merger.finish();
    let read = entries.into_iter().chain(rest).map(|entry| {
        let value = serde_json::from_slice(&entry.value).unwrap();
        (format!("{}|{}|{}", entry.bucket, entry.package, entry.id), value)
    });
    (read.collect(), report)
}

fn osv(id: &str, ecosystem: &str, name: &str, rest: impl Borrow<Value>) -> (&'static str, &'static str, Value) {
    let mut document = json!({
        "id": id, "modified": "2024-01-01T00:00:00Z",
        "affected": [{ "package": { "ecosystem": ecosystem, "name": name },
            "ranges": [{ "type": "ECOSYSTEM", "events": [{ "introduced": "0" }, { "fixed": "1.2.3" }] }] }],
    });
    for (member, value) in rest.borrow().as_object().unwrap() {
        document[member] = value.clone();
    }
    ("osv", "document", document)
}

fn reasons(report: &Report) -> Vec<&str> {
    report.not_expressed.keys().map(String::as_str).collect()
}

#[test]
fn an_advisory_of_github_becomes_the_entries_that_trivy_reads() {
    let document = osv(
        "GHSA-aaaa-bbbb-cccc",
        "PyPI",
        "Some.Project",
        json!({
            "summary": "Title", "details": "Text", "aliases": ["CVE-2024-0001", "PYSEC-2024-1"],
            "published": "2024-01-01T00:00:00Z",
            "severity": [{ "type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H" }],
            "references": [{ "type": "WEB", "url": "https://b.example" }, { "type": "WEB", "url": "https://a.example" }],
            "database_specific": { "severity": "MODERATE", "cwe_ids": ["CWE-79"] }
        }),
    );
    let (entries, report) = database(&[document]);
    let advisory = json!({
        "VendorIDs": ["GHSA-aaaa-bbbb-cccc", "PYSEC-2024-1"], "VulnerableVersions": ["<1.2.3"], "PatchedVersions": ["1.2.3"]
    });
    let bucket = "pip::GitHub Security Advisory pip";
    let expected: BTreeMap<String, Value> = [
        (format!("{bucket}|some-project|CVE-2024-0001"), advisory.clone()),
        (format!("{bucket}|some.project|CVE-2024-0001"), advisory),
        (
            "vulnerability||CVE-2024-0001".to_owned(),
            json!({
                "Title": "Title", "Description": "Text", "Severity": "MEDIUM", "CweIDs": ["CWE-79"],
                "VendorSeverity": { "ghsa": 2 },
                "CVSS": { "ghsa": { "V3Vector": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "V3Score": 9.8 } },
                "References": ["https://a.example", "https://b.example"],
                "PublishedDate": "2024-01-01T00:00:00Z", "LastModifiedDate": "2024-01-01T00:00:00Z"
            }),
        ),
        (
            format!("data-source||{bucket}"),
            json!({
                "ID": "ghsa", "Name": "GitHub Security Advisory pip",
                "URL": "https://github.com/advisories?query=type%3Areviewed+ecosystem%3Apip"
            }),
        ),
    ]
    .into();
    assert_eq!(entries, expected);
    assert_eq!(reasons(&report), Vec::<&str>::new());
}

#[test]
fn what_cannot_be_expressed_is_reported_by_its_reason() {
    let affected = |package: Value, rest: Value| {
        let mut affected = json!({ "package": package });
        for (member, value) in rest.as_object().unwrap() {
            affected[member] = value.clone();
        }
        json!({ "affected": [affected] })
    };
    let npm = json!({ "ecosystem": "npm", "name": "a" });
    let git = json!({ "ranges": [{ "type": "GIT", "events": [{ "introduced": "0" }] }] });
    for (document, reason) in [
        (osv("X-1", "npm", "a", json!({ "withdrawn": "2024-01-01T00:00:00Z" })), "withdrawn"),
        (osv("X-1", "npm", "a", json!({ "affected": [] })), "no package is named"),
        (osv("X-1", "npm", "a", affected(Value::Null, git.clone())), "only commits are named"),
        (osv("X-1", "npm", "a", affected(npm.clone(), git)), "no version is named that Trivy could compare"),
        (osv("X-1", "npm", "a", affected(npm, json!({}))), "no version is named that Trivy could compare"),
        (osv("X-1", "Hackage", "a", json!({})), "an ecosystem that Trivy does not scan"),
        (osv("X-1", "Alpine", "a", json!({})), "an ecosystem that Trivy does not scan"),
        (osv("X-1", "npm", "a\0b", json!({})), "a name with a NUL"),
        (osv("X-1", "npm", &"a".repeat(40_000), json!({})), "a name that is empty or longer than a database key"),
        (osv("", "npm", "a", json!({})), "a name that is empty or longer than a database key"),
        (osv("X-1", "SwiftURL", "https://", json!({})), "a name that is empty or longer than a database key"),
        (osv("ALBA-2024:1", "AlmaLinux:9", "a", json!({})), "an erratum that fixes no vulnerability"),
        (("osv", "document", json!([])), "a document that is not what its format says"),
        (("csaf", "document", json!({})), "a format that is not mapped to Trivy"),
        (("cve5", "document", json!({})), "a document without an id"),
        (("ruby-advisory-db", "document", json!({ "engine": "jruby" })), "an ecosystem that Trivy does not scan"),
        (
            ("ruby-advisory-db", "document", json!({ "gem": "a", "patched_versions": ["~> x"] })),
            "a version that Trivy cannot read",
        ),
        (("friendsofphp", "document", json!({})), "no package is named"),
        (
            ("friendsofphp", "document", json!({ "reference": "composer://a/b" })),
            "no version is named that Trivy could compare",
        ),
        (("nodejs-security-wg", "document", json!({})), "an ecosystem that Trivy does not scan"),
        (("project-kb", "document", json!({ "fixes": [] })), "only commits are named"),
        (
            ("project-kb", "document", json!({ "artifacts": [{ "id": "pkg:maven/a/b@1", "affected": false }] })),
            "only artefacts that are not affected are named",
        ),
    ] {
        let what = document.2.to_string().chars().take(200).collect::<String>();
        let (entries, report) = database(&[document]);
        let packages: Vec<_> = entries.keys().filter(|key| !key.starts_with("vulnerability")).collect();
        assert_eq!(packages, Vec::<&String>::new(), "{what}");
        assert!(report.not_expressed.contains_key(reason), "{what}: {report:?}");
    }
}

#[test]
fn the_cve_that_only_upstream_names_is_the_id() {
    let document = osv(
        "UBUNTU-CVE-2020-1944",
        "Ubuntu:22.04:LTS",
        "a",
        json!({
            "upstream": ["CVE-2020-1944"],
            "severity": [{ "type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H" }, { "type": "Ubuntu", "score": "medium" }]
        }),
    );
    let (entries, _) = database(&[document]);
    assert_eq!(
        entries["ubuntu 22.04|a|CVE-2020-1944"],
        json!({ "VendorIDs": ["UBUNTU-CVE-2020-1944"], "FixedVersion": "1.2.3" })
    );
    assert_eq!(
        entries["vulnerability||CVE-2020-1944"]["VendorSeverity"],
        json!({ "ubuntu": 2 }),
        "its own word counts"
    );
}

#[test]
fn errata_have_the_cves_that_they_fix_and_the_severity_of_their_title() {
    let document = osv(
        "ALSA-2024:1",
        "AlmaLinux:9",
        "openssh",
        json!({
            "summary": "Important: openssh security update", "related": ["CVE-2024-0001", "CVE-2024-0002"]
        }),
    );
    let (entries, _) = database(&[document]);
    for id in ["CVE-2024-0001", "CVE-2024-0002"] {
        let advisory = json!({ "VendorIDs": ["ALSA-2024:1"], "FixedVersion": "1.2.3" });
        assert_eq!(entries[&format!("alma 9|openssh|{id}")], advisory);
        assert_eq!(entries[&format!("vulnerability||{id}")]["VendorSeverity"], json!({ "alma": 3 }));
    }
    assert_eq!(entries["data-source||alma 9"]["ID"], "alma");
}

#[test]
fn packages_of_modules_stand_under_the_stream_that_trivy_looks_up() {
    let affected = json!([{
        "package": { "ecosystem": "AlmaLinux:8", "name": "ruby-libs" },
        "ranges": [{ "type": "ECOSYSTEM", "events": [{ "introduced": "0" }, { "fixed": "3.1.4-142.module_el8.9.0+3746" }] }]
    }]);
    let erratum = |summary: &str| osv("ALSA-2024:1", "", "", json!({ "summary": summary, "affected": affected }));
    let (entries, _) = database(&[erratum("Moderate: ruby:3.1 security update")]);
    let keys: Vec<_> = entries.keys().filter(|key| key.starts_with("alma")).collect();
    assert_eq!(keys, ["alma 8|ruby:3.1::ruby-libs|ALSA-2024:1"]);
    let (_, report) = database(&[erratum("Moderate: ruby security update")]);
    assert_eq!(reasons(&report), ["a module's package whose stream is not named"]);
}

#[test]
fn rocky_linux_has_an_entry_for_each_architecture_and_debian_an_unfixed_one() {
    let unfixed = json!([{
        "package": { "ecosystem": "Debian:12", "name": "a" },
        "ranges": [{ "type": "ECOSYSTEM", "events": [{ "introduced": "0" }] }]
    }]);
    let (entries, _) = database(&[
        osv("RLSA-2024:1", "Rocky Linux:9", "a", json!({ "related": ["CVE-2024-0001"] })),
        osv("DEBIAN-CVE-2024-0002", "", "", json!({ "upstream": ["CVE-2024-0002"], "affected": unfixed })),
    ]);
    let rocky = &entries["rocky 9|a|CVE-2024-0001"];
    assert_eq!(rocky["Entries"][0]["FixedVersion"], "1.2.3");
    assert!(rocky["Entries"][0]["Arches"].as_array().unwrap().contains(&json!("x86_64")));
    assert_eq!(rocky["Entries"][0]["VendorIDs"], json!(["RLSA-2024:1"]));
    assert_eq!(entries["debian 12|a|CVE-2024-0002"], json!({ "VendorIDs": ["DEBIAN-CVE-2024-0002"] }));
}

#[test]
fn alpine_knows_since_when_a_package_is_affected_and_of_others_it_is_reported() {
    let affected = |ecosystem: &str| {
        json!([{
            "package": { "ecosystem": ecosystem, "name": "a" },
            "ranges": [{ "type": "ECOSYSTEM", "events": [{ "introduced": "1.0-r0" }, { "fixed": "1.2-r1" }] }]
        }])
    };
    let document = |ecosystem: &str| osv("CVE-2024-0001", "", "", json!({ "affected": affected(ecosystem) }));
    let (entries, report) = database(&[document("Alpine:v3.19")]);
    assert_eq!(
        entries["alpine 3.19|a|CVE-2024-0001"],
        json!({ "FixedVersion": "1.2-r1", "AffectedVersion": "1.0-r0" })
    );
    assert_eq!(reasons(&report), Vec::<&str>::new());
    let (entries, report) = database(&[document("Debian:12")]);
    assert_eq!(entries["debian 12|a|CVE-2024-0001"], json!({ "FixedVersion": "1.2-r1" }));
    assert_eq!(reasons(&report), ["versions from before the first affected one are found, too"]);
}
