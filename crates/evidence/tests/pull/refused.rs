//! What is not taken, and pulls that cannot begin.

use export_evidence::EvidenceLedger as _;
use export_evidence::LedgerError;
use export_evidence::pull::PullError;
use export_mongo::bson::spec::BinarySubtype;
use export_mongo::bson::{Binary, Bson, doc};

use crate::bench::{Bench, advisory, superseding, tenant, wrapped};

#[tokio::test]
async fn every_refused_document_is_named_with_its_reason_and_stops_nothing() {
    let Some(bench) = Bench::new().await else { return };
    let mut derived = advisory("derived", "A-1", "x");
    derived.insert("effective_status", "affected");
    derived.insert("Severity", "high");
    let binary = Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes: vec![1, 2, 3] });
    let inside = doc! { "id": "A-2", "modified": "m", "database_specific": { "list": [0, binary.clone()] } };
    let documents = [
        derived,
        wrapped("binary", binary),
        wrapped("inside", inside),
        wrapped("number", 5),
        wrapped("unknown", doc! { "what": "ever" }),
        wrapped("broken", "{\"id\":"),
        wrapped("catalogue", doc! { "title": "t", "catalogVersion": "1", "count": 0, "vulnerabilities": [] }),
        doc! { "_id": "bare", "tenant": "acme" },
        advisory("good", "A-9", "fine"),
    ];
    let count = u64::try_from(documents.len()).unwrap();
    bench.insert("advisory_raw", documents).await;
    let (summary, read) = bench.try_pull().await;
    let summary = summary.unwrap();
    assert_eq!((summary.total.read, summary.total.added, summary.total.refused, read), (count, 1, count - 1, count));
    let mut found: Vec<(String, String, String)> = bench
        .rejects()
        .iter()
        .map(|refusal| {
            assert_eq!((&refusal["path"], refusal["source"].is_string()), (&"peer.advisory_raw".into(), true));
            let text = |name: &str| refusal[name].as_str().unwrap().to_owned();
            (text("entry"), text("code"), text("reason"))
        })
        .collect();
    found.sort();
    let expected = [
        ("bare", "unknown_format", "no content.raw"),
        ("binary", "unsupported_value", "content.raw is binary"),
        ("broken", "malformed", ""),
        ("catalogue", "unknown_format", ""),
        ("derived", "aoc_violation", "Severity, effective_status"),
        ("inside", "unsupported_value", "content.raw.database_specific.list.1 is a value of BSON type Binary"),
        ("number", "unknown_format", "neither"),
        ("unknown", "unknown_format", "(what)"),
    ];
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for ((entry, code, reason), expected) in found.iter().zip(expected) {
        assert_eq!((entry.as_str(), code.as_str()), (expected.0, expected.1));
        assert!(reason.contains(expected.2), "{reason}");
    }
}

#[tokio::test]
async fn documents_that_supersede_each_other_in_a_ring_are_refused_and_not_lost_in_silence() {
    let Some(bench) = Bench::new().await else { return };
    let documents = [
        superseding(advisory("a", "A-1", "x"), "c"),
        superseding(advisory("b", "A-1", "y"), "a"),
        superseding(advisory("c", "A-1", "z"), "b"),
        superseding(advisory("self", "A-2", "of itself"), "self"),
        superseding(advisory("far", "A-3", "of one that is not there"), "gone"),
    ];
    bench.insert("advisory_raw", documents).await;
    let summary = bench.pull().await;
    assert_eq!((summary.total.added, summary.total.refused), (2, 3), "{summary}");
    assert!(bench.rejects().iter().all(|refusal| refusal["code"] == "broken_chain"));
}

#[tokio::test]
async fn a_collection_that_is_not_there_is_an_error_and_no_empty_ledger() {
    let Some(mut bench) = Bench::new().await else { return };
    bench.peer.collections[1].name = "vex_rav".to_owned();
    let error = bench.try_pull().await.0.unwrap_err();
    assert_eq!(error.to_string(), "the peer's database `peer` has no collection `vex_rav`");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn a_peer_that_does_not_answer_is_worth_another_try() {
    let Some(mut bench) = Bench::new().await else { return };
    bench.peer.database =
        export_mongo::connect("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=50", "peer").await.unwrap();
    let error = bench.try_pull().await.0.unwrap_err();
    assert!(matches!(error, PullError::Peer(_)) && error.is_transient(), "{error}");
}

#[tokio::test]
async fn while_an_import_is_at_work_what_was_read_is_kept_and_not_read_again() {
    let Some(bench) = Bench::new().await else { return };
    bench.insert("advisory_raw", [advisory("a", "A-1", "x")]).await;
    let import = bench.ledger.begin_import(&tenant()).await.unwrap();
    let (refused, read) = bench.try_pull().await;
    let error = refused.unwrap_err();
    assert!(matches!(error, PullError::Store(LedgerError::ImportInProgress { .. })) && error.is_transient(), "{error}");
    import.commit().await.unwrap();
    let (summary, again) = bench.try_pull().await;
    assert_eq!((summary.unwrap().total.added, read, again), (1, 1, 0));
}
