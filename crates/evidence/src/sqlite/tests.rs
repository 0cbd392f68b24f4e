use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use export_contract::RecordKey;
use export_contract::selectors::{Pattern, Selectors, Window};
use export_sqlite::rusqlite::params_from_iter;

use super::*;
use crate::PartSize;
use crate::compile::sql::Clause;

#[tokio::test]
async fn keeps_the_promises_of_the_port() {
    let folder = tempfile::tempdir().unwrap();
    let count = AtomicU32::new(0);
    crate::suite::conformance(async |terms| {
        let path = folder.path().join(format!("{}.db", count.fetch_add(1, Ordering::Relaxed)));
        Arc::new(SqliteLedger::open(&path).unwrap().with_lease(terms)) as Arc<dyn EvidenceLedger>
    })
    .await;
}

/// Every selector at once, so that no one of them talks the planner out of the index.
fn every_selector() -> Selectors {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let patterns = |texts: &[&str]| texts.iter().map(|text| Pattern((*text).to_owned())).collect();
    let instant = |micros| Timestamp::from_micros(micros).ok();
    Selectors {
        window: Some(Window { from: instant(1), until: instant(2) }),
        sources: texts(&["s", "t"]),
        ecosystems: texts(&["npm", "pypi"]),
        products: texts(&["pkg:npm/a", "pkg:npm/b"]),
        sbom_subjects: texts(&["a", "b"]),
        include: patterns(&["CVE-2024-*", "CVE-2025-1"]),
        exclude: patterns(&["GHSA-*"]),
        ..Selectors::default()
    }
}

#[tokio::test]
async fn cut_and_read_are_served_by_the_order_index_and_never_sorted() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(&folder.path().join("a.db")).unwrap();
    let key = RecordKey { subject: "a".into(), document_id: "b".into(), source: "c".into() };
    for selectors in [Selectors::default(), every_selector()] {
        let selection = Selection { tenant: "acme".parse().unwrap(), watermark: Sequence(9), selectors };
        let range = ReadRange {
            selection: selection.clone(),
            kind: RecordKind::Sbom,
            first: Some(key.clone()),
            last: Some(key.clone()),
            after: Some(key.clone()),
        };
        let cut = query::in_order(
            "e.subject, e.document_id, e.source, e.plain_bytes",
            &selection,
            RecordKind::Sbom,
            Clause::new("1", []),
        );
        let read = query::in_order(query::LINE, &selection, RecordKind::Sbom, query::bounds(&range));
        for (statement, index) in [(cut, "COVERING INDEX evidence_order"), (read, "INDEX evidence_order")] {
            let plan = plan(&ledger, statement).await;
            assert!(plan.starts_with(&format!("SEARCH e USING {index} (tenant=? AND kind=?")), "{plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{plan}");
        }
    }
    let whole = Selection { tenant: "acme".parse().unwrap(), watermark: Sequence(9), selectors: Selectors::default() };
    let resumed =
        ReadRange { selection: whole.clone(), kind: RecordKind::Vex, first: None, last: None, after: Some(key) };
    let read = query::in_order(query::LINE, &whole, RecordKind::Vex, query::bounds(&resumed));
    let plan = plan(&ledger, read).await;
    assert!(plan.ends_with("AND (subject,document_id,source)>(?,?,?))"), "a cursor is a seek: {plan}");
}

async fn plan(ledger: &SqliteLedger, statement: Clause) -> String {
    ledger
        .read("explain".to_owned(), move |connection| {
            let mut prepared = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", statement.text))?;
            let steps = prepared.query_map(params_from_iter(&statement.values), |row| row.get::<_, String>(3))?;
            Ok(steps.collect::<Result<Vec<_>, _>>()?.join("\n"))
        })
        .await
        .unwrap()
}

#[tokio::test]
async fn a_thousand_entries_in_every_selector_are_no_problem() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(&folder.path().join("a.db")).unwrap();
    let texts = || (0..1_000).map(|n| format!("pkg:{n}"));
    let patterns = |end: &str| texts().map(|text| Pattern(format!("{text}{end}"))).collect();
    let selectors = Selectors {
        sources: texts().collect(),
        ecosystems: texts().collect(),
        products: texts().collect(),
        sbom_subjects: texts().collect(),
        include: patterns("*"),
        exclude: patterns("/*"),
        ..Selectors::default()
    };
    let selection = Selection { tenant: "acme".parse().unwrap(), watermark: Sequence(9), selectors };
    assert_eq!(ledger.cut(&selection, RecordKind::Sbom, PartSize::records(1), 0).await.unwrap(), []);
}

#[tokio::test]
async fn two_processes_share_a_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let (one, two) = (SqliteLedger::open(&path).unwrap(), SqliteLedger::open(&path).unwrap());
    let acme: TenantId = "acme".parse().unwrap();
    let session = one.begin_import(&acme).await.unwrap();
    assert!(matches!(two.begin_import(&acme).await.err().unwrap(), LedgerError::ImportInProgress { .. }));
    session.commit().await.unwrap();
    two.begin_import(&acme).await.unwrap().commit().await.unwrap();
}

#[tokio::test]
async fn a_file_of_a_newer_build_is_refused_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let newer: Vec<&str> = schema::SCHEMA.iter().copied().chain(["CREATE TABLE later (x)"]).collect();
    drop(Database::open(&path, &newer).unwrap());
    let refused = SqliteLedger::open(&path).unwrap_err();
    assert!(matches!(refused, LedgerError::Refused { .. }) && !refused.is_transient());
}
