//! Which steps of a run staging proves, and which is next.

use export_blobs::{ResultError, Workspace};
use export_contract::PartIndex;
use export_contract::message::{
    ManifestWritten, PartAdapted, PartsResolved, ResultRef, RunAdapted, RunDistributed, RunPlanned, RunSigned, Summary,
};
use export_contract::run::{Phase, Run};
use export_pipeline::Done;

/// A step whose result record is there: everything that its `done` event says.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) phase: Phase,
    pub(super) part: Option<PartIndex>,
    pub(super) parts: Option<u32>,
    pub(super) result: ResultRef,
    pub(super) summary: Summary,
}

/// What staging says of a run.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The steps that are done, in pipeline order.
    pub(super) done: Vec<Step>,
    /// What is to be done now: a phase, the parts of adapt that are missing, or their assembly. Nothing at the end.
    pub(super) open: Vec<(Phase, Option<PartIndex>)>,
}

/// Reads what staging says. Each stage builds on the one before, so the first phase without a record ends the walk.
pub(super) async fn steps(workspace: &Workspace, run: &Run) -> Result<Found, ResultError> {
    let mut done = Vec::new();
    let ends_at = |done, phase| Ok(Found { done, open: vec![(phase, None)] });
    let Some((planned, _)) = find::<RunPlanned>(workspace, Phase::Plan, None).await? else {
        return ends_at(done, Phase::Plan);
    };
    done.push(planned);
    let Some((mut resolved, record)) = find::<PartsResolved>(workspace, Phase::Resolve, None).await? else {
        return ends_at(done, Phase::Resolve);
    };
    let parts = u32::try_from(record.parts.len()).unwrap_or(u32::MAX);
    resolved.parts = Some(parts);
    done.push(resolved);
    let assembled = find::<RunAdapted>(workspace, Phase::Adapt, None).await?;
    // The parts' events serve the recorder and the join; once both are through, thousands of records need not be read.
    let all_parts_known = run.progress.parts_total == parts && run.progress.parts_done >= parts;
    let mut missing = Vec::new();
    if assembled.is_none() || !all_parts_known {
        for part in record.parts {
            match find::<PartAdapted>(workspace, Phase::Adapt, Some(part.index)).await? {
                Some((mut adapted, _)) => {
                    adapted.parts = Some(parts);
                    done.push(adapted);
                }
                None => missing.push((Phase::Adapt, Some(part.index))),
            }
        }
    }
    let Some((assembled, _)) = assembled else {
        return if missing.is_empty() { ends_at(done, Phase::Adapt) } else { Ok(Found { done, open: missing }) };
    };
    done.push(assembled);
    let Some((manifest, _)) = find::<ManifestWritten>(workspace, Phase::Manifest, None).await? else {
        return ends_at(done, Phase::Manifest);
    };
    done.push(manifest);
    let Some((signed, _)) = find::<RunSigned>(workspace, Phase::Sign, None).await? else {
        return ends_at(done, Phase::Sign);
    };
    done.push(signed);
    let Some((distributed, _)) = find::<RunDistributed>(workspace, Phase::Distribute, None).await? else {
        return ends_at(done, Phase::Distribute);
    };
    done.push(distributed);
    Ok(Found { done, open: Vec::new() })
}

async fn find<T: Done>(
    workspace: &Workspace,
    phase: Phase,
    part: Option<PartIndex>,
) -> Result<Option<(Step, T)>, ResultError> {
    let Some(result) = workspace.find_result(phase, part).await? else { return Ok(None) };
    let bytes = workspace.read_result(&result).await?;
    let record: T =
        serde_json::from_slice(&bytes).map_err(|cause| ResultError::Unreadable { key: result.key.clone(), cause })?;
    let summary = record.summary();
    Ok(Some((Step { phase, part, parts: None, result, summary }, record)))
}
