//! The stages once more, one after the other, in a workspace that holds nothing else.

use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, ensure};
use export_adapt::{AdaptPart, Assemble};
use export_blobs::folder::FolderBlobs;
use export_blobs::{BlobKey, BlobStore, Workspace};
use export_contract::event::ProgressTick;
use export_contract::manifest::ExportManifest;
use export_contract::message::{BaseRun, PartsResolved, RunAdmitted, RunRequest};
use export_contract::run::{Phase, RunOptions, RunRef};
use export_contract::{Digest, PartIndex, Timestamp, Version};
use export_evidence::policy::{NoPolicy, PolicySource};
use export_manifest::Manifest;
use export_pipeline::context::ProgressSink;
use export_pipeline::stage::PartResolved;
use export_pipeline::{Stage, StageContext};
use export_plan::{Plan, Ways};
use export_resolve::Resolve;
use futures::TryStreamExt as _;
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
    // A bundle without a snapshot is made again without one, whatever there is by now.
    let policy: Arc<dyn PolicySource> = match &original.manifest.policy_snapshot {
        Some(_) => stores::policy_source(config).await?,
        None => Arc::new(NoPolicy),
    };
    let registry = roles::adapters(config, ledger.clone(), policy.clone())?;
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
    if let Some(base) = &original.base {
        copy(base, &original.staging, &blobs).await.context("cannot copy what the base is made of")?;
    }
    let workspace = Workspace::new(blobs, original.run.clone());
    let cx = |phase: Phase, part: Option<PartIndex>| {
        StageContext::new(workspace.clone(), phase, part, 1, CancellationToken::new(), Arc::new(Silent))
    };

    // Nothing is handed over here, and whatever the profile names is what it named then.
    let ways = Ways::as_asked(&original.profile.config);
    let plan = Plan::new(ledger.clone(), policy, registry.references(), ways);
    let plan = plan.handle(admitted(original), &cx(Phase::Plan, None)).await.context("plan failed")?;
    ensure!(
        plan.config_digest == original.manifest.profile.config_digest,
        "the profile's revision is not the one that the bundle was made with"
    );
    ensure!(
        plan.policy_snapshot == original.manifest.policy_snapshot,
        "the policy snapshot that the bundle holds was replaced since: its text or its findings are others"
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

/// Copies what the base's run left: a delta is compared with the very bytes that its base has.
async fn copy(base: &BaseRun, from: &Arc<dyn BlobStore>, to: &FolderBlobs) -> anyhow::Result<()> {
    let RunRef { tenant, run, .. } = &base.run;
    let prefix: BlobKey = format!("{tenant}/{run}").parse()?;
    for key in from.list(&prefix).await? {
        let mut pieces = from.read(&key, None).await?;
        let mut writer = to.writer().await?;
        while let Some(piece) = pieces.try_next().await? {
            writer.write(piece).await?;
        }
        writer.finish(&key).await?;
    }
    Ok(())
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
        options: RunOptions {
            watermark: Some(original.watermark),
            reset_baseline: original.manifest.delta.as_ref().is_some_and(|delta| delta.reset_baseline),
            policy_snapshot_id: original.manifest.policy_snapshot.as_ref().map(|snapshot| snapshot.id.clone()),
            ..RunOptions::default()
        },
        request: RunRequest {
            by: "prove".to_owned(),
            at,
            admitted_at: at,
            correlation_id: "prove".to_owned(),
            traceparent: None,
        },
        base: original.base.clone(),
        // A confirmation would prove nothing: the bundle is made again, whatever there is.
        previous: None,
    }
}
