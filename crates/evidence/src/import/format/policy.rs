//! Policy snapshots and findings in their simple form: one object each, names in snake case or camel case.

use super::PolicyFields;
use crate::import::tape::Value;

fn either(doc: Value<'_>, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| doc.get(name).text_or_number())
}

const SNAPSHOT_ID: [&str; 2] = ["snapshot_id", "snapshotId"];
const ADVISORY: [&str; 3] = ["advisory", "advisory_id", "advisoryId"];
const SUBJECT: [&str; 3] = ["subject", "component_purl", "componentPurl"];

pub(super) fn is_snapshot(doc: Value<'_>) -> bool {
    either(doc, &SNAPSHOT_ID).is_some()
        && either(doc, &["policy_version", "policyVersion"]).is_some()
        && !is_finding(doc)
}

pub(super) fn is_finding(doc: Value<'_>) -> bool {
    either(doc, &ADVISORY).is_some() && either(doc, &SUBJECT).is_some() && doc.get("status").text().is_some()
}

/// What the store keeps beside the text of either.
pub(super) fn fields(doc: Value<'_>) -> PolicyFields {
    let text = |names: &[&str]| either(doc, names).unwrap_or_default();
    PolicyFields {
        snapshot_id: either(doc, &SNAPSHOT_ID),
        policy_version: text(&["policy_version", "policyVersion"]),
        inputs_hash: text(&["inputs_hash", "inputsHash"]),
        generated_at: either(doc, &["generated_at", "generatedAt"]),
        finding_id: either(doc, &["finding_id", "findingId"]),
        subject: text(&SUBJECT),
        advisory: text(&ADVISORY),
        status: text(&["status"]),
        severity: text(&["severity"]).to_lowercase(),
    }
}
