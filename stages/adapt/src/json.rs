//! `json:raw`: canonical JSON lines of advisories, VEX and SBOMs, in independent zstd frames. `json:policy`: the same with a policy
//! snapshot and its findings.

pub(crate) mod files;
pub(crate) mod part;
pub(crate) mod policy;
mod readme;

use export_contract::message::{PartAdapted, PartsResolved, RunAdapted};
use export_contract::profile::ProfileKind;
use export_pipeline::StageContext;
use export_pipeline::stage::PartResolved;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::adapter::{Adapter, Tools};
use crate::error::AdaptError;

/// The adapter of `json:raw` or `json:policy`.
#[derive(Clone, Debug)]
pub(crate) struct Json {
    kind: ProfileKind,
    tools: Tools,
    /// One for all parts that this process writes at once, so that more of them take no more memory.
    workshop: part::Workshop,
}

impl Json {
    pub(crate) fn raw(tools: Tools) -> Self {
        Self { kind: ProfileKind::JsonRaw, tools, workshop: part::Workshop::default() }
    }

    pub(crate) fn policy(tools: Tools) -> Self {
        Self { kind: ProfileKind::JsonPolicy, ..Self::raw(tools) }
    }

    async fn join(&self, input: PartsResolved, cx: &StageContext) -> Result<RunAdapted, AdaptError> {
        let policy = policy::export(&self.tools, &self.workshop, &input.plan, cx).await?;
        files::join(input, policy, cx).await
    }
}

impl Adapter for Json {
    fn kind(&self) -> ProfileKind {
        self.kind
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
        self.join(input, cx).boxed()
    }
}
