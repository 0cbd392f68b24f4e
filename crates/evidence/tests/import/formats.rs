//! What a record says of a document of each format, and that odd members never refuse one.

use export_contract::RecordKind;
use export_evidence::NewRecord;

use crate::bench::Bench;

async fn record_of(name: &str, document: &str) -> NewRecord {
    let bench = Bench::new();
    bench.file(name, document);
    let summary = bench.import().await;
    assert_eq!(summary.total.refused, 0, "{document}: {:?}", bench.rejects());
    bench.only()
}

struct Expected {
    kind: RecordKind,
    format: &'static str,
    spec_version: &'static str,
    document_id: &'static str,
    subject: &'static str,
    ecosystems: &'static [&'static str],
    aliases: &'static [&'static str],
    purls: &'static [&'static str],
    cpes: &'static [&'static str],
    references: &'static [&'static str],
}

async fn check(name: &str, document: &str, expected: Expected) {
    let record = record_of(name, document).await;
    assert_eq!((record.kind, record.format.as_str()), (expected.kind, expected.format));
    assert_eq!(record.spec_version, expected.spec_version);
    assert_eq!(record.key.source, "given");
    assert_eq!(record.key.document_id, expected.document_id);
    assert_eq!(record.key.subject, expected.subject);
    assert_eq!(record.ecosystems, expected.ecosystems);
    assert_eq!(record.linkset.aliases, expected.aliases);
    assert_eq!(record.linkset.purls, expected.purls);
    assert_eq!(record.linkset.cpes, expected.cpes);
    assert_eq!(record.linkset.references, expected.references);
}

#[tokio::test]
async fn osv_takes_upstream_as_aliases_and_cuts_release_suffixes() {
    let document = r#"{"id":"ALSA-2026:1","schema_version":"1.7.3","modified":"2026-01-01T00:00:00Z",
        "aliases":[" CVE-2026-2 ","CVE-2026-2"],"upstream":["CVE-2026-1"],"related":["CVE-2026-9"],
        "severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N"}],
        "affected":[{"package":{"ecosystem":"AlmaLinux:9","name":"bash"}},
            {"package":{"ecosystem":"Packagist:https://packages.drupal.org/8","name":"drupal/core","purl":"pkg:composer/drupal/core"}},
            {"package":{"ecosystem":"Go","name":"example.org/m"}},{"ranges":[{"type":"GIT"}]}],
        "references":[{"type":"WEB","url":"https://b.example"},{"type":"WEB","url":"https://a.example"},{"url":"ftp://c"}]}"#;
    check(
        "x/ALSA-2026:1.json",
        document,
        Expected {
            kind: RecordKind::Advisory,
            format: "osv",
            spec_version: "1.7.3",
            document_id: "x/ALSA-2026:1.json#ALSA-2026:1",
            subject: "ALSA-2026:1",
            ecosystems: &["almalinux", "go", "packagist"],
            aliases: &["CVE-2026-1", "CVE-2026-2"],
            purls: &["pkg:composer/drupal/core", "pkg:golang/example.org/m"],
            cpes: &[],
            references: &["https://a.example", "https://b.example"],
        },
    )
    .await;
}

#[tokio::test]
async fn cve_records_link_through_both_kinds_of_containers() {
    let document = r#"{"dataType":"CVE_RECORD","dataVersion":"5.1","cveMetadata":{"cveId":"CVE-2026-7"},
        "containers":{"cna":{"source":{"advisory":"GHSA-aaaa-bbbb-cccc"},
            "affected":[{"packageURL":"pkg:npm/left","cpes":["cpe:2.3:a:x:y:1"],"collectionURL":"https://pypi.org/"}],
            "cpeApplicability":[{"nodes":[{"cpeMatch":[{"criteria":"cpe:2.3:a:x:z:*"}]}]}],
            "references":[{"url":"https://cna.example"}]},
          "adp":[{"references":[{"url":"https://adp.example"}]}]}}"#;
    check(
        "CVE-2026-7.json",
        document,
        Expected {
            kind: RecordKind::Advisory,
            format: "cve5",
            spec_version: "5.1",
            document_id: "CVE-2026-7.json#CVE-2026-7",
            subject: "CVE-2026-7",
            ecosystems: &["npm", "pypi"],
            aliases: &["GHSA-aaaa-bbbb-cccc"],
            purls: &["pkg:npm/left"],
            cpes: &["cpe:2.3:a:x:y:1", "cpe:2.3:a:x:z:*"],
            references: &["https://adp.example", "https://cna.example"],
        },
    )
    .await;
}

