//! What becomes of a peer's document.

use std::sync::Arc;

use export_evidence::import::{NoProgress, import};
use export_evidence::policy::SqlitePolicyStore;
use export_evidence::pull::pull;
use export_evidence::{MongoLedger, SqliteLedger};
use export_mongo::bson::{Bson, DateTime, doc};
use serde_json::json;

use crate::bench::{Bench, advisory, lines, member, wrapped};

#[tokio::test]
async fn a_peers_document_becomes_the_line_of_an_imported_one() {
    let Some(bench) = Bench::new().await else { return };
    let raw = doc! {
        "schema_version": "1.6.0",
        "modified": "2026-01-01T00:00:00Z",
        "id": "GHSA-0001",
        "aliases": ["CVE-2026-1"],
        "severity": [{ "type": "CVSS_V3", "score": "CVSS:3.1/AV:N" }],
        "affected": [{ "package": { "ecosystem": "npm", "name": "a", "purl": "pkg:npm/a" }, "versions": ["1.0"] }],
        "references": [{ "type": "WEB", "url": "https://example.org/?a=1&b" }],
        "database_specific": { "score": 9.8, "effective_rank": 7_i64 },
    };
    let vex = doc! {
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": "https://example.org/vex/1",
        "author": "a",
        "timestamp": "2026-01-01T00:00:00Z",
        "version": 1,
        "statements": [{ "vulnerability": { "name": "CVE-2026-1" }, "products": [{ "@id": "pkg:npm/a@1" }], "status": "fixed" }],
    };
    bench.insert("advisory_raw", [wrapped("a", raw.clone())]).await;
    bench.insert("vex_raw", [wrapped("v", vex.clone())]).await;
    bench.pull().await;

    let folder = tempfile::tempdir().unwrap();
    let documents = [raw, vex].map(|raw| serde_json::to_string(&Bson::Document(raw).into_relaxed_extjson()).unwrap());
    let file = folder.path().join("example.jsonl");
    std::fs::write(&file, documents.join("\n")).unwrap();
    let imported = SqliteLedger::open(&folder.path().join("e.db")).unwrap();
    let policy = SqlitePolicyStore::open(&folder.path().join("p.db")).unwrap();
    let mut options = bench.options.clone();
    options.source_name = Some("example".to_owned());
    options.observed_at = "2026-05-01T00:00:00Z".parse().unwrap();
    options.reject_file = None;
    import(&imported, &policy, &[file], options, Arc::new(NoProgress)).await.unwrap();

    let pulled = bench.lines().await;
    assert_eq!(pulled.len(), 2);
    assert_eq!(pulled, lines(&imported).await);
}

#[tokio::test]
async fn the_served_ledger_takes_a_pull_as_the_embedded_one_does() {
    let Some(bench) = Bench::new().await else { return };
    bench.insert("advisory_raw", (0..300).map(|n| advisory(n, &format!("A-{n}"), "x"))).await;
    let served = MongoLedger::open(bench.server.database("ours").await.unwrap()).await.unwrap();
    let folder = bench.folder().join("served");
    pull(&served, &bench.peer, &folder, bench.options.clone(), Arc::new(NoProgress)).await.unwrap();
    bench.pull().await;
    let found = lines(&served).await;
    assert_eq!((found.len(), found), (300, bench.lines().await));
}

#[tokio::test]
async fn values_that_bson_keeps_otherwise_have_their_one_form_in_the_line() {
    let Some(bench) = Bench::new().await else { return };
    let raw = doc! {
        "id": "A-1",
        "modified": DateTime::from_millis(1_769_860_800_250),
        "database_specific": { "whole": 9.0, "score": 7.5, "big": (1_i64 << 53) + 1, "tiny": 5e-324, "n": Bson::Null },
    };
    bench.insert("advisory_raw", [wrapped("a", raw)]).await;
    bench.pull().await;
    let line = &bench.lines().await[0];
    let raw = r#""raw":{"database_specific":{"big":9007199254740993,"n":null,"score":7.5,"tiny":5e-324,"whole":9},"id":"A-1","modified":"2026-01-31T12:00:00.25Z"}"#;
    assert!(line.contains(raw), "{line}");
    assert_eq!(member(line, "/observed_at"), json!("2026-05-01T00:00:00Z"));
    assert_eq!(member(line, "/source"), json!("example"));
}

