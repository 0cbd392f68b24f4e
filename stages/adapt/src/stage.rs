//! The two stages of the phase.

use export_contract::Version;
use export_contract::message::{PartAdapted, PartsResolved, RunAdapted};
use export_contract::run::Phase;
use export_pipeline::stage::PartResolved;
use export_pipeline::{Stage, StageContext};

use crate::adapter::Registry;
use crate::error::AdaptError;

/// Writes parts.
#[derive(Clone, Debug)]
pub struct AdaptPart {
    registry: Registry,
}

impl AdaptPart {
    /// A writer of parts with the adapters of `registry`.
    pub fn new(registry: Registry) -> Self {
        Self { registry }
    }
}

impl Stage for AdaptPart {
    const PHASE: Phase = Phase::Adapt;
    type Input = PartResolved;
    type Output = PartAdapted;
    type Error = AdaptError;

    async fn handle(&self, input: PartResolved, cx: &StageContext) -> Result<PartAdapted, AdaptError> {
        let adapter = self.registry.find(&input.plan.adapter)?;
        adapter.adapt_part(input, cx).await
    }
}

/// Joins the parts of runs.
#[derive(Clone, Debug)]
pub struct Assemble {
    registry: Registry,
}

impl Assemble {
    /// A joiner with the adapters of `registry`.
    pub fn new(registry: Registry) -> Self {
        Self { registry }
    }
}

impl Stage for Assemble {
    const PHASE: Phase = Phase::Adapt;
    type Input = PartsResolved;
    type Output = RunAdapted;
    type Error = AdaptError;

    async fn handle(&self, input: PartsResolved, cx: &StageContext) -> Result<RunAdapted, AdaptError> {
        if let Some(refresh) = &input.plan.refresh {
            let sources = refresh.sources.clone();
            return Ok(RunAdapted { v: Version, plan: input.plan, files: Vec::new(), sources, target: None });
        }
        let adapter = self.registry.find(&input.plan.adapter)?;
        adapter.assemble(input, cx).await
    }
}