#[tokio::test]
async fn records_of_language_communities_get_ids_ecosystems_and_purls() {
    let cases = [
        (
            r#"{"gem":"rails","cve":"2026-1","ghsa":"aaaa-bbbb-cccc","url":"https://r.example","title":"t","date":"2026-01-01","cvss_v3":7.5}"#,
            ("ruby-advisory-db", "CVE-2026-1", "rubygems", "pkg:gem/rails"),
        ),
        (
            r#"{"gem":"rack","url":"https://r.example","title":"t","date":"2026-01-01"}"#,
            ("ruby-advisory-db", "doc", "rubygems", "pkg:gem/rack"),
        ),
        (
            r#"{"title":"t","link":"https://p.example","cve":null,"branches":{"1.x":{"time":null,"versions":["<1"]}},"reference":"composer://a/b"}"#,
            ("friendsofphp", "a/b/doc", "packagist", "pkg:composer/a/b"),
        ),
        (
            r#"{"id":476,"title":"t","module_name":"@s/m","cves":["CVE-2026-3"],"vulnerable_versions":"<1","patched_versions":null}"#,
            ("nodejs-security-wg", "NSWG-ECO-476", "npm", "pkg:npm/%40s/m"),
        ),
        (
            r#"{"vulnerability_id":"CVE-2026-4","notes":[{"text":"x"}],"artifacts":[{"id":"pkg:maven/g/a@1","affected":true}]}"#,
            ("project-kb", "CVE-2026-4", "maven", "pkg:maven/g/a@1"),
        ),
    ];
    for (document, (format, subject, ecosystem, purl)) in cases {
        let record = record_of("doc.json", document).await;
        assert_eq!(
            (record.kind, record.format.as_str(), record.key.subject.as_str()),
            (RecordKind::Advisory, format, subject)
        );
        assert_eq!(record.ecosystems, [ecosystem]);
        assert_eq!(record.linkset.purls, [purl]);
    }
    let core = r#"{"cve":["CVE-2017-1"],"vulnerable":"8.x","patched":"^8.1","ref":"https://n.example"}"#;
    let record = record_of("vuln/core/12.json", core).await;
    assert_eq!(
        (record.key.subject.as_str(), record.ecosystems.as_slice()),
        ("NSWG-COR-12", ["node.js".to_owned()].as_slice())
    );
    assert_eq!(record.linkset.aliases, ["CVE-2017-1"]);
}

#[tokio::test]
async fn openvex_is_called_by_its_first_product_in_both_of_its_forms() {
    let document = r#"{"@context":"https://openvex.dev/ns/v0.2.0","@id":"https://v.example/1","author":"a","version":1,
        "statements":[{"vulnerability":{"name":"CVE-2026-1","aliases":["GHSA-x"]},"status":"not_affected",
            "products":[{"@id":"https://p.example","identifiers":{"purl":"pkg:oci/z?a=1","cpe23":"cpe:2.3:a:b:c"},
                "subcomponents":[{"@id":"pkg:golang/stdlib@v1"}]},{"@id":"pkg:npm/a"}]}]}"#;
    check(
        "v.json",
        document,
        Expected {
            kind: RecordKind::Vex,
            format: "openvex",
            spec_version: "0.2.0",
            document_id: "v.json#https://v.example/1",
            subject: "pkg:oci/z?a=1",
            ecosystems: &["go", "npm", "oci"],
            aliases: &["CVE-2026-1", "GHSA-x"],
            purls: &["pkg:golang/stdlib@v1", "pkg:npm/a", "pkg:oci/z?a=1"],
            cpes: &["cpe:2.3:a:b:c"],
            references: &[],
        },
    )
    .await;
    let early = r#"{"@context":"https://openvex.dev/ns","@id":"e","statements":[{"vulnerability":"CVE-2023-1","products":["pkg:apk/wolfi/git@2"],"status":"fixed"}]}"#;
    let record = record_of("e.json", early).await;
    assert_eq!((record.key.subject.as_str(), record.spec_version.as_str()), ("pkg:apk/wolfi/git@2", ""));
    assert_eq!(record.linkset.aliases, ["CVE-2023-1"]);
}

