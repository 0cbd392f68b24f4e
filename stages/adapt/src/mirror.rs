//! `mirror:full` and `mirror:delta`: a tree that is of use without any peer, and what changed of one.
//!
//! Both write the parts of the whole tree and join them. A full mirror ships that tree; a delta compares it with its base, ships what
//! differs, and leaves the tree in staging as the base of deltas to come.

mod delta;
mod documents;
mod output;
mod readme;
mod tree;

use export_contract::RecordKind;
use export_contract::message::{PartAdapted, PartsResolved, RunAdapted, RunPlanned};
use export_contract::profile::{MirrorSboms, ProfileKind};
use export_pipeline::StageContext;
use export_pipeline::stage::PartResolved;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::adapter::{Adapter, Tools};
use crate::error::AdaptError;
use crate::json::part::{self, Workshop};
use crate::json::policy;

/// One version for both: a delta leads to the tree that a full mirror has.
const VERSION: &str = "1";

/// The adapter of one of the two kinds.
#[derive(Clone, Debug)]
pub(crate) struct Mirror {
    kind: ProfileKind,
    tools: Tools,
    workshop: Workshop,
}

impl Mirror {
    pub(crate) fn full(tools: &Tools) -> std::sync::Arc<dyn Adapter> {
        std::sync::Arc::new(Self { kind: ProfileKind::MirrorFull, tools: tools.clone(), workshop: Workshop::default() })
    }

    pub(crate) fn delta(tools: &Tools) -> std::sync::Arc<dyn Adapter> {
        std::sync::Arc::new(Self {
            kind: ProfileKind::MirrorDelta,
            tools: tools.clone(),
            workshop: Workshop::default(),
        })
    }
}

/// Whether records of a kind are files of their own.
fn are_documents(plan: &RunPlanned, kind: RecordKind) -> bool {
    kind == RecordKind::Sbom && plan.profile.config.mirror_sboms == MirrorSboms::Documents
}

impl Adapter for Mirror {
    fn kind(&self) -> ProfileKind {
        self.kind
    }

    fn version(&self) -> &'static str {
        VERSION
    }

    fn adapt_part<'a>(
        &'a self,
        input: PartResolved,
        cx: &'a StageContext,
    ) -> BoxFuture<'a, Result<PartAdapted, AdaptError>> {
        if are_documents(&input.plan, input.part.kind) {
            documents::write(&self.tools, &self.workshop, input, cx).boxed()
        } else {
            part::write(&self.tools, &self.workshop, input, true, cx).boxed()
        }
    }

    fn assemble<'a>(
        &'a self,
        input: PartsResolved,
        cx: &'a StageContext,
    ) -> BoxFuture<'a, Result<RunAdapted, AdaptError>> {
        async move {
            let policy = policy::export(&self.tools, &self.workshop, &input.plan, cx).await?;
            let tree = tree::join(input, policy, cx).await?;
            match self.kind {
                ProfileKind::MirrorDelta => delta::against_base(tree, cx).await,
                _ => Ok(tree.into_adapted()),
            }
        }
        .boxed()
    }
}
