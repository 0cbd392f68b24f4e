//! in-toto statements, above all with SLSA provenance (in-toto Statement v1, SLSA provenance v1).
//!
//! Strict parsers refuse unknown members at every level that is typed here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `_type` of a statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// `predicateType` of provenance.
pub const PROVENANCE_TYPE: &str = "https://slsa.dev/provenance/v1";

/// A statement: what is said of which artefacts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Statement<P = Provenance> {
    /// Always [`STATEMENT_TYPE`].
    #[serde(rename = "_type")]
    pub kind: String,
    /// The artefacts.
    pub subject: Vec<Subject>,
    /// Which kind of predicate: [`PROVENANCE_TYPE`] of provenance.
    pub predicate_type: String,
    /// What is said.
    pub predicate: P,
}

/// An artefact by digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// For people.
    pub name: String,
    /// Hex digits by algorithm.
    pub digest: BTreeMap<String, String>,
}

impl Subject {
    /// An artefact with its SHA-256, 64 hex digits.
    #[must_use]
    pub fn sha256(name: &str, hex: &str) -> Self {
        Self { name: name.to_owned(), digest: BTreeMap::from([("sha256".to_owned(), hex.to_owned())]) }
    }
}

/// How artefacts came to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Provenance {
    /// What was asked for and what went in.
    pub build_definition: BuildDefinition,
    /// Who did it and when.
    pub run_details: RunDetails,
}

/// What was asked for and what went in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BuildDefinition {
    /// Which kind of build.
    pub build_type: String,
    /// What the caller chose.
    pub external_parameters: Value,
    /// What the platform chose.
    pub internal_parameters: Value,
    /// What went in.
    pub resolved_dependencies: Vec<Dependency>,
}

/// An input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dependency {
    /// Where it is.
    pub uri: String,
    /// Hex digits by algorithm.
    pub digest: BTreeMap<String, String>,
    /// More about it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, Value>,
}

/// Who did it and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunDetails {
    /// Who.
    pub builder: Builder,
    /// When.
    pub metadata: Metadata,
    /// What the build made beside its subjects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub byproducts: Vec<Subject>,
}

/// Who built.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Builder {
    /// Names the platform.
    pub id: String,
    /// Versions of its parts.
    pub version: BTreeMap<String, String>,
    /// Programs that it is made of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub builder_dependencies: Vec<Dependency>,
}

/// Which run, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// The run.
    pub invocation_id: String,
    /// RFC 3339.
    pub started_on: String,
    /// RFC 3339.
    pub finished_on: String,
}
