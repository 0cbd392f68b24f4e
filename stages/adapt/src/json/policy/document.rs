//! `snapshot.json`: what the plan pinned, what of it is in the bundle, and the engine's own text.

use std::collections::BTreeMap;

use export_canon::{CanonError, jcs};
use export_contract::message::PolicySnapshotRef;
use export_evidence::policy::{Findings, PolicySnapshot, Tally};
use serde::Serialize;
use serde_json::{Value, json};

/// Names the document and its version.
const SCHEMA: &str = "urn:export-center:policy-snapshot:v1";

/// The text, with a line feed. It is RFC 8785 but for `raw`, which is the engine's canonical text with every literal as it was written
/// (design D6): `digest` is its SHA-256.
pub(super) fn text(
    snapshot: &PolicySnapshot,
    pinned: &PolicySnapshotRef,
    whole: &Findings,
    exported: &Tally,
) -> Result<Vec<u8>, CanonError> {
    let mut members: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    let mut put = |name, value: Value| jcs::to_vec(&value).map(|text| drop(members.insert(name, text)));
    put("schema", SCHEMA.into())?;
    put("snapshotId", snapshot.snapshot_id.as_str().into())?;
    put("generatedAt", json!(snapshot.generated_at))?;
    put("digest", json!(snapshot.digest))?;
    for (name, text) in [("policyVersion", &pinned.policy_version), ("inputsHash", &pinned.inputs_hash)] {
        if !text.is_empty() {
            put(name, text.as_str().into())?;
        }
    }
    if let Some(trace) = &pinned.decision_trace {
        put("decisionTrace", trace.as_str().into())?;
    }
    let mut findings = counts(&whole.tally);
    if let Value::Object(members) = &mut findings {
        members.insert("digest".to_owned(), json!(whole.reference.digest));
    }
    put("findings", findings)?;
    put("exported", counts(exported))?;
    members.insert("raw", snapshot.raw.to_vec());

    let mut out = vec![b'{'];
    for (index, (name, value)) in members.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        // The names are plain words, so that their order by bytes is that of RFC 8785.
        out.extend_from_slice(format!("\"{name}\":").as_bytes());
        out.extend_from_slice(value);
    }
    out.extend_from_slice(b"}\n");
    Ok(out)
}

fn counts(tally: &Tally) -> Value {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Counts<'a> {
        count: u64,
        by_status: &'a BTreeMap<String, u64>,
        by_severity: &'a BTreeMap<String, u64>,
    }
    let Tally { count, by_status, by_severity } = tally;
    json!(Counts { count: *count, by_status, by_severity })
}
