//! The conformance suites of the policy ports: of [`PolicyStore`] with what it reads back, and of [`PolicySource`]. Every driver
//! runs those of its ports.

#![expect(clippy::expect_used, reason = "a test suite that is called from tests")]

use bytes::Bytes;
use export_canon::digesting::sha256;
use export_contract::{Digest, TenantId, Timestamp};
use futures::TryStreamExt as _;

use super::{Enrichment, FindingKey, Findings, PolicyFinding, PolicySnapshot, PolicySource, PolicyStore};
use crate::PutRecord;

fn tenant(name: &str) -> TenantId {
    TenantId::try_from(name.to_owned()).expect("a slug")
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).expect("a time near 1970")
}

/// A snapshot whose text says all that its members say.
pub fn snapshot(id: &str, micros: i64, note: &str) -> PolicySnapshot {
    let generated_at = at(micros);
    let raw = format!(
        "{{\"decision_trace\":\"sha256:trace\",\"generated_at\":\"{generated_at}\",\"inputs_hash\":\"sha256:inputs\",\
         \"note\":\"{note}\",\"policy_version\":7,\"snapshot_id\":\"{id}\"}}"
    );
    PolicySnapshot {
        snapshot_id: id.to_owned(),
        policy_version: "7".to_owned(),
        inputs_hash: "sha256:inputs".to_owned(),
        generated_at,
        digest: Digest::from_bytes(*sha256(raw.as_bytes()).as_bytes()),
        raw: Bytes::from(raw),
    }
}

/// A finding whose text says all that its members say.
pub fn finding(snapshot_id: &str, subject: &str, advisory: &str, status: &str) -> PolicyFinding {
    let raw = format!(
        "{{\"advisory\":\"{advisory}\",\"finding_id\":\"f\",\"score\":1.50,\"severity\":\"high\",\
         \"snapshot_id\":\"{snapshot_id}\",\"status\":\"{status}\",\"subject\":\"{subject}\"}}"
    );
    PolicyFinding {
        snapshot_id: snapshot_id.to_owned(),
        key: FindingKey { subject: subject.to_owned(), advisory: advisory.to_owned(), finding_id: "f".to_owned() },
        status: status.to_owned(),
        severity: "high".to_owned(),
        raw: Bytes::from(raw),
    }
}

async fn read(source: &dyn PolicySource, tenant: &TenantId, snapshot_id: &str) -> Vec<PolicyFinding> {
    let batches = source.findings(tenant, snapshot_id).await.expect("read");
    let batches: Vec<_> = batches.try_collect().await.expect("read");
    assert!(batches.iter().all(|batch| !batch.is_empty()), "a batch is empty");
    batches.concat()
}

async fn ids(source: &dyn PolicySource, tenant: &TenantId) -> Vec<String> {
    source.snapshots(tenant).await.expect("list").into_iter().map(|name| name.snapshot_id).collect()
}

/// Runs every check on an empty store.
///
/// # Panics
/// When the store breaks a promise of its ports.
pub async fn keeps_the_ports<S: PolicyStore + PolicySource>(store: &S) {
    snapshots_are_replaced_by_id(store).await;
    findings_are_replaced_by_key(store).await;
    a_catalogue_is_replaced_by_name(store).await;
    let fill = async |tenant: &TenantId, snapshots: Vec<PolicySnapshot>, findings: Vec<PolicyFinding>| {
        store.put_findings(tenant, findings).await.expect("put");
        for snapshot in snapshots {
            store.put_snapshot(tenant, snapshot).await.expect("put");
        }
    };
    is_a_source(store, fill).await;
    assert!(store.enrichments(&tenant("stranger")).await.expect("list").is_empty());
}

