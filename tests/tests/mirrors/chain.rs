//! A site that follows a mirror through a chain of deltas.

use std::process::Command;

use export_tests::{Cosign, Deployment, light, output};
use serde_json::Value;

use crate::world::{Evidence, applied, apply, assert_same_as_full, current, delta, exportctl, forget, full, state};

#[tokio::test(flavor = "multi_thread")]
async fn a_site_follows_a_mirror_and_refuses_what_does_not_fit() {
    let _turn = light().await;
    let mut deployment = Deployment::all().await.unwrap();
    let evidence = Evidence::new(&deployment);
    for number in 0..60 {
        evidence.advisory(number, 1);
    }
    evidence.vex(1, "affected").vex(2, "affected").sbom(1, 1).sbom(2, 1).import(&deployment);
    let (first, first_bundle) = full(&mut deployment, "mirror-full").await;
    let site = deployment.folder().join("site");

    // The layout is that of the specification, and readable by anybody.
    let paths = first_bundle.paths().unwrap();
    for path in [
        "README.md",
        "data/raw/advisories.jsonl.zst",
        "data/raw/vex.jsonl.zst",
        "indexes/advisories.index.json",
        "indexes/sboms.index.json",
        "indexes/vex.index.json",
        "manifests/export.json",
    ] {
        assert!(paths.iter().any(|found| found == path), "{path} in {paths:?}");
    }
    assert_eq!(paths.iter().filter(|path| path.starts_with("data/raw/sboms/")).count(), 2);
    assert_eq!(applied(&deployment, first_bundle.folder(), &site)["change"], "full");
    assert_eq!(current(&site), state(&first));
    assert_same_as_full(&site, &first_bundle);

    // Something of every kind: added, changed, gone, in each form that records have.
    evidence.advisory(7, 2).advisory(100, 1).vex(1, "fixed").vex(3, "affected").sbom(2, 2).sbom(3, 1);
    assert_eq!(forget(&deployment, "advisory", "TEST-0009").unwrap(), 1);
    assert_eq!(forget(&deployment, "sbom", "%app-1@1").unwrap(), 1);
    evidence.import(&deployment);
    // What was forgotten came back with the import: it must be forgotten once more.
    forget(&deployment, "advisory", "TEST-0009").unwrap();
    forget(&deployment, "sbom", "%app-1@1").unwrap();
    let (second, second_delta) = delta(&mut deployment, "mirror-delta", first.run.id.as_str()).await;
    let (_, second_full) = full(&mut deployment, "mirror-full").await;
    let report: Value = serde_json::from_str(
        &output(exportctl(&deployment, &["verify", "-o", "json"]).arg(second_delta.folder())).unwrap(),
    )
    .unwrap();
    assert_eq!(report["base"]["manifestDigest"], state(&first));
    let manifest: Value =
        serde_json::from_slice(&std::fs::read(second_delta.folder().join("export.json")).unwrap()).unwrap();
    assert_eq!(manifest["delta"]["tombstones"], 2, "{manifest:#}");
    assert_eq!(manifest["delta"]["removed"].as_array().unwrap().len(), 1);
    let unpacked = second_delta.unpack().unwrap();
    let tombstones = output(Command::new("zstd").arg("-dc").arg(unpacked.join("data/tombstones.jsonl.zst"))).unwrap();
    assert!(tombstones.contains("TEST-0009") && tombstones.contains("app-1@1"), "{tombstones}");
    let changes =
        output(Command::new("zstd").arg("-dc").arg(unpacked.join("data/raw/advisories.changes.jsonl.zst"))).unwrap();
    assert_eq!(changes.lines().count(), 2, "{changes}");

    // A third state, by a delta whose base is itself one that a delta led to, named by its digest.
    evidence.advisory(8, 2).import(&deployment);
    forget(&deployment, "advisory", "TEST-0009").unwrap();
    forget(&deployment, "sbom", "%app-1@1").unwrap();
    let (third, third_delta) = delta(&mut deployment, "mirror-delta", &state(&second)).await;
    let (_, third_full) = full(&mut deployment, "mirror-full").await;

    // Out of order: refused by name, nothing changed, kept in quarantine.
    let refused = apply(&deployment, third_delta.folder(), &site);
    assert_eq!(refused.status.code(), Some(16));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains(&state(&second)) && said.contains(&state(&first)), "{said}");
    assert_eq!(current(&site), state(&first));
    let reason = std::fs::read_to_string(site.join("quarantine/000001/reason.json")).unwrap();
    assert!(reason.contains("\"exitCode\": 16"), "{reason}");

    assert_eq!(applied(&deployment, second_delta.folder(), &site)["change"], "delta");
    assert_same_as_full(&site, &second_full);
    assert_eq!(applied(&deployment, second_delta.folder(), &site)["change"], "nothing");
    assert_eq!(applied(&deployment, third_delta.folder(), &site)["change"], "delta");
    assert_eq!(current(&site), state(&third));
    assert_same_as_full(&site, &third_full);

    // What a site holds verifies like a download, by ours and by cosign.
    let kept = site.join("current");
    output(&mut exportctl(&deployment, &["verify", kept.to_str().unwrap()])).unwrap();
    if let Some(cosign) = Cosign::installed() {
        let key = deployment.data().join("keys/cosign.pub");
        let bundle = kept.join("export.json.sigstore.json");
        let manifest = kept.join("tree/manifests/export.json");
        let arguments = [
            "verify-blob",
            "--key",
            key.to_str().unwrap(),
            "--bundle",
            bundle.to_str().unwrap(),
            "--insecure-ignore-tlog",
            manifest.to_str().unwrap(),
        ];
        let (accepted, said) = cosign.accepts(&site, &arguments).unwrap();
        assert!(accepted, "{said}");
    }

    // Backwards: not by an old bundle, one step by command.
    assert_eq!(apply(&deployment, second_delta.folder(), &site).status.code(), Some(16));
    assert_eq!(apply(&deployment, first_bundle.folder(), &site).status.code(), Some(16));
    output(&mut exportctl(&deployment, &["rollback", "--into", site.to_str().unwrap()])).unwrap();
    assert_eq!(current(&site), state(&second));
    let receipts = std::fs::read_dir(site.join("receipts")).unwrap().count();
    assert_eq!(receipts, 4, "full, two deltas, one step back");
}
