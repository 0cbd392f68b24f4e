//! Archives of Java, found through our index and judged with our database.

use std::path::{Path, PathBuf};
use std::process::Command;

use export_tests::{Deployment, Scanner, Trivy, evidence_folder, light, output, python};
use serde_json::{Value, json};

use crate::exported::{export, judge, samples, scanners};

/// Writes an archive that holds one text and nothing that says what it is.
fn jar(folder: &Path, name: &str, text: &str) -> PathBuf {
    std::fs::create_dir_all(folder).unwrap();
    let inside = folder.join("Payload.class");
    std::fs::write(&inside, text).unwrap();
    let archive = folder.join(name);
    output(python().args(["-m", "zipfile", "-c"]).arg(&archive).arg(&inside)).unwrap();
    std::fs::remove_file(inside).unwrap();
    archive
}

fn sha1(file: &Path) -> String {
    let line = output(Command::new("sha1sum").arg(file)).unwrap();
    line.split_whitespace().next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jar_is_known_by_its_digest_and_its_vulnerabilities_by_what_it_is_known_as() {
    let _turn = light().await;
    let mut deployment = Deployment::all().await.unwrap();
    let root = deployment.folder().join("root");
    let library = root.join("opt/app/lib");
    let known = jar(&library, "renamed.jar", "an archive that an SBOM knows");
    jar(&library, "commons-text-1.9.jar", "an archive that only its name tells");
    jar(&library, "stranger.jar", "an archive that nobody knows");
    let sbom = deployment.folder().join("sbom/app.cdx.json");
    std::fs::create_dir_all(sbom.parent().unwrap()).unwrap();
    let document = json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "serialNumber": "urn:uuid:6c1c1c5f-0c51-4fd2-8a1f-0a2b9c3d4e5f",
        "metadata": { "component": { "type": "application", "name": "app", "version": "1.0", "purl": "pkg:generic/app@1.0" } },
        "components": [{
            "type": "library", "group": "org.apache.logging.log4j", "name": "log4j-core", "version": "2.14.1",
            "purl": "pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1?type=jar",
            "hashes": [{ "alg": "SHA-1", "content": sha1(&known) }]
        }]
    });
    std::fs::write(&sbom, document.to_string()).unwrap();
    deployment.import(&[samples().as_path(), sbom.as_path()]).unwrap();
    let database = export(&mut deployment, "trivy-db").await;
    let index = export(&mut deployment, "trivy-java-db").await;
    let found: Vec<(String, Vec<String>)> = scanners(&deployment, &[&database, &index])
        .iter()
        .map(|scanner| {
            let detected = scanner.root(&root).unwrap();
            let found =
                detected.findings.iter().map(|found| format!("{} {} {}", found.package, found.installed, found.id));
            (scanner.trivy().program().to_owned(), found.collect())
        })
        .collect();
    let expected = [
        "org.apache.commons:commons-text 1.9 CVE-2022-42889",
        "org.apache.logging.log4j:log4j-core 2.14.1 CVE-2021-44228",
        "org.apache.logging.log4j:log4j-core 2.14.1 CVE-2021-45046",
    ];
    for (trivy, found) in found {
        assert_eq!(found, expected, "{trivy}");
    }
    // Without the one document, nobody knows the archive.
    let mut ignorant = Deployment::all().await.unwrap();
    ignorant.import(&[samples().as_path()]).unwrap();
    let database = export(&mut ignorant, "trivy-db").await;
    let index = export(&mut ignorant, "trivy-java-db").await;
    for scanner in scanners(&ignorant, &[&database, &index]) {
        let detected = scanner.root(&root).unwrap();
        let ids: Vec<&str> = detected.findings.iter().map(|found| found.id.as_str()).collect();
        assert_eq!(ids, ["CVE-2022-42889"], "{}", scanner.trivy().program());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_says_of_every_archive_what_an_sbom_says() {
    let _turn = light().await;
    let mut deployment = Deployment::all().await.unwrap();
    let mut inputs = vec![samples().join("sboms")];
    let evidence = evidence_folder();
    inputs.extend(evidence.iter().map(|folder| folder.join("sboms")));
    deployment.import(&inputs.iter().map(PathBuf::as_path).collect::<Vec<_>>()).unwrap();
    let index = export(&mut deployment, "trivy-java-db").await;
    let cache = deployment.folder().join("cache");
    let scanner = Scanner::new(Trivy::Current, cache, &[index.unpacked.as_path()]).unwrap();
    let report = output(judge("java_index.py").arg(scanner.java_index()).args(&inputs)).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["count"], 0, "{report:#}");
    let rows = report["rows"].as_u64().unwrap();
    assert!(rows >= if evidence.is_some() { 5_000 } else { 5 }, "{report:#}");
}
