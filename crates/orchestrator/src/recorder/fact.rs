//! What an event of the log means for a run.

use std::collections::BTreeMap;

use export_blobs::{ResultError, Workspace};
use export_contract::event::EventType;
use export_contract::message::{PartAdapted, PartsResolved, ResultRef, RunDistributed, RunPlanned, RunSigned, Summary};
use export_contract::profile::ProfileKind;
use export_contract::run::{Phase, RunBundle, RunProgress, RunStatus};
use export_contract::verification::Verification;
use export_contract::{ErrorCode, Generation, PartIndex, Timestamp};
use export_runs::{NewEvent, StepOutcome};
use serde::de::DeserializeOwned;

/// A timeline entry and what it does to the run. `event.at` is set when it is recorded.
pub(super) struct Fact {
    pub(super) event: NewEvent,
    pub(super) outcome: StepOutcome,
    /// The key that signed, where the fact is that something was signed.
    pub(super) signed_with: Option<String>,
}

/// A stage, or one part of adapt, is done. `None` for events that are only commands: the fan-out of resolve.
pub(super) async fn done(
    workspace: &Workspace,
    phase: Phase,
    part: Option<PartIndex>,
    parts: Option<u32>,
    result: &ResultRef,
    summary: Summary,
) -> Result<Option<Fact>, ResultError> {
    let generation = workspace.run().generation;
    let metrics = metrics(part, parts, summary);
    let completed = |next: Phase, message: &str| Fact {
        signed_with: None,
        event: event(
            generation,
            &format!("{phase}.done"),
            EventType::StageCompleted,
            Some(phase),
            message,
            metrics.clone(),
        ),
        outcome: StepOutcome { phase: Some(next), ..StepOutcome::default() },
    };
    let fact = match (phase, part) {
        (Phase::Adapt, Some(part)) => {
            let adapted: PartAdapted = open(workspace, result).await?;
            adapter_complete(generation, part, metrics, adapted)
        }
        (_, Some(_)) => return Ok(None),
        (Phase::Plan, None) => {
            let planned: RunPlanned = open(workspace, result).await?;
            let planned_at = format!("planned at watermark {}", planned.watermark.0);
            let message = match &planned.refresh {
                Some(refresh) => format!("{planned_at}: nothing changed since run {} made its bundle", refresh.run),
                None => planned_at,
            };
            let mut fact = completed(Phase::Resolve, &message);
            fact.outcome.policy_snapshot = planned.policy_snapshot;
            fact.outcome.base = planned.base.map(|base| base.run.run);
            fact
        }
        (Phase::Resolve, None) => {
            let resolved: PartsResolved = open(workspace, result).await?;
            let parts_total = u32::try_from(resolved.parts.len()).unwrap_or(u32::MAX);
            let records_total = resolved.parts.iter().map(|part| part.records).sum();
            let mut fact = completed(Phase::Adapt, &format!("{records_total} records in {parts_total} parts"));
            fact.event.metrics.insert("parts".to_owned(), u64::from(parts_total));
            fact.event.metrics.insert("records".to_owned(), records_total);
            fact.outcome.progress = RunProgress { parts_total, records_total, ..RunProgress::default() };
            fact
        }
        (Phase::Adapt, None) => completed(Phase::Manifest, "all parts written and joined"),
        (Phase::Manifest, None) => completed(Phase::Sign, "manifest and bundle are at hand"),
        (Phase::Sign, None) => {
            let signed: RunSigned = open(workspace, result).await?;
            let mut fact = completed(Phase::Distribute, &format!("signed with key {}", signed.key_id));
            fact.event.event_type = EventType::RunSigned;
            fact.signed_with = Some(signed.key_id);
            fact
        }
        (Phase::Distribute, None) => succeeded(generation, metrics, open(workspace, result).await?),
    };
    Ok(Some(fact))
}

/// A stage gave up, and the run with it. `phase` is absent where the failure is no stage's.
pub(super) fn failed(generation: Generation, phase: Option<Phase>, code: ErrorCode, message: &str) -> Fact {
    let what = phase.map_or("run.failed".to_owned(), |phase| format!("{phase}.failed"));
    Fact {
        signed_with: None,
        event: event(generation, &what, EventType::RunFailed, phase, &format!("{code}: {message}"), BTreeMap::new()),
        outcome: StepOutcome {
            phase,
            terminal: Some(RunStatus::Failed),
            error: Some((code, message.to_owned())),
            ..StepOutcome::default()
        },
    }
}

