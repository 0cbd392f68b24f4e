//! Formats other than OSV.

use serde_json::{Value, json};

use super::{database, osv, reasons};

#[test]
fn a_gem_is_vulnerable_where_it_is_neither_patched_nor_unaffected() {
    let document = json!({
        "gem": "actionpack", "cve": "2008-7248", "ghsa": "8fqx-7pv4-3jwm", "url": "https://a.example", "title": "Title",
        "date": "2017-10-24", "cvss_v2": 6.8, "unaffected_versions": ["< 2.1.0"], "patched_versions": ["~> 2.1.3", ">= 2.2.2"]
    });
    let (entries, report) = database(&[("ruby-advisory-db", "CVE-2008-7248", document)]);
    assert_eq!(
        entries["rubygems::Ruby Advisory Database|actionpack|CVE-2008-7248"],
        json!({
            "VendorIDs": ["GHSA-8fqx-7pv4-3jwm"],
            "VulnerableVersions": [">=2.1.0, <2.1.3", ">=2.2.a, <2.2.2"], "PatchedVersions": ["2.1.3", "2.2.2"]
        })
    );
    let vulnerability = &entries["vulnerability||CVE-2008-7248"];
    assert_eq!(vulnerability["VendorSeverity"], json!({ "ruby-advisory-db": 2 }));
    assert_eq!(vulnerability["CVSS"], json!({ "ruby-advisory-db": { "V2Score": 6.8 } }));
    assert_eq!(entries["data-source||rubygems::Ruby Advisory Database"]["ID"], "ruby-advisory-db");
    assert_eq!(reasons(&report), Vec::<&str>::new());
    let never = json!({ "gem": "a", "cve": "2020-0001", "title": "Title" });
    let (entries, _) = database(&[("ruby-advisory-db", "CVE-2020-0001", never)]);
    assert_eq!(
        entries["rubygems::Ruby Advisory Database|a|CVE-2020-0001"],
        json!({ "VulnerableVersions": [">=0"] }),
        "never patched"
    );
}

#[test]
fn each_branch_of_a_composer_package_is_a_range() {
    let document = json!({
        "title": "Title", "link": "https://a.example", "cve": null, "reference": "composer://Vendor/Name",
        "branches": {
            "5.0.x": { "time": "2020-08-07 09:31:00", "versions": [">=5.0.0", "<5.0.1"] },
            "4.2.x": { "time": "2020-08-07 09:28:00", "versions": [">=4.2.0", "<4.2.1"] }
        }
    });
    let (entries, report) = database(&[("friendsofphp", "vendor/name/2020-08-07", document)]);
    let advisory = &entries["composer::PHP Security Advisories Database|vendor/name|vendor/name/2020-08-07"];
    assert_eq!(advisory["VulnerableVersions"], json!([">=4.2.0, <4.2.1", ">=5.0.0, <5.0.1"]));
    assert_eq!(advisory["PatchedVersions"], json!(["4.2.1", "5.0.1"]));
    let vulnerability = &entries["vulnerability||vendor/name/2020-08-07"];
    assert_eq!(vulnerability["PublishedDate"], "2020-08-07T09:28:00Z", "the earliest branch");
    assert_eq!(reasons(&report), Vec::<&str>::new());
}

