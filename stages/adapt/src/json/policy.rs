//! A policy snapshot and its evaluated findings as files of a bundle. Any adapter whose profile takes a snapshot can call it.
//!
//! `data/policy/snapshot.json` is one document, `data/policy/evaluations.jsonl.zst` one finding a line. The guard of raw evidence does
//! not look at them: a policy's output is meant to conclude (design D5).

mod document;
mod error;
mod evaluations;

use bytes::Bytes;
use export_contract::message::{BundleFile, RunPlanned, Segment};
use export_contract::profile::PolicySnapshotMode;
use export_evidence::policy::{Findings, PolicySnapshot, Tally};
use export_mirror::layout::{EVALUATIONS, SNAPSHOT};
use export_pipeline::{Cancelled, StageContext};

use super::files;
use super::part::Workshop;
use crate::adapter::Tools;
use crate::error::AdaptError;

pub use self::error::PolicyExportError;

/// What was exported of a snapshot.
#[derive(Debug)]
pub(crate) struct Exported {
    /// The files, sorted by path.
    pub(crate) files: Vec<BundleFile>,
    /// What the file of findings was joined from, for an index of it.
    pub(crate) segments: Vec<Segment>,
    /// The snapshot itself.
    snapshot: PolicySnapshot,
    /// All its findings.
    whole: Findings,
    /// Those that the selectors chose, which are in the bundle.
    chosen: Tally,
}

/// Writes the files of the snapshot that the plan pinned; `None` where it pinned none.
///
/// # Errors
/// Also when snapshot or findings are no longer what the plan pinned: then nothing is written.
pub(crate) async fn export(
    tools: &Tools,
    workshop: &Workshop,
    plan: &RunPlanned,
    cx: &StageContext,
) -> Result<Option<Exported>, AdaptError> {
    let Some(pinned) = &plan.policy_snapshot else {
        return Ok(None);
    };
    let unreadable = |cause| PolicyExportError::Read { id: pinned.id.clone(), cause };
    let found = tools.policy.snapshot(&plan.run.tenant, &pinned.id);
    let found = cx.cancellation().run_until_cancelled(found).await.ok_or(AdaptError::Cancelled(Cancelled))?;
    let snapshot = match found.map_err(unreadable)? {
        Some(snapshot) if snapshot.digest == pinned.digest => snapshot,
        _ => return Err(PolicyExportError::SnapshotChanged { id: pinned.id.clone() }.into()),
    };
    let evaluations::Written { lines, whole, chosen } = evaluations::write(tools, workshop, plan, pinned, cx).await?;
    if let Some(promised) = &pinned.findings
        && *promised != whole.reference
    {
        let (id, pinned, found) = (pinned.id.clone(), promised.clone(), whole.reference);
        return Err(PolicyExportError::FindingsChanged { id, pinned, found }.into());
    }
    let compression = plan.profile.config.compression;
    let segments = lines.segments.clone();
    let evaluations = files::file(EVALUATIONS.to_owned(), compression, vec![lines], cx).await;
    let evaluations = evaluations.map_err(|error| match error {
        AdaptError::Segment { .. } => PolicyExportError::Segment.into(),
        error => error,
    })?;
    let text = document::text(&snapshot, pinned, &whole, &chosen).map_err(PolicyExportError::Document)?;
    let staged = cx.workspace().put_artefact(Bytes::from(text)).await;
    let document = BundleFile {
        path: SNAPSHOT.to_owned(),
        artefact: staged.map_err(|cause| files::staging(SNAPSHOT, cause))?,
        content_type: "application/json".to_owned(),
        records: None,
        plain_bytes: None,
        frames: None,
    };
    Ok(Some(Exported { files: vec![evaluations, document], segments, snapshot, whole, chosen }))
}

/// What the README says of policy. "No findings" and "no snapshot" never look alike (design D11).
pub(crate) fn readme(plan: &RunPlanned, exported: Option<&Exported>) -> String {
    let Some(Exported { snapshot, whole, chosen, .. }) = exported else {
        let why = match plan.profile.config.policy_snapshot_mode {
            PolicySnapshotMode::None => "the profile's `policySnapshotMode` is `none`",
            PolicySnapshotMode::Optional | PolicySnapshotMode::Required => {
                "the tenant had none when the run was planned, and the profile does not require one"
            }
        };
        return format!(
            "\n## Policy\n\n**No policy snapshot is in this bundle**: {why}. That says nothing about findings: there may be any number \
             of them.\n"
        );
    };
    let id = &snapshot.snapshot_id;
    let version = match snapshot.policy_version.as_str() {
        "" => String::new(),
        version => format!(", policy version `{version}`"),
    };
    let (all, inside) = (whole.reference.count, chosen.count);
    let selectors = &plan.selectors;
    let by = match (selectors.severities.is_empty(), selectors.products.is_empty()) {
        (true, true) => "all of which are in here".to_owned(),
        (false, true) => format!("{inside} of which are in here, chosen by severity"),
        (true, false) => format!("{inside} of which are in here, chosen by product"),
        (false, false) => format!("{inside} of which are in here, chosen by severity and product"),
    };
    let mut text = format!(
        "\n## Policy\n\nPolicy snapshot `{id}`{version}, made {at}. It has {all} evaluated findings, {by}. `{SNAPSHOT}` counts them by status \
         and severity and holds the engine's own text in `raw`; each line of `{EVALUATIONS}` is one finding, sorted by subject, \
         advisory and finding id, with the engine's own text in `raw`.\n",
        at = snapshot.generated_at,
    );
    for (name, counts) in [("status", &chosen.by_status), ("severity", &chosen.by_severity)] {
        if !counts.is_empty() {
            let rows: String = counts.iter().map(|(name, count)| format!("| {} | {count} |\n", cell(name))).collect();
            text.extend(["\n| ", name, " | findings |\n|---|---:|\n", &rows]);
        }
    }
    text
}

/// A word of the engine's as a cell of a table.
fn cell(name: &str) -> String {
    name.chars().take(64).map(|c| if c.is_control() || c == '|' { ' ' } else { c }).collect()
}