/// The reason of a failure in adapt, beside the end of the run.
pub(super) fn adapter_error(generation: Generation, code: ErrorCode, message: &str) -> Fact {
    let message = format!("{code}: {message}");
    Fact {
        signed_with: None,
        event: event(generation, "adapt.error", EventType::AdapterError, Some(Phase::Adapt), &message, BTreeMap::new()),
        outcome: StepOutcome::default(),
    }
}

fn adapter_complete(
    generation: Generation,
    part: PartIndex,
    mut metrics: BTreeMap<String, u64>,
    adapted: PartAdapted,
) -> Fact {
    metrics.insert("records".to_owned(), adapted.records);
    metrics.insert("bytes".to_owned(), adapted.plain_bytes);
    let message = format!("part {part}: {} {} records", adapted.records, adapted.kind);
    Fact {
        signed_with: None,
        event: event(
            generation,
            &format!("adapt.part.{part}.done"),
            EventType::AdapterComplete,
            Some(Phase::Adapt),
            &message,
            metrics,
        ),
        outcome: StepOutcome {
            phase: Some(Phase::Adapt),
            progress: RunProgress {
                parts_done: 1,
                records_done: adapted.records,
                bytes_done: adapted.plain_bytes,
                ..RunProgress::default()
            },
            inputs: adapted.inputs,
            ..StepOutcome::default()
        },
    }
}

fn succeeded(generation: Generation, mut metrics: BTreeMap<String, u64>, distributed: RunDistributed) -> Fact {
    let RunDistributed { signed, distributions, .. } = distributed;
    let RunSigned { manifest, key_id, sidecars, .. } = signed;
    metrics.insert("records".to_owned(), manifest.records);
    metrics.insert("bytes".to_owned(), manifest.bundle.bytes);
    let sidecars = sidecars.into_iter().map(|(name, artefact)| (name, artefact.digest)).collect();
    let state_digest = match manifest.plan.profile.kind {
        ProfileKind::MirrorFull => Some(manifest.export_json.digest.clone()),
        _ => manifest.target.map(|target| target.digest),
    };
    let bundle = RunBundle {
        state_digest,
        digest: manifest.bundle.digest,
        bytes: manifest.bundle.bytes,
        manifest_digest: manifest.export_json.digest,
        rerun_hash: manifest.rerun_hash,
        records: manifest.records,
        as_of: manifest.plan.as_of,
        verification: Some(Verification::of(&key_id, &sidecars)),
        key_id,
        sidecars,
        refreshes: manifest.plan.refresh.map(|refresh| refresh.run),
    };
    let message = match &bundle.refreshes {
        Some(made_by) => format!("bundle {} of run {made_by} confirmed", bundle.digest),
        None => format!("bundle {} with {} records", bundle.digest, bundle.records),
    };
    Fact {
        signed_with: None,
        event: event(
            generation,
            "distribute.done",
            EventType::RunSucceeded,
            Some(Phase::Distribute),
            &message,
            metrics,
        ),
        outcome: StepOutcome {
            phase: Some(Phase::Distribute),
            terminal: Some(RunStatus::Succeeded),
            bundle: Some(bundle),
            distributions,
            ..StepOutcome::default()
        },
    }
}

fn event(
    generation: Generation,
    what: &str,
    event_type: EventType,
    phase: Option<Phase>,
    message: &str,
    metrics: BTreeMap<String, u64>,
) -> NewEvent {
    NewEvent {
        key: format!("{generation}.{what}"),
        event_type,
        phase,
        message: message.to_owned(),
        at: Timestamp::from(std::time::UNIX_EPOCH),
        metrics,
        actor: None,
    }
}

fn metrics(part: Option<PartIndex>, parts: Option<u32>, summary: Summary) -> BTreeMap<String, u64> {
    let values = [
        ("records", summary.records),
        ("bytes", summary.bytes),
        ("part", part.map(|part| u64::from(part.0))),
        ("parts", parts.map(u64::from)),
    ];
    values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

async fn open<T: DeserializeOwned>(workspace: &Workspace, result: &ResultRef) -> Result<T, ResultError> {
    let bytes = workspace.read_result(result).await?;
    serde_json::from_slice(&bytes).map_err(|cause| ResultError::Unreadable { key: result.key.clone(), cause })
}