#[test]
fn a_module_of_node_is_vulnerable_where_it_is_not_patched() {
    let module = |vulnerable: Value, patched: Value| {
        let document = json!({
            "id": 368, "module_name": "lodash", "title": "Title", "cves": ["CVE-2018-3721"], "publish_date": "2018-02-12",
            "vulnerable_versions": vulnerable, "patched_versions": patched,
            "cvss_vector": "CVSS:3.0/AV:L/AC:L/PR:H/UI:R/S:U/C:N/I:N/A:L", "cvss_score": 2.5, "references": ["- https://a.example\n"]
        });
        ("nodejs-security-wg", "NSWG-ECO-368", document)
    };
    let bucket = "npm::Node.js Ecosystem Security Working Group|lodash|CVE-2018-3721";
    let (entries, _) = database(&[module(json!("<4.17.5"), json!(">=4.17.5"))]);
    assert_eq!(
        entries[bucket],
        json!({ "VendorIDs": ["NSWG-ECO-368"], "VulnerableVersions": ["<4.17.5"], "PatchedVersions": ["4.17.5"] })
    );
    assert_eq!(entries["vulnerability||CVE-2018-3721"]["References"], json!(["https://a.example"]));
    let (entries, _) = database(&[module(json!("<=99.999.99999"), json!("<0.0.0"))]);
    assert_eq!(entries[bucket]["VulnerableVersions"], json!([">=0.0.0, <=99.999.99999"]));
    let (_, report) = database(&[module(json!("<1.0.0"), json!("<=1.0.0"))]);
    assert_eq!(reasons(&report), ["no version is named that Trivy could compare"]);
}

#[test]
fn artefacts_that_were_judged_are_single_versions() {
    let document = json!({
        "vulnerability_id": "CVE-2014-3539", "notes": [{ "text": "Text", "links": ["https://a.example"] }],
        "artifacts": [
            { "id": "pkg:maven/Org.A/b@0.10.7", "affected": true }, { "id": "pkg:maven/org.a/b@0.10.8", "affected": false },
            { "id": "pkg:maven/Org.A/b@0.10.6", "affected": true }
        ]
    });
    let (entries, report) = database(&[("project-kb", "CVE-2014-3539", document)]);
    assert_eq!(
        entries["maven::SAP Project KB|org.a:b|CVE-2014-3539"],
        json!({ "VulnerableVersions": ["=0.10.7", "=0.10.6"] })
    );
    assert_eq!(entries["vulnerability||CVE-2014-3539"]["Description"], "Text");
    assert_eq!(reasons(&report), Vec::<&str>::new());
}

#[test]
fn a_cve_record_gives_text_scores_and_dates() {
    let document = json!({
        "dataType": "CVE_RECORD", "cveMetadata": { "cveId": "CVE-2024-0001", "state": "PUBLISHED", "datePublished": "2022-11-16T00:00:00" },
        "containers": {
            "cna": { "title": "Title", "descriptions": [{ "lang": "de", "value": "Nein" }, { "lang": "en", "value": "Text" }],
                "references": [{ "url": "https://a.example" }] },
            "adp": [{ "metrics": [{ "cvssV3_1": { "vectorString": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "baseScore": 9.8 } }],
                "problemTypes": [{ "descriptions": [{ "cweId": "CWE-79" }] }] }]
        }
    });
    let (entries, _) = database(&[("cve5", "CVE-2024-0001", document)]);
    assert_eq!(
        entries["vulnerability||CVE-2024-0001"],
        json!({
            "Title": "Title", "Description": "Text", "Severity": "CRITICAL", "CweIDs": ["CWE-79"],
            "VendorSeverity": { "cve-program": 4 },
            "CVSS": { "cve-program": { "V3Vector": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "V3Score": 9.8 } },
            "References": ["https://a.example"], "PublishedDate": "2022-11-16T00:00:00Z"
        })
    );
}

#[test]
fn a_rejected_cve_is_nowhere() {
    let rejected =
        json!({ "cveMetadata": { "cveId": "CVE-2024-0001", "state": "REJECTED" }, "containers": { "cna": {} } });
    let advisory = osv("GHSA-aaaa-bbbb-cccc", "npm", "a", json!({ "aliases": ["CVE-2024-0001"] }));
    let (entries, report) = database(&[("cve5", "CVE-2024-0001", rejected), advisory]);
    assert!(entries.is_empty(), "{entries:?}");
    assert_eq!(
        report.not_expressed["rejected by its authority"].count, 2,
        "the package's entry and the vulnerability's"
    );
}
