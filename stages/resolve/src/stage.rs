//! The stage.

use std::sync::Arc;

use export_contract::event::ProgressStep;
use export_contract::message::{Part, PartsResolved, RunPlanned};
use export_contract::profile::ProfileKind;
use export_contract::run::Phase;
use export_contract::{PartIndex, Version};
use export_evidence::{Cut, EvidenceLedger, PartSize, Selection};
use export_pipeline::{Cancelled, Stage, StageContext};
use futures::future::try_join_all;

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
        if plan.refresh.is_some() {
            // The parts were written for the bundle that the plan confirms.
            return Ok(PartsResolved { v: Version, plan, parts: Vec::new() });
        }
        let every = plan.profile.config.partition_records;
        let cut = match plan.profile.kind {
            // A delta is small only if an unchanged neighbourhood is cut as it was.
            ProfileKind::MirrorFull | ProfileKind::MirrorDelta => Cut::Key,
            ProfileKind::JsonRaw | ProfileKind::JsonPolicy | ProfileKind::TrivyDb | ProfileKind::TrivyJavaDb => {
                Cut::Full
            }
        };
        let size = PartSize { records: every, bytes: PART_BYTES, cut };
        let kinds = &plan.selectors.kinds;
        let readings = plan.readings();
        // The cut of a large ledger takes its time: the kinds are cut side by side, and a cancelled run does not wait for it.
        let cuts =
            readings.iter().flat_map(|tenant| kinds.iter().map(move |&kind| (tenant, kind))).map(|(tenant, kind)| {
                let (owner, watermark) = plan.ledger(tenant.as_ref());
                let selection = Selection { tenant: owner.clone(), watermark, selectors: plan.selectors.clone() };
                async move {
                    let cut = self.ledger.cut(&selection, kind, size, 0).await;
                    let mut parts = cut.map_err(|cause| ResolveError::Cut { kind, cause })?;
                    for part in &mut parts {
                        part.tenant.clone_from(tenant);
                    }
                    Ok(parts)
                }
            });
        let cuts = cx.cancellation().run_until_cancelled(try_join_all(cuts)).await;
        // Tenants come in their order, and a set of kinds iterates in bundle order.
        let mut parts: Vec<Part> = cuts.ok_or(ResolveError::Cancelled(Cancelled))??.concat();
        if parts.len() > MAX_PARTS {
            return Err(ResolveError::TooManyParts { every, limit: MAX_PARTS });
        }
        for (index, part) in (0..).zip(&mut parts) {
            part.index = PartIndex(index);
        }
        cx.progress(ProgressStep::StageProgress, parts.iter().map(|part| part.records).sum(), 0);
        if parts.is_empty() && !plan.profile.config.allow_empty {
            return Err(nothing::selected(&plan));
        }
        Ok(PartsResolved { v: Version, plan, parts })
    }
}
