//! What leaves the building: kits, layouts, records.

use std::process::Command;

use export_tests::{Deployment, light, output};

use crate::world::{Evidence, exportctl, full};

#[tokio::test(flavor = "multi_thread")]
async fn a_kit_verifies_itself_where_there_is_no_network() {
    let _turn = light().await;
    let mut deployment = Deployment::all().await.unwrap();
    let evidence = Evidence::new(&deployment);
    for number in 0..30 {
        evidence.advisory(number, 1);
    }
    evidence.sbom(1, 1).policy(1, &[(4, "blocked", "high")]).import(&deployment);
    let (_, mirror) = full(&mut deployment, "mirror-full").await;
    let folder = mirror.folder().to_str().unwrap();
    let kit = deployment.folder().join("kit");
    output(exportctl(&deployment, &["kit", folder, "--out"]).arg(&kit)).unwrap();
    let alone = || {
        let mut command = Command::new("unshare");
        command.args(["-rn", "sh"]).arg(kit.join("verify.sh"));
        command
    };
    let told = output(&mut alone()).unwrap();
    assert!(told.contains("bundle/bundle.tar: OK") && told.contains("export.json"), "{told}");
    let page = kit.join("bundle/export.json");
    let text = std::fs::read_to_string(&page).unwrap();
    std::fs::write(&page, text.replacen("advisories", "advisoriez", 1)).unwrap();
    assert!(output(&mut alone()).is_err());

    // The same as an OCI image layout, twice with the same bytes, which the verifier takes.
    let layouts = ["one", "two"].map(|name| deployment.folder().join(name));
    for layout in &layouts {
        output(exportctl(&deployment, &["pack", "--oci", folder, "--out"]).arg(layout)).unwrap();
    }
    output(Command::new("diff").arg("-r").args(&layouts)).unwrap();
    output(exportctl(&deployment, &["verify"]).arg(&layouts[0])).unwrap();

    // One record, wherever it is: by subject in the index, by document, as an SBOM, as a finding.
    for (record, part) in [
        ("TEST-0007", "advisory 7 in version 1"),
        ("pkg:generic/app-1@1", "\"bomFormat\":\"CycloneDX\""),
        ("pkg:npm/package-4@1.0.0", "\"status\":\"blocked\""),
    ] {
        let told = output(&mut exportctl(&deployment, &["extract", "--record", record, folder])).unwrap();
        assert!(told.contains(part) && told.lines().count() == 1, "{record}: {told}");
    }
    let raw = output(&mut exportctl(&deployment, &["extract", "--raw", "--record", "TEST-0007", folder])).unwrap();
    assert!(raw.starts_with("{\"affected\""), "{raw}");
    let absent = exportctl(&deployment, &["extract", "--record", "TEST-9999", folder]).output().unwrap();
    assert_eq!(absent.status.code(), Some(4));
}