#[tokio::test]
async fn csaf_is_called_by_its_first_purl_and_else_by_its_own_id() {
    let document = r#"{"document":{"category":"csaf_vex","csaf_version":"2.0","tracking":{"id":"RHSA-1","aliases":["A-1"]},
          "references":[{"url":"https://d.example"}]},
        "product_tree":{"branches":[{"branches":[
            {"product":{"product_id":"1","product_identification_helper":{"cpe":"cpe:/o:redhat:el:9"}}},
            {"product":{"product_id":"2","product_identification_helper":{"purl":"pkg:rpm/redhat/bash@5"}}}]}]},
        "vulnerabilities":[{"cve":"CVE-2026-1","ids":[{"text":"BZ-1"}],"references":[{"url":"https://v.example"}]}]}"#;
    check(
        "c.json",
        document,
        Expected {
            kind: RecordKind::Vex,
            format: "csaf",
            spec_version: "2.0",
            document_id: "c.json#RHSA-1",
            subject: "pkg:rpm/redhat/bash@5",
            ecosystems: &["red hat"],
            aliases: &["A-1", "BZ-1", "CVE-2026-1"],
            purls: &["pkg:rpm/redhat/bash@5"],
            cpes: &["cpe:/o:redhat:el:9"],
            references: &["https://d.example", "https://v.example"],
        },
    )
    .await;
    let prose =
        r#"{"document":{"category":"csaf_security_advisory","tracking":{"id":"ICSA-26-001"}},"vulnerabilities":[]}"#;
    assert_eq!(record_of("p.json", prose).await.key.subject, "ICSA-26-001");
}

#[tokio::test]
async fn cyclonedx_lists_components_however_deep_and_is_vex_where_it_only_speaks_of_vulnerabilities() {
    let sbom = r#"{"bomFormat":"CycloneDX","specVersion":"1.6","serialNumber":"urn:uuid:1","version":1,
        "metadata":{"component":{"name":"app","version":"1","purl":"pkg:npm/app@1"}},
        "components":[{"name":"a","purl":"pkg:npm/a@1","components":[{"name":"b","purl":"pkg:maven/g/b@1","cpe":"cpe:2.3:a:b:b"}]},
            {"name":"lock","purl":"package-lock.json"}],
        "externalReferences":[{"type":"vcs","url":"https://vcs.example"}],
        "vulnerabilities":[{"id":"CVE-2026-1","source":{"url":"https://nvd.example"}}]}"#;
    check(
        "s.json",
        sbom,
        Expected {
            kind: RecordKind::Sbom,
            format: "cyclonedx",
            spec_version: "1.6",
            document_id: "s.json#urn:uuid:1",
            subject: "pkg:npm/app@1",
            ecosystems: &["maven", "npm"],
            aliases: &["CVE-2026-1"],
            purls: &["pkg:maven/g/b@1", "pkg:npm/a@1", "pkg:npm/app@1"],
            cpes: &["cpe:2.3:a:b:b"],
            references: &["https://nvd.example", "https://vcs.example"],
        },
    )
    .await;
    let vex = r#"{"bomFormat":"CycloneDX","specVersion":"1.4","version":1,
        "vulnerabilities":[{"id":"CVE-2026-2","affects":[{"ref":"urn:cdx:x/1"},{"ref":"pkg:npm/b@2"}]}]}"#;
    let record = record_of("v.json", vex).await;
    assert_eq!((record.kind, record.key.subject.as_str()), (RecordKind::Vex, "pkg:npm/b@2"));
    let folder = record_of("sboms/v.json", vex).await;
    assert_eq!(folder.kind, RecordKind::Sbom, "the folder decides");
    let unnumbered = r#"{"bomFormat":"CycloneDX","metadata":{"component":{"group":"g","name":"n","version":"3"}}}"#;
    assert_eq!(record_of("u.json", unnumbered).await.key.document_id, "u.json#g/n@3");
}

#[tokio::test]
async fn spdx_of_both_generations_is_called_by_the_purl_of_what_it_describes() {
    let second = r#"{"SPDXID":"SPDXRef-DOCUMENT","spdxVersion":"SPDX-2.3","documentNamespace":"https://n.example/1","name":"n",
        "packages":[{"SPDXID":"SPDXRef-a","externalRefs":[{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:npm/a@1"}]},
            {"SPDXID":"SPDXRef-m","externalRefs":[{"referenceLocator":"cpe:2.3:a:m:m"},{"referenceLocator":"pkg:deb/debian/m@1"}]}],
        "relationships":[{"spdxElementId":"SPDXRef-DOCUMENT","relationshipType":"DESCRIBES","relatedSpdxElement":"SPDXRef-m"}]}"#;
    check(
        "s.spdx.json",
        second,
        Expected {
            kind: RecordKind::Sbom,
            format: "spdx",
            spec_version: "2.3",
            document_id: "s.spdx.json#https://n.example/1",
            subject: "pkg:deb/debian/m@1",
            ecosystems: &["debian", "npm"],
            aliases: &[],
            purls: &["pkg:deb/debian/m@1", "pkg:npm/a@1"],
            cpes: &["cpe:2.3:a:m:m"],
            references: &[],
        },
    )
    .await;
    let third = r#"{"@context":"https://spdx.org/rdf/3.0.1/spdx-context.jsonld","@graph":[
        {"type":"CreationInfo","@id":"_:c","specVersion":"3.0.1"},
        {"type":"SpdxDocument","spdxId":"https://d.example","rootElement":["https://b.example"]},
        {"type":"software_Sbom","spdxId":"https://b.example","rootElement":["https://p.example"]},
        {"type":"software_Package","spdxId":"https://p.example","software_packageUrl":"pkg:pypi/p@1",
         "externalIdentifier":[{"externalIdentifierType":"cpe23","identifier":"cpe:2.3:a:p:p"}]}]}"#;
    let record = record_of("t.json", third).await;
    assert_eq!((record.key.subject.as_str(), record.spec_version.as_str()), ("pkg:pypi/p@1", "3.0.1"));
    assert_eq!(record.key.document_id, "t.json#https://d.example");
    assert_eq!(record.linkset.cpes, ["cpe:2.3:a:p:p"]);
}

