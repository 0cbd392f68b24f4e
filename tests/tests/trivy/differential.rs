//! Thousands of packages, judged by Trivy with our database and by an evaluator of OSV in Python (`tests/judges`) that shares nothing with us.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use export_tests::{Deployment, Scanner, Trivy, evidence_folder, heavy, output};
use serde::Deserialize;
use serde_json::Value;

use crate::exported::{export, invented, judge, samples, scanners};

/// Pairs drawn of each ecosystem.
const PAIRS_EACH: &str = "600";

/// A package at a version, and what the evaluator says of it.
#[derive(Debug, Deserialize)]
struct Pair {
    name: String,
    version: String,
    /// What must be found.
    ids: BTreeSet<String>,
    /// Of advisories with a boundary that is no version of the ecosystem.
    unparsed: BTreeSet<String>,
    /// Of advisories that name no fixed version.
    unfixed: BTreeSet<String>,
    /// Of advisories for packages that were rebuilt with a module of the distribution.
    modules: BTreeSet<String>,
    /// How many ways advisories write the name in.
    spellings: usize,
}

/// A verdict in which the two differ.
struct Difference<'p> {
    trivy: Trivy,
    ecosystem: &'p str,
    pair: &'p Pair,
    id: &'p str,
    /// The evaluator finds it and Trivy does not.
    missing: bool,
}

impl Difference<'_> {
    /// Why the two differ and neither is to be changed; `None`: a fault.
    fn explanation(&self) -> Option<&'static str> {
        let Self { trivy, ecosystem, pair, id, missing } = self;
        let version = pair.version.split('+').next().unwrap_or_default();
        let prerelease = version.split_once('-').is_some_and(|(_, end)| !end.bytes().all(|byte| byte.is_ascii_digit()));
        let is = |name: &str| ecosystem.split(':').next() == Some(name);
        if pair.unparsed.contains(*id) {
            return Some(
                "an event of the range is no version: the evaluator leaves it out, the export the whole range",
            );
        }
        if (is("AlmaLinux") || is("Rocky Linux")) && pair.version.contains(".module") && *missing {
            return Some("Trivy judges packages of modules only where the SBOM names the module");
        }
        if (is("AlmaLinux") || is("Rocky Linux")) && pair.modules.contains(*id) && *missing {
            return Some(
                "packages of modules are written under their stream: others of the same name are not concerned",
            );
        }
        if is("AlmaLinux") && (id.starts_with("ALBA-") || id.starts_with("ALEA-")) && *missing {
            return Some("an erratum that fixes no vulnerability is not written");
        }
        if (is("AlmaLinux") || is("Rocky Linux") || is("Alpine")) && pair.unfixed.contains(*id) && *missing {
            return Some("Trivy finds on these systems only what has a fix");
        }
        if is("Bitnami") && prerelease {
            return Some("Trivy matches a pre-release of Bitnami only against bounds of the same three numbers");
        }
        if *missing && ["Ubuntu:Pro:22.04:LTS", "Ubuntu:Pro:24.04:LTS"].contains(ecosystem) {
            return Some("Trivy knows no extended support of this release yet, and looks at its standard support");
        }
        // In npm a number alone is a pre-release too.
        if is("npm") && version.contains('-') && *missing && *trivy == Trivy::Older {
            return Some("Trivy 0.59 matches a pre-release of npm only against bounds of the same three numbers");
        }
        if is("PyPI") && pair.version.contains('+') {
            return Some("Trivy, as PEP 440 has it for specifiers, ignores a local version where the bound has none");
        }
        if is("Packagist") && prerelease {
            return Some("Trivy compares the stability names of Composer as text: RC comes before beta");
        }
        if is("NuGet") && pair.spellings > 1 && *missing && *trivy == Trivy::Older {
            return Some("Trivy 0.59 looks up a name of NuGet as it is written, and advisories write it differently");
        }
        None
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trivy_and_an_independent_evaluator_agree_on_thousands_of_packages() {
    let _turn = heavy().await;
    let mut deployment = Deployment::all().await.unwrap();
    let mut inputs = vec![samples(), invented(deployment.folder())];
    let evidence = evidence_folder();
    inputs.extend(evidence.iter().map(|folder| folder.join("advisories/osv")));
    deployment.import(&inputs.iter().map(PathBuf::as_path).collect::<Vec<_>>()).unwrap();
    let database = export(&mut deployment, "trivy-db").await;
    let drawn = deployment.folder().join("drawn");
    let summary = output(judge("sample.py").arg(&drawn).arg(PAIRS_EACH).args(&inputs)).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    let total: u64 = each(&summary).map(|(_, one)| one["pairs"].as_u64().unwrap()).sum();
    let affected: u64 = each(&summary).map(|(_, one)| one["affected"].as_u64().unwrap()).sum();
    assert!(total >= if evidence.is_some() { 5_000 } else { 2_000 }, "{total} pairs");
    assert!(
        affected * 4 > total && affected * 4 < total * 3,
        "{affected} of {total} are affected: too one-sided a draw"
    );
    for scanner in scanners(&deployment, &[&database]) {
        compare(&scanner, &drawn, &summary);
    }
}

fn each(summary: &Value) -> impl Iterator<Item = (&String, &Value)> {
    summary["ecosystems"].as_object().unwrap().iter()
}

#[expect(clippy::print_stderr, reason = "whoever reads the test's output sees what was explained away, and how often")]
fn compare(scanner: &Scanner, drawn: &Path, summary: &Value) {
    let mut explained: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut faults = Vec::new();
    let (mut judged, mut equal) = (0_u64, 0_u64);
    for (file, facts) in each(summary).filter(|(_, facts)| facts["pairs"] != 0) {
        let ecosystem = facts["ecosystem"].as_str().unwrap();
        let lines = std::fs::read_to_string(drawn.join(format!("{file}.jsonl"))).unwrap();
        let pairs: Vec<Pair> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let detected = scanner.sbom(&drawn.join(format!("{file}.cdx.json"))).unwrap();
        let mut found: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
        for finding in &detected.findings {
            found.entry((&finding.package, &finding.installed)).or_default().insert(&finding.id);
        }
        for pair in &pairs {
            let found = found.remove(&(pair.name.as_str(), pair.version.as_str())).unwrap_or_default();
            let wanted: BTreeSet<&str> = pair.ids.iter().map(String::as_str).collect();
            judged += (&found | &wanted).len().max(1) as u64;
            equal += if found.is_empty() && wanted.is_empty() { 1 } else { (&found & &wanted).len() as u64 };
            for id in &found ^ &wanted {
                let difference =
                    Difference { trivy: scanner.trivy(), ecosystem, pair, id, missing: wanted.contains(id) };
                match difference.explanation() {
                    Some(rule) => *explained.entry((ecosystem, rule)).or_default() += 1,
                    None => faults.push(format!(
                        "{ecosystem} {} {}: {id} {}",
                        pair.name,
                        pair.version,
                        if difference.missing { "is missing" } else { "is too much" }
                    )),
                }
            }
        }
        assert!(found.is_empty(), "{ecosystem}: findings for what was not asked: {found:?}");
    }
    let program = scanner.trivy().program();
    eprintln!("{program}: {equal} of {judged} verdicts are equal");
    for ((ecosystem, rule), count) in &explained {
        eprintln!("{program}: {count} differ in {ecosystem}: {rule}");
    }
    assert!(faults.is_empty(), "{program}: {} differences:\n{}", faults.len(), faults.join("\n"));
    assert!(equal * 100 > judged * 90, "{program}: {equal} of {judged}");
}
