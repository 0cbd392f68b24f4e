//! Trivy's JSON report.

use std::collections::BTreeSet;

use anyhow::Context as _;
use serde_json::Value;

/// One package with one vulnerability.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Name of the package, as Trivy shows it.
    pub package: String,
    /// Its version.
    pub installed: String,
    /// The vulnerability: a CVE, else what the advisory is called.
    pub id: String,
    /// Versions that it is fixed in, empty if in none.
    pub fixed: String,
    /// `LOW`, `MEDIUM`, `HIGH`, `CRITICAL` or `UNKNOWN`.
    pub severity: String,
    /// Id of the data source.
    pub source: String,
}

/// What a scan found.
#[derive(Clone, Debug)]
pub struct Detected {
    /// Every finding, sorted.
    pub findings: Vec<Finding>,
    /// Name and version of every package that Trivy saw.
    pub packages: BTreeSet<(String, String)>,
    /// The report, for what the findings leave out.
    pub report: Value,
    /// What Trivy logged.
    pub log: String,
}

impl Detected {
    pub(super) fn read(report: &[u8], log: String) -> anyhow::Result<Self> {
        let report: Value = serde_json::from_slice(report).context("is no JSON")?;
        let mut findings = Vec::new();
        let mut packages = BTreeSet::new();
        for result in items(&report, "Results") {
            for package in items(result, "Packages") {
                packages.insert((text(package, "/Name"), text(package, "/Version")));
            }
            for found in items(result, "Vulnerabilities") {
                findings.push(Finding {
                    package: text(found, "/PkgName"),
                    installed: text(found, "/InstalledVersion"),
                    id: text(found, "/VulnerabilityID"),
                    fixed: text(found, "/FixedVersion"),
                    severity: text(found, "/Severity"),
                    source: text(found, "/DataSource/ID"),
                });
            }
        }
        findings.sort();
        Ok(Self { findings, packages, report, log })
    }

    /// Findings as lines `package installed id fixed severity source`, `-` where there is none.
    pub fn lines(&self) -> Vec<String> {
        let shown = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        self.findings
            .iter()
            .map(|found| {
                [&found.package, &found.installed, &found.id, &found.fixed, &found.severity, &found.source]
                    .map(|text| shown(text))
                    .join(" ")
            })
            .collect()
    }

    /// The first finding of this vulnerability, as Trivy reports it.
    pub fn detail(&self, id: &str) -> Option<&Value> {
        items(&self.report, "Results")
            .flat_map(|result| items(result, "Vulnerabilities"))
            .find(|found| found.get("VulnerabilityID").and_then(Value::as_str) == Some(id))
    }
}

fn items<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn text(value: &Value, path: &str) -> String {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned()
}