/// Well-formed documents of known formats whose members are absent, `null`, of other types or odd: each is taken.
#[tokio::test]
async fn odd_members_never_refuse_a_document_of_a_known_format() {
    let deep = format!(
        r#"{{"bomFormat":"CycloneDX","components":[{}{{"purl":"pkg:npm/deep@1"}}{}]}}"#,
        r#"{"components":["#.repeat(300),
        "]}".repeat(300)
    );
    let cases: Vec<(&str, &str)> = vec![
        ("osv", r#"{"id":"A","schema_version":"1.0.0"}"#),
        (
            "osv",
            r#"{"id":"A","modified":"0001-01-01T00:00:00Z","withdrawn":7,"aliases":null,"affected":null,"references":[]}"#,
        ),
        (
            "osv",
            r#"{"id":"A","modified":"x","affected":[null,7,{"package":"p"},{"package":{"ecosystem":5,"name":[]}}],"aliases":"CVE-1"}"#,
        ),
        ("osv", r#"{"id":"A","affected":[{"package":{"ecosystem":":","name":""},"versions":null}]}"#),
        ("cve5", r#"{"cveMetadata":{"state":"REJECTED"},"containers":{"cna":[]},"dataType":"CVE_RECORD"}"#),
        (
            "openvex",
            r#"{"@context":"https://openvex.dev/ns/v0.0.1","statements":[{"vulnerability":[],"products":{}},5,null],"version":"1"}"#,
        ),
        ("csaf", r#"{"document":{"csaf_version":2.0},"product_tree":[],"vulnerabilities":{"cve":8}}"#),
        (
            "cyclonedx",
            r#"{"bomFormat":"CycloneDX","specVersion":1.5,"components":{"name":"x"},"metadata":[],"version":"a"}"#,
        ),
        ("cyclonedx", r#"{"specVersion":"1.4","$schema":"http://cyclonedx.org/schema/bom-1.4.schema.json"}"#),
        ("cyclonedx", &deep),
        ("spdx", r#"{"SPDXID":"SPDXRef-DOCUMENT","spdxVersion":2,"packages":"none"}"#),
        ("spdx", r#"{"SPDXID":"SPDXRef-DOCUMENT","name":"\ud800"}"#),
        ("spdx", r#"{"@context":["https://spdx.org/rdf/3.0.1/spdx-context.jsonld"],"@graph":[7,{}]}"#),
        ("friendsofphp", r#"{"branches":{},"reference":""}"#),
        ("nodejs-security-wg", r#"{"module_name":"m","vulnerable_versions":null}"#),
        ("project-kb", r#"{"vulnerability_id":"X","fixes":null}"#),
    ];
    for (format, document) in cases {
        let record = record_of("d.json", document).await;
        assert_eq!(record.format, format, "{}", document.chars().take(200).collect::<String>());
    }
    let record = record_of("d.json", &deep).await;
    assert_eq!(record.linkset.purls, ["pkg:npm/deep@1"]);
}

#[tokio::test]
async fn the_document_itself_is_kept_with_its_literals_duplicates_and_unknown_members() {
    let document = "\u{feff}{ \"modified\": \"m\", \"id\": \"A\", \"x\": 1.0, \"y\": 1e3, \"severity\": 12345678901234567890,\n \"x\": \"\\u00e9\\/\" }";
    let record = record_of("d.json", document).await;
    let expected = r#"{"id":"A","modified":"m","severity":12345678901234567890,"x":1.0,"x":"\u00e9\/","y":1e3}"#;
    assert_eq!(std::str::from_utf8(&record.raw).unwrap(), expected);
}