#[tokio::test]
async fn a_text_in_the_place_of_the_document_keeps_its_literals() {
    let Some(bench) = Bench::new().await else { return };
    let raw = r#"{"id":"A-1","modified":"m","database_specific":{"a":1.0,"b":12345678901234567890}}"#;
    bench.insert("advisory_raw", [wrapped("a", raw)]).await;
    bench.pull().await;
    assert!(bench.lines().await[0].contains(r#"{"a":1.0,"b":12345678901234567890}"#));
}

#[tokio::test]
async fn names_and_times_are_found_in_every_published_spelling() {
    let Some(bench) = Bench::new().await else { return };
    let raw = |id: &str| doc! { "id": id, "modified": "m" };
    let camel = doc! {
        "_id": 1, "tenantId": "acme", "providerId": "p", "content": { "raw": raw("A-1") },
        "upstream": { "upstreamId": "feed/1", "fetchedAt": DateTime::from_millis(0) },
    };
    let plain = doc! { "_id": 2, "tenant_id": "acme", "source": "s", "upstream": { "upstream_id": "A-2" },
    "content": { "raw": raw("A-2") }, "created_at": "2099-01-01T00:00:00Z" };
    let other = doc! { "_id": 3, "tenant": "other", "content": { "raw": raw("A-3") } };
    let bare = doc! { "_id": 4, "tenant": "acme", "content": { "raw": raw("A-4") } };
    bench.insert("advisory_raw", [camel, plain, other, bare]).await;
    bench.pull().await;
    let found: Vec<_> = bench
        .lines()
        .await
        .iter()
        .map(|line| ["/source", "/document_id", "/observed_at"].map(|at| member(line, at).as_str().unwrap().to_owned()))
        .collect();
    let expected = [
        ["p", "feed/1#A-1", "1970-01-01T00:00:00Z"],
        // Nothing is observed after it was pulled.
        ["s", "A-2", "2026-06-01T00:00:00Z"],
        ["advisory_raw", "A-4", "2026-06-01T00:00:00Z"],
    ];
    assert_eq!(found, expected.map(|names| names.map(str::to_owned)));
}

#[tokio::test]
async fn a_document_of_twelve_megabytes_and_a_deep_one_come_through() {
    let Some(bench) = Bench::new().await else { return };
    let details: Vec<Bson> = (0..12_000).map(|n| Bson::from(format!("{n}{}", "x".repeat(1_000)))).collect();
    let large = doc! { "id": "L-1", "modified": "m", "database_specific": { "details": details } };
    let deep = (0..90).fold(Bson::Int32(1), |inner, _| Bson::Document(doc! { "d": inner }));
    let deep = doc! { "id": "D-1", "modified": "m", "database_specific": deep };
    bench.insert("advisory_raw", [wrapped("l", large)]).await;
    bench.insert("advisory_raw", [wrapped("d", deep), advisory("s", "S-1", "small")]).await;
    let summary = bench.pull().await;
    assert_eq!((summary.total.added, summary.total.refused), (3, 0), "{summary}");
    let lines = bench.lines().await;
    assert!(lines[0].contains(&format!("{}1{}", r#"{"d":"#.repeat(90), "}".repeat(90))));
    assert!(lines[1].len() > 12_000_000 && lines[1].contains(&format!("\"11999{}\"", "x".repeat(1_000))));
}

#[tokio::test]
async fn documents_that_together_are_too_long_for_one_answer_are_asked_for_in_smaller_numbers() {
    let Some(bench) = Bench::new().await else { return };
    for n in 0..6 {
        let raw = doc! { "id": format!("L-{n}"), "modified": "m", "details": "x".repeat(11 << 20) };
        bench.insert("advisory_raw", [wrapped(n, raw)]).await;
    }
    let (summary, read) = bench.try_pull().await;
    assert_eq!((summary.unwrap().total.added, read), (6, 6));
}
