//! What could not be expressed, and what is in the database.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::severity::NAMES;

/// Examples that are kept of each reason.
const EXAMPLES: usize = 10;

/// `trivy/report.json`: what of the evidence is not in the database, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What is missing, by reason.
    pub not_expressed: BTreeMap<String, Reason>,
    /// Entries by bucket.
    pub entries: BTreeMap<String, u64>,
    /// Packages of which advisories write the name in several ways that Trivy takes for one; their advisories are merged.
    pub merged_names: u64,
    /// Entries that advisories of several data sources were merged into; they stand under the one that comes first in the order
    /// `ghsa`, `govulndb`, `ruby-advisory-db`, `php-security-advisories`, `nodejs-security-wg`, `bitnami`, `julia`, `osv`, `project-kb`.
    pub merged_sources: u64,
    /// Archives that several components claim; the most frequent claim is written, of equals the first by name.
    #[serde(skip_serializing_if = "is_zero")]
    pub contested_archives: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What is missing for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// How often.
    pub count: u64,
    /// The first ones, in the order of their names.
    pub examples: Vec<Example>,
}

/// Something that is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// Id of the advisory, or subject of the document.
    pub id: String,
    /// Ecosystem, where it is about one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ecosystem: String,
    /// Package, where it is about one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub package: String,
    /// What exactly, as far as there is more to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl Report {
    pub(crate) fn take(&mut self, reason: &str, example: Example) {
        let reason = self.not_expressed.entry(reason.to_owned()).or_default();
        reason.count += 1;
        if reason.examples.len() < EXAMPLES {
            reason.examples.push(example);
        }
    }
}

/// `trivy/summary.json`, for profiles that ask for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// What is known by ecosystem: a language, such as `pip`, or a release of a distribution, such as `debian 12`.
    pub ecosystems: BTreeMap<String, EcosystemSummary>,
    /// Vulnerabilities by severity.
    pub severities: BTreeMap<&'static str, u64>,
}

/// What is known of an ecosystem.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EcosystemSummary {
    /// Names of packages; one that is written in two ways for Trivy's sake counts twice.
    pub packages: u64,
    /// Vulnerabilities of packages, each of each package counted.
    pub advisories: u64,
    /// The same by the severity that the advisories themselves give.
    pub severities: BTreeMap<&'static str, u64>,
}

impl Summary {
    pub(crate) fn take(&mut self, ecosystem: &str, new_package: bool, severity: u8) {
        let summary = self.ecosystems.entry(ecosystem.to_owned()).or_default();
        summary.packages += u64::from(new_package);
        summary.advisories += 1;
        let name = NAMES.get(usize::from(severity)).copied().unwrap_or(NAMES[0]);
        *summary.severities.entry(name).or_default() += 1;
    }
}
