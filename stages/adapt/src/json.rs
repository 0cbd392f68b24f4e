//! `json:raw`: canonical JSON lines of advisories, VEX and SBOMs, in independent zstd frames.

pub(crate) mod files;
pub(crate) mod part;
mod readme;

use export_contract::message::{PartAdapted, PartsResolved, RunAdapted};
use export_contract::profile::ProfileKind;
use export_pipeline::StageContext;
use export_pipeline::stage::PartResolved;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::adapter::{Adapter, Tools};
use crate::error::AdaptError;

/// The adapter of `json:raw`.
#[derive(Clone, Debug)]
pub(crate) struct JsonRaw {
    tools: Tools,
    /// One for all parts that this process writes at once, so that more of them take no more memory.
    workshop: part::Workshop,
}

impl JsonRaw {
    pub(crate) fn new(tools: Tools) -> Self {
        Self { tools, workshop: part::Workshop::default() }
    }
}

impl Adapter for JsonRaw {
    fn kind(&self) -> ProfileKind {
        ProfileKind::JsonRaw
    }

    fn version(&self) -> &'static str {
        "1"
    }

    fn adapt_part<'a>(
        &'a self,
        input: PartResolved,
        cx: &'a StageContext,
    ) -> BoxFuture<'a, Result<PartAdapted, AdaptError>> {
        part::write(&self.tools, &self.workshop, input, false, cx).boxed()
    }

    fn assemble<'a>(
        &'a self,
        input: PartsResolved,
        cx: &'a StageContext,
    ) -> BoxFuture<'a, Result<RunAdapted, AdaptError>> {
        files::join(input, cx).boxed()
    }
}
