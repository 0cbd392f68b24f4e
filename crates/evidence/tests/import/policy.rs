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

/// As `scheduler.policy-explain-trace@1` is published.
const TRACE: &str = r#"{"schemaVersion":"scheduler.policy-explain-trace@1","findingId":"finding:sbom:S-42/pkg:npm/lodash@4.17.21",
    "policyId":"P-7","policyVersion":4,"tenantId":"acme","runId":"run:P-7:2025-10-26:auto","evaluatedAt":"2025-10-26T14:06:02Z",
    "verdict":{"status":"blocked","severity":"Critical","score":19.50,"rationale":"matches"},
    "ruleChain":[{"ruleId":"rule-block-critical","ruleName":"Block critical","action":"block","decision":"matched","score":19.5,"condition":"severity >= critical"}],
    "evidence":[{"type":"vex","reference":"VEX-1","source":"vendor"},{"type":"advisory","reference":"CVE-2021-23337","source":"nvd","weight":0.8}],
    "vexImpacts":[],"history":[],"metadata":{"componentpurl":"pkg:npm/lodash@4.17.21","sbomid":"sbom:S-42","traceid":"01HE0"}}"#;

/// As the engine lists snapshots: no policy version, and an id made of what it was evaluated on.
const LISTED: &str = r#"{"snapshot_id":"snap-9","generated_at":"2026-01-30T00:00:00Z","ledger_export_id":"le-1","overlay_hash":"sha256:aa","status_counts":{"blocked":1}}"#;

#[tokio::test]
async fn an_explain_trace_is_a_finding_with_its_rule_chain() {
    let bench = Bench::new();
    bench.file("policy/snapshot.json", LISTED);
    bench.file("policy/trace.json", TRACE);
    let summary = bench.import().await;
    assert_eq!((summary.of(Class::Policy).added, summary.total.refused), (2, 0), "{summary}");
    let snapshots = bench.policy.snapshots.lock().unwrap().clone();
    assert_eq!((snapshots[0].snapshot_id.as_str(), snapshots[0].policy_version.as_str()), ("snap-9", ""));
    let finding = bench.policy.findings.lock().unwrap()[0].clone();
    assert_eq!(finding.snapshot_id, "snap-9");
    assert_eq!(
        (finding.key.subject.as_str(), finding.key.advisory.as_str()),
        ("pkg:npm/lodash@4.17.21", "CVE-2021-23337")
    );
    assert_eq!(finding.key.finding_id, "finding:sbom:S-42/pkg:npm/lodash@4.17.21");
    assert_eq!((finding.status.as_str(), finding.severity.as_str()), ("blocked", "critical"));
    let raw = std::str::from_utf8(&finding.raw).unwrap();
    assert!(raw.contains("rule-block-critical") && raw.contains(r#""score":19.50"#), "{raw}");
}

#[tokio::test]
async fn an_explain_trace_without_metadata_or_evidence_is_placed_by_its_id() {
    let bench = Bench::new();
    bench.file("policy/snapshot.json", LISTED);
    let bare = |id: &str| {
        format!(
            r#"{{"schemaVersion":"scheduler.policy-explain-trace@1","findingId":"{id}","verdict":{{"status":"passed"}}}}"#
        )
    };
    bench.file("policy/1.json", bare("finding:sbom:S-42/pkg:npm/a@1"));
    bench.file("policy/2.json", bare("CVE-2026-1@pkg:npm/b@2"));
    bench.import().await;
    let findings = bench.policy.findings.lock().unwrap().clone();
    let keys: Vec<_> = findings.iter().map(|f| (f.key.subject.as_str(), f.key.advisory.as_str())).collect();
    assert_eq!(keys, [("pkg:npm/a@1", ""), ("pkg:npm/b@2", "CVE-2026-1")]);
    assert!(findings.iter().all(|finding| finding.status == "passed" && finding.severity.is_empty()));
}

#[tokio::test]
async fn lines_of_the_policy_ledger_about_one_component_are_all_kept() {
    let bench = Bench::new();
    bench.file("policy/snapshot.json", LISTED);
    let line = |job: &str, trace: &str| {
        format!(
            r#"{{"tenant_id":"acme","job_id":"{job}","context_id":"c","component_purl":"pkg:npm/a@1","advisory_id":"CVE-2026-1","status":"open",{trace}"occurred_at":"2026-01-30T00:00:00Z"}}"#
        )
    };
    let lines = [line("j1", ""), line("j2", ""), line("j2", r#""trace_ref":"t-7","#)];
    bench.file("policy/ledger.ndjson", lines.join("\n"));
    let summary = bench.import().await;
    assert_eq!((summary.of(Class::Policy).added, summary.total.refused), (4, 0), "{summary}");
    let findings = bench.policy.findings.lock().unwrap().clone();
    let ids: Vec<_> = findings.iter().map(|finding| finding.key.finding_id.as_str()).collect();
    assert_eq!(ids, ["j1/c", "j2/c", "t-7"]);
    assert!(findings.iter().all(|finding| finding.key.subject == "pkg:npm/a@1"));
}
