//! A database of very many advisories: its memory, and that Trivy reads it.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use export_tests::{Deployment, Store, heavy, peak_kib, soak};
use serde_json::json;

use crate::exported::{export, scanners};

/// Most memory that a process of adapt may ever have had (KiB).
const LIMIT_KIB: u64 = 256 << 10;
/// Advisories of a package.
const EACH: u32 = 6;

/// Advisories about packages of four ecosystems; number `n` is fixed in version `n % 9 + 1`.0.0.
fn advisories(folder: &Path, count: u32) -> PathBuf {
    let path = folder.join("many.jsonl");
    let mut file = BufWriter::new(File::create(&path).unwrap());
    for number in 0..count {
        let advisory = json!({
            "schema_version": "1.7.0",
            "id": format!("CVE-2099-{number:07}"),
            "modified": "2026-01-01T00:00:00Z",
            "summary": format!("Number {number} of many"),
            "details": format!("Whoever sends {:x} bytes to it is let in.", number.wrapping_mul(2_654_435_761)),
            "severity": [{ "type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H" }],
            "affected": [{
                "package": { "ecosystem": ecosystem(number), "name": name(number) },
                "ranges": [{
                    "type": "ECOSYSTEM",
                    "events": [{ "introduced": "0" }, { "fixed": fixed(number) }],
                }],
            }],
        });
        writeln!(file, "{advisory}").unwrap();
    }
    file.into_inner().unwrap();
    path
}

fn ecosystem(number: u32) -> &'static str {
    ["npm", "PyPI", "crates.io", "RubyGems"][number as usize / EACH as usize % 4]
}

fn name(number: u32) -> String {
    format!("package-{:06x}", number / EACH)
}

fn fixed(number: u32) -> String {
    format!("{}.0.0", number % 9 + 1)
}

/// A document of these advisories' packages, all in version 4.5.0.
fn sbom(folder: &Path, numbers: &[u32]) -> PathBuf {
    let purl_type = |number| match ecosystem(number) {
        "PyPI" => "pypi",
        "crates.io" => "cargo",
        "RubyGems" => "gem",
        _ => "npm",
    };
    let components: Vec<_> = numbers
        .iter()
        .map(|&number| {
            let purl = format!("pkg:{}/{}@4.5.0", purl_type(number), name(number));
            json!({ "type": "library", "name": name(number), "version": "4.5.0", "purl": purl, "bom-ref": purl })
        })
        .collect();
    let path = folder.join("sbom.cdx.json");
    let document = json!({ "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": components });
    std::fs::write(&path, document.to_string()).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_millions_is_built_in_256_mib_and_trivy_reads_it() {
    let _turn = heavy().await;
    let count: u32 = if soak() { 3_000_000 } else { 60_000 };
    let mut deployment = Deployment::apart(Store::Sqlite, 1).await.unwrap();
    let many = advisories(deployment.folder(), count);
    deployment.import(&[many.as_path()]).unwrap();
    std::fs::remove_file(&many).unwrap();

    let exported = export(&mut deployment, "trivy-db").await;
    let peak = peak_kib(deployment.pid("adapt-1").unwrap()).unwrap();
    println!("{count} advisories: adapt had {} MiB at its peak", peak >> 10);
    assert!(peak < LIMIT_KIB, "{peak} KiB of {LIMIT_KIB}");

    let packages = [0, count / 2 / EACH * EACH, count - EACH];
    let document = sbom(deployment.folder(), &packages);
    let mut expected: Vec<_> = packages
        .iter()
        .flat_map(|&first| first..first + EACH)
        // 4.5.0 is before what fixes it.
        .filter(|number| number % 9 + 1 > 4)
        .map(|number| (name(number), format!("CVE-2099-{number:07}"), fixed(number), "CRITICAL".to_owned()))
        .collect();
    expected.sort();
    for scanner in scanners(&deployment, &[&exported]) {
        let mut found: Vec<_> = scanner
            .sbom(&document)
            .unwrap()
            .findings
            .into_iter()
            .map(|finding| (finding.package, finding.id, finding.fixed, finding.severity))
            .collect();
        found.sort();
        assert_eq!(found, expected, "{:?}", scanner.trivy());
        // Each has a copy of the database, which is large.
        std::fs::remove_file(scanner.database()).unwrap();
    }
}
