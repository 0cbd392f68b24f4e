//! The whole real evidence: nothing is lost, and what cannot be taken is named.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use export_contract::TenantId;
use export_evidence::import::{Class, ImportOptions, ImportSummary, NoProgress, import};
use export_evidence::policy::SqlitePolicyStore;
use export_evidence::{EvidenceLedger as _, SqliteLedger};

use crate::memory::{MemoryLedger, MemoryPolicy};

#[expect(clippy::disallowed_methods, reason = "tests are told by the environment")]
fn evidence() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/evidence");
    let folder = std::env::var_os("EXPORT_EVIDENCE").map_or_else(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no real evidence at {}", folder.display());
    None
}

fn options() -> ImportOptions {
    let tenant: TenantId = "acme".parse().unwrap();
    ImportOptions::new(tenant, "2026-11-23T00:00:00Z".parse().unwrap())
}

/// Count and kind of each pack by its path, as the manifest of the corpus has them.
fn packs(folder: &Path) -> BTreeMap<String, (u64, String)> {
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("MANIFEST.json")).unwrap()).unwrap();
    let packs = manifest["packs"].as_array().unwrap().iter();
    packs
        .map(|pack| {
            let path = pack["path"].as_str().unwrap();
            let source = path.strip_suffix("/docs.jsonl.zst").or_else(|| path.strip_suffix(".tar.zst")).unwrap();
            (source.to_owned(), (pack["count"].as_u64().unwrap(), pack["kind"].as_str().unwrap().to_owned()))
        })
        .collect()
}

fn check_counts(summary: &ImportSummary, folder: &Path) {
    let packs = packs(folder);
    for (source, (count, kind)) in &packs {
        let rows: Vec<_> = summary.rows.iter().filter(|row| row.source == *source).collect();
        let read: u64 = rows.iter().map(|row| row.counts.read).sum();
        let refused: u64 = rows.iter().map(|row| row.counts.refused).sum();
        assert_eq!(read, *count, "documents of {source}");
        let expected = if kind == "malformed" || source == "sboms/other-formats" { *count } else { 0 };
        assert_eq!(refused, expected, "refused documents of {source}");
        for row in rows.iter().filter(|row| row.counts.refused == 0 && row.counts.read > 0) {
            assert_eq!(row.kind.as_str(), kind, "kind of {source}");
        }
    }
    let named: Vec<_> = summary.rows.iter().filter(|row| row.counts.read > 0).map(|row| &row.source).collect();
    assert!(named.iter().all(|source| packs.contains_key(*source)), "{named:?}");
}

#[tokio::test]
async fn every_pack_is_imported_and_every_malformed_document_refused() {
    let Some(folder) = evidence() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let reject_file = scratch.path().join("rejects.jsonl");
    let ledger = MemoryLedger { without_raw: true, ..MemoryLedger::default() };
    let policy = MemoryPolicy::default();
    let options = ImportOptions { reject_file: Some(reject_file.clone()), ..options() };
    let summary =
        import(&ledger, &policy, std::slice::from_ref(&folder), options.clone(), Arc::new(NoProgress)).await.unwrap();
    check_counts(&summary, &folder);

    let stored = ledger.all();
    let of = |kind| summary.of(kind).added;
    assert_eq!(stored.len() as u64, of(Class::Advisory) + of(Class::Vex) + of(Class::Sbom), "no record was lost");
    assert_eq!(
        (of(Class::Advisory), of(Class::Vex), of(Class::Sbom), of(Class::Enrichment)),
        (83_473, 3_422, 1_234, 1)
    );
    assert_eq!(policy.enrichments.lock().unwrap().len(), 1);

    let rejects = std::fs::read_to_string(&reject_file).unwrap();
    assert_eq!(rejects.lines().count() as u64, summary.total.refused);
    for line in rejects.lines() {
        let refusal: serde_json::Value = serde_json::from_str(line).unwrap();
        for member in ["path", "entry", "code", "reason", "source"] {
            assert!(refusal[member].as_str().is_some_and(|text| !text.is_empty()), "{member} of {line}");
        }
    }

    let again = import(&ledger, &policy, &[folder], options, Arc::new(NoProgress)).await.unwrap();
    assert_eq!((again.total.added, again.total.changed), (0, 0), "importing twice changes nothing");
    assert_eq!(again.total.unchanged, summary.total.added);
}

#[tokio::test]
async fn the_embedded_ledger_takes_the_whole_evidence_twice_and_a_pack_alone_under_the_same_name() {
    let Some(folder) = evidence() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(&scratch.path().join("evidence.db")).unwrap();
    let policy = SqlitePolicyStore::open(&scratch.path().join("policy.db")).unwrap();
    let progress = Arc::new(NoProgress);
    let first = import(&ledger, &policy, std::slice::from_ref(&folder), options(), progress.clone()).await.unwrap();
    check_counts(&first, &folder);

    let tenant: TenantId = "acme".parse().unwrap();
    let watermark = ledger.watermark(&tenant).await.unwrap();
    assert_eq!(watermark.sequence.0, first.watermark);
    let visible: u64 =
        ledger.sources(&tenant, watermark.sequence).await.unwrap().iter().map(|source| source.records).sum();
    assert_eq!(visible, 83_473 + 3_422 + 1_234);

    let again = import(&ledger, &policy, std::slice::from_ref(&folder), options(), progress.clone()).await.unwrap();
    assert_eq!((again.total.added, again.total.changed, again.total.unchanged), (0, 0, first.total.added));
    assert_eq!(again.watermark, first.watermark, "an import that changes nothing moves nothing");
    let alone = import(&ledger, &policy, &[folder.join("vex/csaf/cisa")], options(), progress).await.unwrap();
    assert_eq!((alone.total.added, alone.total.unchanged), (0, 2_145));
}
