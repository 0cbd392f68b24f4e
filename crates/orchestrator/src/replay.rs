//! What a replayed run takes over: the result records of an earlier generation, written again under its own.
//!
//! A stage that finds its result does nothing but hand it on, so a run whose records are there passes the stages that made them in
//! the time of a message each. Artefacts are shared by the generations of a run, and stay where they are.

use export_blobs::{ResultError, Workspace};
use export_contract::PartIndex;
use export_contract::message::{ManifestWritten, PartAdapted, PartsResolved, RunAdapted, RunPlanned, RunSigned};
use export_contract::run::{Phase, Run, RunRef};
use export_pipeline::Done;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::error::OrchestratorError;
use crate::ports::Ports;

/// Records of parts that are carried over at once.
const PARTS_AT_ONCE: usize = 16;

/// A record that names the generation that it is of.
trait OfRun: Done {
    fn is_now_of(&mut self, _run: &RunRef) {}
}

impl OfRun for RunPlanned {
    fn is_now_of(&mut self, run: &RunRef) {
        self.run = run.clone();
    }
}

impl OfRun for PartsResolved {
    fn is_now_of(&mut self, run: &RunRef) {
        self.plan.is_now_of(run);
    }
}

impl OfRun for PartAdapted {}

impl OfRun for RunAdapted {
    fn is_now_of(&mut self, run: &RunRef) {
        self.plan.is_now_of(run);
    }
}

impl OfRun for ManifestWritten {
    fn is_now_of(&mut self, run: &RunRef) {
        self.plan.is_now_of(run);
    }
}

impl OfRun for RunSigned {
    fn is_now_of(&mut self, run: &RunRef) {
        self.manifest.is_now_of(run);
    }
}

/// Two corners of one run: where records are, and where they are to be.
struct Move {
    old: Workspace,
    new: Workspace,
}

impl Move {
    /// Writes a record of the old generation as one of the new, unless that has its own; `None` where there is none (that can be used).
    async fn record<T: OfRun>(&self, phase: Phase, part: Option<PartIndex>) -> Result<Option<T>, ResultError> {
        let result = match self.old.find_result(phase, part).await {
            Ok(Some(result)) => result,
            Ok(None) => return Ok(None),
            Err(ResultError::Unreadable { key, .. }) => {
                tracing::warn!(key, "a result record cannot be read, so its stage is done again");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let bytes = match self.old.read_result(&result).await {
            Ok(bytes) => bytes,
            // It was written anew between the two looks, which nobody does to a result.
            Err(ResultError::Corrupt { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Ok(mut record) = serde_json::from_slice::<T>(&bytes) else {
            tracing::warn!(key = result.key, "a result record cannot be read, so its stage is done again");
            return Ok(None);
        };
        record.is_now_of(self.new.run());
        self.new.put_result(phase, part, &record).await?;
        Ok(Some(record))
    }

    /// The records of parts; those that are missing are made by adapt.
    async fn parts(&self, resolved: &PartsResolved) -> Result<(), ResultError> {
        let parts: Vec<PartIndex> = resolved.parts.iter().map(|part| part.index).collect();
        stream::iter(parts)
            .map(|part| async move { self.record::<PartAdapted>(Phase::Adapt, Some(part)).await.map(drop) })
            .buffer_unordered(PARTS_AT_ONCE)
            .try_collect()
            .await
    }
}

/// Gives a replayed run the results that it takes over, in pipeline order and up to the first that is not there. May be repeated, and
/// stopped at any point: nothing is commanded before it is through.
pub(crate) async fn take_over(ports: &Ports, run: &Run) -> Result<(), OrchestratorError> {
    let Some(replay) = run.replay else { return Ok(()) };
    let reference = run.reference();
    let old = RunRef { generation: replay.of, ..reference.clone() };
    let corners = Move { old: ports.workspace(&old), new: ports.workspace(&reference) };
    for phase in Phase::ALL.into_iter().take_while(|phase| replay.keeps(*phase)) {
        let is_there = match phase {
            Phase::Plan => corners.record::<RunPlanned>(phase, None).await?.is_some(),
            Phase::Resolve => match corners.record::<PartsResolved>(phase, None).await? {
                Some(resolved) if replay.keeps(Phase::Adapt) => {
                    corners.parts(&resolved).await?;
                    true
                }
                resolved => resolved.is_some(),
            },
            Phase::Adapt => corners.record::<RunAdapted>(phase, None).await?.is_some(),
            Phase::Manifest => corners.record::<ManifestWritten>(phase, None).await?.is_some(),
            Phase::Sign => corners.record::<RunSigned>(phase, None).await?.is_some(),
            // The end of a run is its own.
            Phase::Distribute => false,
        };
        if !is_there {
            break;
        }
    }
    Ok(())
}

/// Whether the result of a stage was taken over, and not made by this generation.
pub(crate) async fn was_taken_over(ports: &Ports, reference: &RunRef, phase: Phase) -> Result<bool, OrchestratorError> {
    let run = ports.ledger.run(&reference.tenant, &reference.run).await?;
    let replay = run.filter(|run| run.generation == reference.generation).and_then(|run| run.replay);
    let Some(replay) = replay.filter(|replay| replay.keeps(phase)) else { return Ok(false) };
    let old = RunRef { generation: replay.of, ..reference.clone() };
    match ports.workspace(&old).find_result(phase, None).await {
        Ok(result) => Ok(result.is_some()),
        Err(ResultError::Unreadable { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
