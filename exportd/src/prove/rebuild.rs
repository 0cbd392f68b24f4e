//! The stages once more, one after the other, in a workspace that holds nothing else.

use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, ensure};
use export_adapt::{AdaptPart, Assemble};
use export_blobs::Workspace;
use export_blobs::folder::FolderBlobs;
use export_contract::event::ProgressTick;
use export_contract::manifest::ExportManifest;
use export_contract::message::{PartsResolved, RunAdmitted, RunRequest};
use export_contract::run::{Phase, RunOptions};
use export_contract::{Digest, PartIndex, Timestamp, Version};
use export_manifest::Manifest;
use export_pipeline::context::ProgressSink;
use export_pipeline::stage::PartResolved;
use export_pipeline::{Stage, StageContext};
use export_plan::Plan;
use export_resolve::Resolve;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::manifest;
use super::original::Original;
use crate::config::Config;
use crate::{roles, stores};

/// What came out; its files go with it.
#[derive(Debug)]
pub(crate) struct Rebuilt {
    pub(crate) bundle: Digest,
    pub(crate) export_json: Digest,
    pub(crate) manifest: ExportManifest,
    pub(crate) workspace: Workspace,
    _folder: TempDir,
}

/// Nobody follows a rebuild.
struct Silent;

impl ProgressSink for Silent {
    fn tick(&self, _tick: ProgressTick) {}
}

/// Runs plan, resolve, adapt and manifest.
pub(crate) async fn rebuild(config: &Config, original: &Original) -> anyhow::Result<Rebuilt> {
    let ledger = stores::evidence(config).await?;
    let registry = roles::adapters(config, ledger.clone())?;
    let adapter = &original.manifest.adapter;
    ensure!(
        registry.references().contains(adapter),
        "the bundle was made by adapter {} {}, which this program does not have: take the exporter that the provenance names",
        adapter.name,
        adapter.version
    );
    let scratch = config.path_or(&config.workers.scratch_dir, "scratch");
    let folder = tempfile::Builder::new().prefix("export-prove-").tempdir_in(&scratch);
    let folder = folder.with_context(|| format!("cannot make a workspace in `{}`", scratch.display()))?;
    let blobs = Arc::new(FolderBlobs::open(folder.path()).await.context("cannot open the workspace")?);
    let workspace = Workspace::new(blobs, original.run.clone());
    let cx = |phase: Phase, part: Option<PartIndex>| {
        StageContext::new(workspace.clone(), phase, part, 1, CancellationToken::new(), Arc::new(Silent))
    };

    let plan = Plan::new(ledger.clone(), registry.references(), original.profile.config.distribution.clone());
    let plan = plan.handle(admitted(original), &cx(Phase::Plan, None)).await.context("plan failed")?;
    ensure!(
        plan.config_digest == original.manifest.profile.config_digest,
        "the profile's revision is not the one that the bundle was made with"
    );
    let resolved = Resolve::new(ledger).handle(plan, &cx(Phase::Resolve, None)).await.context("resolve failed")?;
    adapt(&AdaptPart::new(registry.clone()), &resolved, &workspace, &cx).await?;
    let assemble = Assemble::new(registry);
    let adapted = assemble.handle(resolved, &cx(Phase::Adapt, None)).await.context("adapt failed to join its parts")?;
    let written =
        Manifest::rebuilding().handle(adapted, &cx(Phase::Manifest, None)).await.context("manifest failed")?;
    let text =
        workspace.get_artefact(&written.export_json.digest, u64::MAX).await.context("cannot read export.json")?;
    Ok(Rebuilt {
        bundle: written.bundle.digest,
        export_json: written.export_json.digest,
        manifest: manifest(&text)?,
        workspace,
        _folder: folder,
    })
}

async fn adapt(
    stage: &AdaptPart,
    resolved: &PartsResolved,
    workspace: &Workspace,
    cx: &impl Fn(Phase, Option<PartIndex>) -> StageContext,
) -> anyhow::Result<()> {
    for part in &resolved.parts {
        let input = PartResolved { plan: resolved.plan.clone(), part: part.clone() };
        let adapted = stage.handle(input, &cx(Phase::Adapt, Some(part.index))).await;
        let adapted = adapted.with_context(|| format!("adapt failed in part {}", part.index))?;
        workspace.put_result(Phase::Adapt, Some(part.index), &adapted).await.context("cannot keep a part")?;
    }
    Ok(())
}

/// The run as it was admitted. Who asked and when is no input of the bytes.
fn admitted(original: &Original) -> RunAdmitted {
    let at: Timestamp = SystemTime::now().into();
    RunAdmitted {
        v: Version,
        run: original.run.clone(),
        profile: original.profile.clone(),
        selectors: original.selectors.clone(),
        options: RunOptions { watermark: Some(original.watermark), ..RunOptions::default() },
        request: RunRequest { by: "prove".to_owned(), at, admitted_at: at, correlation_id: "prove".to_owned() },
    }
}
