//! Policy snapshots, findings and catalogues: stored beside the evidence, never among it.

use export_evidence::import::Class;

use crate::bench::Bench;

const SNAPSHOT: &str = r#"{"snapshot_id":"snap-1","generated_at":"2026-01-30T00:00:00Z","policy_version":7,
    "inputs_hash":"sha256:abc","decision_trace":"sha256:def"}"#;

const FINDING: &str = r#"{"subject":"pkg:npm/a@1","advisory":"CVE-2026-1","status":"blocked","severity":"High","rationale":"r","rule_chain":[]}"#;

#[tokio::test]
async fn findings_belong_to_the_snapshot_of_their_folder() {
    let bench = Bench::new();
    bench.file("policy/findings.jsonl", FINDING);
    bench.file("policy/snapshot.json", SNAPSHOT);
    let summary = bench.import().await;
    assert_eq!((summary.of(Class::Policy).added, summary.total.refused), (2, 0), "{summary}");
    assert!(bench.ledger.all().is_empty());
    let snapshots = bench.policy.snapshots.lock().unwrap().clone();
    assert_eq!((snapshots[0].snapshot_id.as_str(), snapshots[0].policy_version.as_str()), ("snap-1", "7"));
    assert_eq!(snapshots[0].inputs_hash, "sha256:abc");
    assert_eq!(snapshots[0].generated_at.to_string(), "2026-01-30T00:00:00Z");
    let findings = bench.policy.findings.lock().unwrap().clone();
    assert_eq!(findings[0].snapshot_id, "snap-1");
    assert_eq!((findings[0].key.subject.as_str(), findings[0].key.advisory.as_str()), ("pkg:npm/a@1", "CVE-2026-1"));
    assert_eq!((findings[0].status.as_str(), findings[0].severity.as_str()), ("blocked", "high"));
    assert!(findings[0].raw.windows(10).any(|window| window == b"rule_chain"), "the whole finding is kept");
}

#[tokio::test]
async fn two_snapshots_of_a_folder_are_both_kept_and_a_finding_may_name_its_own() {
    let bench = Bench::new();
    bench.file("p/1.json", SNAPSHOT);
    bench.file("p/2.json", SNAPSHOT.replace("snap-1", "snap-2"));
    bench.file("p/3.jsonl", FINDING.replace('{', r#"{"snapshot_id":"snap-1","#));
    bench.import().await;
    let ids: Vec<_> = bench.policy.snapshots.lock().unwrap().iter().map(|s| s.snapshot_id.clone()).collect();
    assert_eq!(ids, ["snap-1", "snap-2"]);
    assert_eq!(bench.policy.findings.lock().unwrap()[0].snapshot_id, "snap-1");
}

#[tokio::test]
async fn a_finding_without_a_snapshot_is_refused_by_name() {
    let bench = Bench::new();
    bench.file("findings.jsonl", FINDING);
    let summary = bench.import().await;
    assert_eq!(bench.refusals(), [("findings.jsonl".to_owned(), Some(1), "no_snapshot".to_owned())]);
    assert_eq!(summary.of(Class::Policy).refused, 1);
}

#[tokio::test]
async fn the_kev_catalogue_is_enrichment() {
    let bench = Bench::new();
    bench.file(
        "kev.json",
        r#"{"title":"t","catalogVersion":"2026.01.01","count":1,"vulnerabilities":[{"cveID":"CVE-2026-1"}]}"#,
    );
    let summary = bench.import().await;
    assert_eq!((summary.of(Class::Enrichment).added, summary.total.read), (1, 1));
    let enrichments = bench.policy.enrichments.lock().unwrap().clone();
    assert_eq!((enrichments[0].name.as_str(), enrichments[0].source.as_str()), ("cisa-kev", "given"));
}