/// Runs every check of a source that `fill` puts snapshots and findings behind, in no order.
///
/// # Panics
/// When the source breaks a promise of the port.
pub async fn is_a_source(
    source: &dyn PolicySource,
    fill: impl AsyncFn(&TenantId, Vec<PolicySnapshot>, Vec<PolicyFinding>),
) {
    let (acme, globex) = (tenant("acme"), tenant("globex"));
    assert_eq!(source.newest(&acme).await.expect("read"), None);
    let snapshots = [("b", 2), ("c", 1), ("a", 2)].map(|(id, micros)| snapshot(id, micros, "x"));
    let findings = [
        finding("b", "pkg:npm/b", "CVE-1", "warned"),
        finding("b", "pkg:npm/a", "CVE-2", "warned"),
        finding("b", "pkg:npm/a", "CVE-10", "blocked"),
        finding("c", "pkg:npm/a", "CVE-1", "passed"),
    ];
    fill(&acme, snapshots.to_vec(), findings.to_vec()).await;
    fill(&globex, vec![snapshot("b", 9, "other")], vec![finding("b", "pkg:npm/secret", "CVE-9", "blocked")]).await;

    // Oldest first: by time, then id.
    assert_eq!(ids(source, &acme).await, ["c", "a", "b"]);
    assert_eq!(source.snapshots(&acme).await.expect("list").pop().map(|name| name.generated_at), Some(at(2)));
    assert_eq!(source.newest(&acme).await.expect("read"), Some(snapshots[0].clone()));
    assert_eq!(source.snapshot(&acme, "c").await.expect("read"), Some(snapshots[1].clone()));
    assert_eq!(source.snapshot(&acme, "absent").await.expect("read"), None);
    let reference = snapshots[0].reference();
    assert_eq!(reference.decision_trace.as_deref(), Some("sha256:trace"));

    // Findings come in key order, every member as it was.
    assert_eq!(read(source, &acme, "b").await, [2, 1, 0].map(|at: usize| findings[at].clone()));
    assert_eq!(read(source, &acme, "c").await, [findings[3].clone()]);
    assert_eq!(read(source, &acme, "a").await, []);
    assert_eq!(read(source, &acme, "absent").await, []);
    let pinned = Findings::read(source, &acme, "b", |_, _| {}).await.expect("read");
    assert_eq!((pinned.reference.count, pinned.tally.by_status["warned"]), (3, 2));
    assert_eq!(Findings::read(source, &acme, "b", |_, _| {}).await.expect("read"), pinned);

    // More than a batch, and a finding that is larger than one.
    let mut many: Vec<_> = (0..3_000).map(|n| finding("m", &format!("pkg:npm/{n:05}"), "CVE-1", "warned")).collect();
    let long = "x".repeat(3 << 20);
    many[1_500].raw = Bytes::from(format!(
        "{{\"advisory\":\"CVE-1\",\"finding_id\":\"f\",\"note\":\"{long}\",\"severity\":\"high\",\"snapshot_id\":\"m\",\
         \"status\":\"warned\",\"subject\":\"pkg:npm/01500\"}}"
    ));
    fill(&acme, vec![snapshot("m", 5, "x")], many.clone()).await;
    assert!(read(source, &acme, "m").await == many, "3,000 findings are not what was put");

    // No tenant sees another's.
    assert_eq!(read(source, &globex, "b").await, [finding("b", "pkg:npm/secret", "CVE-9", "blocked")]);
    assert_eq!(
        (ids(source, &globex).await, source.snapshot(&globex, "c").await.expect("read")),
        (vec!["b".to_owned()], None)
    );
    let stranger = tenant("stranger");
    assert!(ids(source, &stranger).await.is_empty());
    assert_eq!(source.snapshot(&stranger, "b").await.expect("read"), None);
    assert_eq!(source.newest(&stranger).await.expect("read"), None);
    assert!(read(source, &stranger, "b").await.is_empty());
}

async fn snapshots_are_replaced_by_id<S: PolicyStore + PolicySource>(store: &S) {
    let tenant = tenant("snapshots");
    for (id, micros, note, expected) in [
        ("b", 2, "x", PutRecord::Added),
        ("c", 1, "x", PutRecord::Added),
        ("b", 2, "x", PutRecord::Unchanged),
        ("c", 3, "y", PutRecord::Changed),
    ] {
        let put = store.put_snapshot(&tenant, snapshot(id, micros, note)).await.expect("put");
        assert_eq!(put, expected, "{id} {micros}");
    }
    assert_eq!(ids(store, &tenant).await, ["b", "c"]);
    assert_eq!(store.newest(&tenant).await.expect("read"), Some(snapshot("c", 3, "y")));
}

async fn findings_are_replaced_by_key<S: PolicyStore + PolicySource>(store: &S) {
    let tenant = tenant("findings");
    let all = vec![finding("s", "pkg:npm/b", "CVE-1", "warned"), finding("s", "pkg:npm/a", "CVE-2", "warned")];
    let put = store.put_findings(&tenant, all.clone()).await.expect("put");
    assert_eq!(put, [PutRecord::Added; 2]);
    let changed = finding("s", "pkg:npm/b", "CVE-1", "ignored");
    let put = store.put_findings(&tenant, vec![all[1].clone(), changed.clone()]).await.expect("put");
    assert_eq!(put, [PutRecord::Unchanged, PutRecord::Changed]);
    assert_eq!(read(store, &tenant, "s").await, [all[1].clone(), changed]);
}

async fn a_catalogue_is_replaced_by_name(store: &dyn PolicyStore) {
    let tenant = tenant("enrichment");
    let catalogue = |raw: &'static str| Enrichment {
        name: "cisa-kev".to_owned(),
        source: "enrichment/kev".to_owned(),
        observed_at: at(5),
        digest: Digest::from_bytes([1; 32]),
        raw: Bytes::from_static(raw.as_bytes()),
    };
    for (raw, expected) in [("1", PutRecord::Added), ("1", PutRecord::Unchanged), ("2", PutRecord::Changed)] {
        assert_eq!(store.put_enrichment(&tenant, catalogue(raw)).await.expect("put"), expected);
    }
    assert_eq!(store.enrichments(&tenant).await.expect("list"), [catalogue("2")]);
}
