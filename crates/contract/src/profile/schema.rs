//! The configuration of a profile as JSON Schema, for each kind of bundle.

use serde_json::{Value, json};

use super::{Profile, ProfileConfig, ProfileKind};
use crate::{TenantId, Timestamp, schema};

/// A rule between members, which a schema cannot say. [`ProfileConfig::check`] and [`ProfileConfig::check_for`] keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrossRule {
    /// The member that a fault is told of.
    pub path: &'static str,
    /// What must hold.
    pub rule: &'static str,
}

/// Every rule that the schemas leave to [`ProfileConfig::check`] and [`ProfileConfig::check_for`].
pub const CROSS_RULES: [CrossRule; 6] = [
    CrossRule { path: "config.objectLock", rule: "needs retentionDays, and object in distribution" },
    CrossRule { path: "config.ociRegistry", rule: "needs oci in distribution" },
    CrossRule { path: "config.refreshWhenUnchanged", rule: "needs freshForHours" },
    CrossRule { path: "config.attestation", rule: "must be true with encryption" },
    CrossRule {
        path: "config.encryption.recipients",
        rule: "an age recipient has a right check sum; no key of Vault is named `.` or `..`",
    },
    CrossRule { path: "config.distribution", rule: "leaves out oci where a database for Trivy is encrypted" },
];

/// The JSON Schema (2020-12) of a whole configuration, every member of which may be left out. `x-rules` lists [`CROSS_RULES`].
#[must_use]
pub fn config_schema(kind: ProfileKind) -> Value {
    let generator = schema::settings("/$defs").for_deserialize().into_generator();
    let mut whole = generator.into_root_schema_for::<ProfileConfig>().to_value();
    let built_in = defaults(kind);
    if let Some(root) = whole.as_object_mut() {
        root.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        root.insert("title".to_owned(), json!(format!("Configuration of a profile of kind {kind}")));
        let rules: Vec<Value> =
            CROSS_RULES.iter().map(|CrossRule { path, rule }| json!({ "path": path, "rule": rule })).collect();
        root.insert("x-rules".to_owned(), json!(rules));
    }
    for name in ["include", "policySnapshotMode"] {
        if let (Some(Value::Object(property)), Some(default)) =
            (whole.pointer_mut(&format!("/properties/{name}")), built_in.get(name))
        {
            property.insert("default".to_owned(), default.clone());
        }
    }
    if kind.family() == "trivy"
        && let Some(scope) = whole.pointer_mut("/$defs/Encryption/properties/scope")
    {
        *scope = json!({ "enum": ["payload", null], "description": "What is encrypted: a database does not lie under data/." });
    }
    whole
}

fn defaults(kind: ProfileKind) -> Value {
    let tenant: Option<TenantId> = "any".parse().ok();
    let built_in = tenant.map(|tenant| Profile::built_in(tenant, kind, Timestamp::from(std::time::UNIX_EPOCH)));
    built_in.and_then(|profile| serde_json::to_value(profile.config).ok()).unwrap_or_default()
}
