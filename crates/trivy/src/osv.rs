//! The parts of an OSV document that are looked at (<https://ossf.github.io/osv-schema/>). What is null is as good as absent.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A document.
#[derive(Debug, Deserialize)]
pub(crate) struct Osv {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) withdrawn: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) aliases: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) upstream: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) related: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) summary: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) details: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) severity: Vec<Rated>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) affected: Vec<Affected>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) references: Vec<Reference>,
    #[serde(default)]
    pub(crate) published: Option<String>,
    #[serde(default)]
    pub(crate) modified: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) database_specific: Value,
}

/// A rating.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Rated {
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) score: String,
}

/// What is said of a package.
#[derive(Debug, Deserialize)]
pub(crate) struct Affected {
    #[serde(default)]
    pub(crate) package: Option<Package>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) ranges: Vec<Range>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) versions: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) severity: Vec<Rated>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) database_specific: Value,
}

/// A package.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) ecosystem: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) name: String,
}

/// A range.
#[derive(Debug, Deserialize)]
pub(crate) struct Range {
    #[serde(rename = "type", default, deserialize_with = "or_default")]
    pub(crate) kind: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) events: Vec<BTreeMap<String, String>>,
}

/// A reference.
#[derive(Debug, Deserialize)]
pub(crate) struct Reference {
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) url: String,
}
