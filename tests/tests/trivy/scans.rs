//! Scans of lock files and of systems, against the sample advisories.

use std::path::PathBuf;

use export_tests::{Deployment, Scanner, evidence_folder, light, workspace};

use crate::expected::{EVIDENCE, EVIDENCE_ALMA, LOCK_FILES, SYSTEMS};
use crate::exported::{export, samples, scanners};

fn fixture(path: &str) -> PathBuf {
    workspace().join("tests/fixtures/trivy").join(path)
}

#[tokio::test(flavor = "multi_thread")]
async fn lock_files_and_systems_are_found_to_be_what_the_advisories_say() {
    let _turn = light().await;
    let mut deployment = Deployment::all().await.unwrap();
    deployment.import(&[samples().as_path()]).unwrap();
    let database = export(&mut deployment, "trivy-db").await;
    let mut faults = Vec::new();
    for scanner in scanners(&deployment, &[&database]) {
        scan_lock_files(&scanner, &mut faults);
        scan_systems(&scanner, &mut faults);
        check_detail(&scanner);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn lock_files_and_a_system_are_found_to_be_what_the_real_advisories_say() {
    let Some(evidence) = evidence_folder() else { return };
    let _turn = light().await;
    let mut deployment = Deployment::all().await.unwrap();
    deployment.import(&[evidence.join("advisories/osv").as_path()]).unwrap();
    let database = export(&mut deployment, "trivy-db").await;
    let mut faults = Vec::new();
    for scanner in scanners(&deployment, &[&database]) {
        for (folder, expected) in EVIDENCE {
            let detected = scanner.folder(&fixture("evidence").join(folder)).unwrap();
            note(&mut faults, &scanner, folder, &detected.lines(), expected);
        }
        let detected = scanner.sbom(&fixture("evidence/alma.cdx.json")).unwrap();
        let (openssh, others): (Vec<String>, Vec<String>) =
            detected.lines().into_iter().partition(|line| line.starts_with("openssh-server "));
        note(&mut faults, &scanner, "alma", &others, &EVIDENCE_ALMA);
        let regression = "openssh-server 8.7p1-38.el9 CVE-2024-6387 8.7p1-38.el9_4.1 HIGH alma";
        assert!(openssh.iter().any(|line| line == regression), "{openssh:#?}");
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn scan_lock_files(scanner: &Scanner, faults: &mut Vec<String>) {
    for (folder, expected) in LOCK_FILES {
        let vulnerable = scanner.folder(&fixture("vulnerable").join(folder)).unwrap();
        note(faults, scanner, folder, &vulnerable.lines(), expected);
        let clean = scanner.folder(&fixture("clean").join(folder)).unwrap();
        assert!(clean.packages.len() >= 2, "{folder}: {:?}", clean.packages);
        note(faults, scanner, &format!("clean {folder}"), &clean.lines(), &[]);
    }
}

fn scan_systems(scanner: &Scanner, faults: &mut Vec<String>) {
    for (system, expected) in SYSTEMS {
        let document = format!("systems/{system}.cdx.json");
        let vulnerable = scanner.sbom(&fixture("vulnerable").join(&document)).unwrap();
        note(faults, scanner, system, &vulnerable.lines(), &expected);
        let clean = scanner.sbom(&fixture("clean").join(&document)).unwrap();
        assert_eq!(clean.packages.len(), 2, "{system}");
        note(faults, scanner, &format!("clean {system}"), &clean.lines(), &[]);
    }
}

fn note(faults: &mut Vec<String>, scanner: &Scanner, what: &str, found: &[String], expected: &[&str]) {
    if found != expected {
        let program = scanner.trivy().program();
        faults.push(format!("{program}, {what}: found\n  {}\nfor\n  {}", found.join("\n  "), expected.join("\n  ")));
    }
}

/// What Trivy shows beside a finding.
fn check_detail(scanner: &Scanner) {
    let detected = scanner.folder(&fixture("vulnerable/maven")).unwrap();
    let found = detected.detail("CVE-2021-44228").unwrap();
    assert!(found["Title"].as_str().unwrap().to_lowercase().contains("log4"), "{found:#}");
    assert!(found["Description"].as_str().unwrap().len() > 40, "{found:#}");
    assert!(found["CweIDs"].as_array().unwrap().iter().any(|cwe| cwe == "CWE-502"), "{found:#}");
    assert!(!found["References"].as_array().unwrap().is_empty(), "{found:#}");
    assert_eq!(found["SeveritySource"], "ghsa", "{found:#}");
    assert_eq!(found["CVSS"]["ghsa"]["V3Score"], 10.0, "{found:#}");
    assert_eq!(found["Status"], "fixed", "{found:#}");
    assert!(found["PublishedDate"].as_str().unwrap().starts_with("2021-12-10"), "{found:#}");
}
