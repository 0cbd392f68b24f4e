//! The conformance suite of [`PolicyStore`]: every driver runs it.

#![expect(clippy::expect_used, reason = "a test suite that is called from tests")]

use bytes::Bytes;
use export_contract::{Digest, TenantId, Timestamp};

use super::{Enrichment, FindingKey, PolicyFinding, PolicySnapshot, PolicyStore};
use crate::PutRecord;

fn tenant(name: &str) -> TenantId {
    TenantId::try_from(name.to_owned()).expect("a slug")
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).expect("a time near 1970")
}

fn snapshot(id: &str, micros: i64, raw: &'static str) -> PolicySnapshot {
    PolicySnapshot {
        snapshot_id: id.to_owned(),
        policy_version: "7".to_owned(),
        inputs_hash: "sha256:inputs".to_owned(),
        generated_at: at(micros),
        digest: Digest::from_bytes([7; 32]),
        raw: Bytes::from_static(raw.as_bytes()),
    }
}

fn finding(snapshot_id: &str, subject: &str, advisory: &str, status: &str) -> PolicyFinding {
    PolicyFinding {
        snapshot_id: snapshot_id.to_owned(),
        key: FindingKey { subject: subject.to_owned(), advisory: advisory.to_owned(), finding_id: String::new() },
        status: status.to_owned(),
        severity: "high".to_owned(),
        raw: Bytes::from(format!("{{\"status\":\"{status}\"}}")),
    }
}

/// Runs every check on an empty store.
///
/// # Panics
/// When the store breaks a promise of the port.
pub async fn keeps_the_port(store: &dyn PolicyStore) {
    snapshots_are_listed_oldest_first_and_replaced_by_id(store).await;
    findings_are_read_in_pages_in_key_order(store).await;
    a_catalogue_is_replaced_by_name(store).await;
    tenants_do_not_see_each_other(store).await;
}

async fn snapshots_are_listed_oldest_first_and_replaced_by_id(store: &dyn PolicyStore) {
    let tenant = tenant("snapshots");
    for (id, micros, raw, expected) in [
        ("b", 2, "{}", PutRecord::Added),
        ("c", 1, "{}", PutRecord::Added),
        ("a", 2, "{}", PutRecord::Added),
        ("a", 2, "{}", PutRecord::Unchanged),
        ("c", 3, "{\"x\":1}", PutRecord::Changed),
    ] {
        let put = store.put_snapshot(&tenant, snapshot(id, micros, raw)).await.expect("put");
        assert_eq!(put, expected, "{id} {micros}");
    }
    let listed = store.snapshots(&tenant).await.expect("list");
    assert_eq!(listed, [snapshot("a", 2, "{}"), snapshot("b", 2, "{}"), snapshot("c", 3, "{\"x\":1}")]);
}

async fn findings_are_read_in_pages_in_key_order(store: &dyn PolicyStore) {
    let tenant = tenant("findings");
    let all = vec![
        finding("s", "pkg:npm/b", "CVE-1", "warned"),
        finding("s", "pkg:npm/a", "CVE-2", "warned"),
        finding("s", "pkg:npm/a", "CVE-10", "blocked"),
        finding("other", "pkg:npm/a", "CVE-1", "passed"),
    ];
    let put = store.put_findings(&tenant, all.clone()).await.expect("put");
    assert_eq!(put, [PutRecord::Added; 4]);
    let changed = finding("s", "pkg:npm/b", "CVE-1", "ignored");
    let put = store.put_findings(&tenant, vec![all[1].clone(), changed.clone()]).await.expect("put");
    assert_eq!(put, [PutRecord::Unchanged, PutRecord::Changed]);

    let mut read = Vec::new();
    let mut after = None;
    loop {
        let page = store.findings(&tenant, "s", after.take(), 2).await.expect("read");
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 2);
        after = Some(last.key.clone());
        read.extend(page);
    }
    assert_eq!(read, [all[2].clone(), all[1].clone(), changed]);
    assert!(store.findings(&tenant, "absent", None, 9).await.expect("read").is_empty());
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

async fn tenants_do_not_see_each_other(store: &dyn PolicyStore) {
    let stranger = tenant("stranger");
    assert!(store.snapshots(&stranger).await.expect("list").is_empty());
    assert!(store.findings(&stranger, "s", None, 9).await.expect("read").is_empty());
    assert!(store.enrichments(&stranger).await.expect("list").is_empty());
}
