//! The stage.

use std::sync::Arc;

use export_contract::Version;
use export_contract::event::ProgressStep;
use export_contract::message::{PartsResolved, RunPlanned};
use export_contract::run::Phase;
use export_evidence::{EvidenceLedger, PartSize, Selection};
use export_pipeline::{Cancelled, Stage, StageContext};

use crate::error::ResolveError;
use crate::nothing;

/// Most parts of a run: its result record then has some 40 MB, and each worker reads it for each part.
const MAX_PARTS: usize = 100_000;

/// Plain bytes at which a part closes. A frame ends where its part does, so another value gives other bytes: it changes with
/// the adapters' versions only.
const PART_BYTES: u64 = 32 << 20;

/// Cuts runs into parts.
#[derive(Debug)]
pub struct Resolve {
    ledger: Arc<dyn EvidenceLedger>,
}

impl Resolve {
    /// A resolver over `ledger`.
    pub fn new(ledger: Arc<dyn EvidenceLedger>) -> Self {
        Self { ledger }
    }
}

impl Stage for Resolve {
    const PHASE: Phase = Phase::Resolve;
    type Input = RunPlanned;
    type Output = PartsResolved;
    type Error = ResolveError;

    async fn handle(&self, plan: RunPlanned, cx: &StageContext) -> Result<PartsResolved, ResolveError> {
        let selection =
            Selection { tenant: plan.run.tenant.clone(), watermark: plan.watermark, selectors: plan.selectors.clone() };
        let every = plan.profile.config.partition_records;
        let size = PartSize { records: every, bytes: PART_BYTES };
        let mut parts = Vec::new();
        // A set of kinds iterates in bundle order.
        for kind in plan.selectors.kinds.iter().copied() {
            let first_index = u32::try_from(parts.len()).unwrap_or(u32::MAX);
            // The cut of a large ledger takes its time; a cancelled run does not wait for it.
            let cut = self.ledger.cut(&selection, kind, size, first_index);
            let cut = cx.cancellation().run_until_cancelled(cut).await.ok_or(ResolveError::Cancelled(Cancelled))?;
            parts.extend(cut.map_err(|cause| ResolveError::Cut { kind, cause })?);
            if parts.len() > MAX_PARTS {
                return Err(ResolveError::TooManyParts { every, limit: MAX_PARTS });
            }
            cx.progress(ProgressStep::StageProgress, parts.iter().map(|part| part.records).sum(), 0);
        }
        if parts.is_empty() && !plan.profile.config.allow_empty {
            return Err(nothing::selected(&plan));
        }
        Ok(PartsResolved { v: Version, plan, parts })
    }
}
