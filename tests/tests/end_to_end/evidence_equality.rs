//! The real evidence: every document comes out as it went in.

use std::collections::BTreeMap;

use export_contract::manifest::ExportManifest;
use export_tests::{Bundle, Deployment, evidence_folder, heavy};

/// The 18 MB document of the corpus, with room for another spelling of it.
const LONGEST: u64 = 17_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn every_document_of_the_real_evidence_is_exported_as_it_was() {
    let Some(evidence) = evidence_folder() else { return };
    let _turn = heavy().await;
    let mut deployment = Deployment::all().await.unwrap();
    let summary = deployment.import(&[evidence.as_path()]).unwrap();
    let refused = std::fs::read_to_string(deployment.rejects()).unwrap();
    for line in refused.lines() {
        assert!(
            line.contains("/malformed/") || line.contains("/sboms/other-formats.tar.zst"),
            "a document of a pack was refused: {line}"
        );
    }
    assert_eq!(summary["total"]["refused"].as_u64(), Some(refused.lines().count() as u64));
    let again = deployment.import(&[evidence.as_path()]).unwrap();
    assert_eq!((&again["total"]["added"], &again["total"]["changed"]), (&0.into(), &0.into()), "{again:#}");
    let finished = deployment.run("json:raw").await.unwrap();
    finished.assert_once();
    let bundle = deployment.download(&finished).await.unwrap();
    let unpacked = bundle.unpack().unwrap();
    let manifest: ExportManifest =
        serde_json::from_slice(&std::fs::read(unpacked.join("manifests/export.json")).unwrap()).unwrap();
    let records: BTreeMap<&str, u64> =
        manifest.contents.iter().filter_map(|content| Some((content.path.as_str(), content.records?))).collect();
    println!("{records:?}, {} bytes in the bundle", finished.bundle().bytes);
    assert!(records["data/raw/advisories.jsonl.zst"] > 79_000, "{records:?}");
    assert!(records["data/raw/vex.jsonl.zst"] > 3_000, "{records:?}");
    assert!(records["data/raw/sboms.jsonl.zst"] > 1_200, "{records:?}");
    let report = Bundle::read_with_python(&unpacked, &[evidence]).unwrap();
    for fault in ["missing", "different", "unexpected"] {
        assert_eq!(report[fault]["count"], 0, "{fault}: {:#}", report[fault]);
    }
    assert_eq!(report["compared"], report["originals"]);
    assert_eq!(report["compared"].as_u64(), Some(records.values().sum()));
    assert!(report["longest"].as_u64() > Some(LONGEST), "the longest record has {} bytes", report["longest"]);
}
