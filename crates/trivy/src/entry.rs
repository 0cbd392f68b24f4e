//! Values: what parts stage of an advisory, and what Trivy reads.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::severity::Scores;

/// What one record says of one package: the value of a staged row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "lowercase")]
pub(crate) enum Fragment {
    /// Of a language's package.
    Language {
        /// Id of the data source.
        source: String,
        /// What GitHub calls the ecosystem.
        github: String,
        /// The name as it was written.
        name: String,
        /// As the record itself rates it.
        severity: u8,
        vendor: Vec<String>,
        vulnerable: Vec<String>,
        patched: Vec<String>,
    },
    /// Of a distribution's package.
    System {
        source: String,
        severity: u8,
        vendor: Vec<String>,
        /// Empty where there is no fix.
        fixed: String,
        /// First affected version, where Trivy looks at it; else empty.
        since: String,
        /// Whether an entry is wanted for each architecture.
        each: bool,
    },
    /// Of a vulnerability itself.
    Detail(Box<Detail>),
}

/// What one record says of a vulnerability.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Detail {
    pub(crate) source: String,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) severity: u8,
    pub(crate) scores: Scores,
    pub(crate) weaknesses: Vec<String>,
    pub(crate) references: Vec<String>,
    pub(crate) published: Option<String>,
    pub(crate) modified: Option<String>,
}

/// An advisory as Trivy reads it.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Advisory {
    #[serde(rename = "VendorIDs", skip_serializing_if = "Vec::is_empty")]
    pub(crate) vendor_ids: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) fixed_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) affected_version: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) vulnerable_versions: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) patched_versions: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) entries: Vec<OfArchitectures>,
}

/// A fix for some architectures.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct OfArchitectures {
    pub(crate) fixed_version: String,
    pub(crate) arches: Vec<&'static str>,
    #[serde(rename = "VendorIDs")]
    pub(crate) vendor_ids: Vec<String>,
}

/// A vulnerability as Trivy reads it.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Vulnerability {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) title: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) description: String,
    pub(crate) severity: &'static str,
    #[serde(rename = "CweIDs", skip_serializing_if = "Vec::is_empty")]
    pub(crate) weaknesses: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) vendor_severity: BTreeMap<String, u8>,
    #[serde(rename = "CVSS", skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) scores: BTreeMap<String, Scores>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) references: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) published_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_modified_date: Option<String>,
}

/// A row of the `data-source` bucket.
#[derive(Debug, Serialize)]
pub(crate) struct DataSource<'a> {
    #[serde(rename = "ID")]
    pub(crate) id: &'a str,
    #[serde(rename = "Name")]
    pub(crate) name: &'a str,
    #[serde(rename = "URL")]
    pub(crate) url: &'a str,
}
