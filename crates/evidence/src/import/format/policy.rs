//! Policy snapshots and findings: in their simple form (one object each, names in snake case or camel case), and in the forms that the
//! policy engine publishes: explain traces, lines of its ledger, and snapshots as it lists them.

use super::PolicyFields;
use crate::import::tape::Value;

fn either(doc: Value<'_>, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| doc.get(name).text_or_number())
}

const SNAPSHOT_ID: [&str; 2] = ["snapshot_id", "snapshotId"];
const POLICY_VERSION: [&str; 2] = ["policy_version", "policyVersion"];
const FINDING_ID: [&str; 2] = ["finding_id", "findingId"];
const ADVISORY: [&str; 3] = ["advisory", "advisory_id", "advisoryId"];
const SUBJECT: [&str; 3] = ["subject", "component_purl", "componentPurl"];
/// What a snapshot was made from: of a snapshot as the engine lists it, its id is the hash of the two.
const LEDGER_EXPORT: [&str; 2] = ["ledger_export_id", "ledgerExportId"];
const OVERLAY: [&str; 2] = ["overlay_hash", "overlayHash"];

/// `schemaVersion` of an explain trace, without its number.
const EXPLAIN_TRACE: &str = "scheduler.policy-explain-trace@";

pub(super) fn is_snapshot(doc: Value<'_>) -> bool {
    either(doc, &SNAPSHOT_ID).is_some()
        && [POLICY_VERSION, LEDGER_EXPORT, OVERLAY].iter().any(|names| either(doc, names).is_some())
        && !is_finding(doc)
        && !is_explain_trace(doc)
}

pub(super) fn is_finding(doc: Value<'_>) -> bool {
    either(doc, &ADVISORY).is_some() && either(doc, &SUBJECT).is_some() && doc.get("status").text().is_some()
}

pub(super) fn is_explain_trace(doc: Value<'_>) -> bool {
    doc.get("schemaVersion").text().is_some_and(|schema| schema.starts_with(EXPLAIN_TRACE))
}

/// What the store keeps beside the text of a snapshot or a finding in its simple form, or of a line of the engine's ledger.
pub(super) fn fields(doc: Value<'_>) -> PolicyFields {
    let text = |names: &[&str]| either(doc, names).unwrap_or_default();
    PolicyFields {
        snapshot_id: either(doc, &SNAPSHOT_ID),
        policy_version: text(&POLICY_VERSION),
        inputs_hash: text(&["inputs_hash", "inputsHash"]),
        generated_at: either(doc, &["generated_at", "generatedAt"]),
        tenant: either(doc, &["tenant_id", "tenantId", "tenant"]),
        finding_id: either(doc, &FINDING_ID).or_else(|| place_in_ledger(doc)),
        subject: text(&SUBJECT),
        advisory: text(&ADVISORY),
        status: text(&["status"]),
        severity: text(&["severity"]).to_lowercase(),
    }
}

/// A line of the engine's ledger has no id of its own. What tells it from the same component and advisory in another job or context
/// stands for one, so that no line takes the place of another.
fn place_in_ledger(doc: Value<'_>) -> Option<String> {
    let trace = either(doc, &["trace_ref", "traceRef"]);
    let place = [["job_id", "jobId"], ["context_id", "contextId"]].map(|names| either(doc, &names));
    trace.or_else(|| {
        let place: Vec<String> = place.into_iter().flatten().collect();
        (!place.is_empty()).then(|| place.join("/"))
    })
}

/// The same of an explain trace: the verdict with its rule chain. It names the component and the advisory in its metadata and its
/// evidence, else in its id: `finding:sbom:S-42/pkg:npm/lodash@4.17.21`, or `CVE-2021-23337@pkg:npm/lodash@4.17.21`.
pub(super) fn explained(doc: Value<'_>) -> PolicyFields {
    let finding_id = doc.get("findingId").filled();
    let id = finding_id.clone().unwrap_or_default();
    let purl = doc.get("metadata").get("componentpurl").filled();
    let purl = purl.or_else(|| id.find("pkg:").and_then(|at| id.get(at..)).map(str::to_owned));
    let named = doc.get("evidence").each().find_map(|evidence| {
        (evidence.get("type").text()? == "advisory").then(|| evidence.get("reference").filled())?
    });
    let advisory = named.or_else(|| id.split_once("@pkg:").map(|(advisory, _)| advisory.to_owned()));
    let verdict = doc.get("verdict");
    PolicyFields {
        snapshot_id: either(doc, &SNAPSHOT_ID),
        policy_version: either(doc, &POLICY_VERSION).unwrap_or_default(),
        inputs_hash: String::new(),
        generated_at: doc.get("evaluatedAt").filled(),
        tenant: doc.get("tenantId").filled(),
        subject: purl.unwrap_or_else(|| id.clone()),
        finding_id,
        advisory: advisory.unwrap_or_default(),
        status: verdict.get("status").filled().unwrap_or_default(),
        severity: verdict.get("severity").filled().unwrap_or_default().to_lowercase(),
    }
}
