//! Whether runs may read the evidence of other tenants, and who approves it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Runs over the evidence of other tenants.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CrossTenant {
    /// Whether there are any; each needs an approval in any case.
    pub(crate) enabled: bool,
    /// Those who may approve.
    pub(crate) approvers: Vec<Approver>,
}

/// Somebody whose signature is an approval.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Approver {
    /// The name in audit entries.
    pub(crate) name: String,
    /// PEM file with the public key, ECDSA P-256.
    pub(crate) public_key_file: PathBuf,
}

impl CrossTenant {
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.enabled && self.approvers.is_empty() {
            faults.push("cross_tenant.approvers: name at least one, or leave cross_tenant.enabled out".to_owned());
        }
        let mut names = BTreeSet::new();
        for (number, approver) in self.approvers.iter().enumerate() {
            let at = format!("cross_tenant.approvers[{number}]");
            if approver.name.is_empty() || !names.insert(&approver.name) {
                faults.push(format!("{at}.name: give each approver a name of its own"));
            }
            if approver.public_key_file.as_os_str().is_empty() {
                faults.push(format!("{at}.public_key_file: name the PEM file with the approver's public key"));
            }
        }
        faults
    }
}
