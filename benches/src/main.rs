//! The export of an embedded ledger as one process, to be timed from outside against what a user would do instead.
//!
//! It runs the very stages that a deployment runs (plan, resolve, adapt, assemble) on a real ledger and a staging folder; only the
//! broker is left out, whose share of a run is milliseconds a step. `benches/json.sh` drives it.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use clap::Parser;
use export_adapt::adapter::Tools;
use export_adapt::{AdaptPart, Assemble, Registry};
use export_blobs::folder::FolderBlobs;
use export_blobs::{BlobStore, Workspace};
use export_contract::event::ProgressTick;
use export_contract::message::{RunAdmitted, RunRequest};
use export_contract::profile::{DistributionKind, Profile, ProfileKind};
use export_contract::run::{Phase, RunOptions, RunRef};
use export_contract::selectors::Selectors;
use export_contract::{Generation, PartIndex, RunId, Timestamp, Version};
use export_evidence::{EvidenceLedger, SqliteLedger};
use export_pipeline::context::ProgressSink;
use export_pipeline::stage::PartResolved;
use export_pipeline::{Stage, StageContext};
use export_plan::Plan;
use export_resolve::Resolve;
use futures::{StreamExt as _, TryStreamExt as _};
use tokio_util::sync::CancellationToken;

/// Exports `json:raw` of a tenant and prints the files with their digests.
#[derive(Debug, Parser)]
struct Arguments {
    /// Folder with `evidence.db`.
    #[arg(long)]
    data: PathBuf,
    /// Folder to stage in.
    #[arg(long)]
    staging: PathBuf,
    /// Tenant.
    #[arg(long, default_value = "bench")]
    tenant: String,
    /// Parts adapted at once.
    #[arg(long, default_value_t = 2)]
    slots: usize,
    /// Threads that compress, per part.
    #[arg(long, default_value_t = NonZeroUsize::MIN)]
    threads: NonZeroUsize,
}

/// Nobody watches.
struct Unwatched;

impl ProgressSink for Unwatched {
    fn tick(&self, _tick: ProgressTick) {}
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let ledger: Arc<dyn EvidenceLedger> = Arc::new(SqliteLedger::open(&arguments.data.join("evidence.db"))?);
    let staging: Arc<dyn BlobStore> = Arc::new(FolderBlobs::open(&arguments.staging).await?);
    let now = Timestamp::from(SystemTime::now());
    let run = RunRef {
        tenant: arguments.tenant.parse()?,
        run: RunId::from_parts(now.as_micros().unsigned_abs() / 1_000, 0),
        generation: Generation::FIRST,
    };
    let tools = Tools { ledger: ledger.clone(), threads: arguments.threads };
    let registry = Registry::new(&tools, &BTreeSet::from([ProfileKind::JsonRaw]));
    let admitted = RunAdmitted {
        v: Version,
        run: run.clone(),
        profile: Profile::built_in(run.tenant.clone(), ProfileKind::JsonRaw, now),
        selectors: Selectors::default(),
        options: RunOptions::default(),
        request: RunRequest { by: "bench".to_owned(), at: now, admitted_at: now, correlation_id: "bench".to_owned() },
    };
    let workspace = Workspace::new(staging, run);
    let context = |phase, part: Option<PartIndex>| {
        StageContext::new(workspace.clone(), phase, part, 1, CancellationToken::new(), Arc::new(Unwatched))
    };
    let plan = Plan::new(ledger.clone(), registry.references(), BTreeSet::from([DistributionKind::Http]));
    let planned = plan.handle(admitted, &context(Phase::Plan, None)).await?;
    let resolved = Resolve::new(ledger).handle(planned, &context(Phase::Resolve, None)).await?;
    let stage = Arc::new(AdaptPart::new(registry.clone()));
    futures::stream::iter(resolved.parts.clone())
        .map(|part| {
            let (stage, workspace, plan) = (stage.clone(), workspace.clone(), resolved.plan.clone());
            let cx = context(Phase::Adapt, Some(part.index));
            tokio::spawn(async move {
                let index = part.index;
                let adapted = stage.handle(PartResolved { plan, part }, &cx).await?;
                workspace.put_result(Phase::Adapt, Some(index), &adapted).await?;
                anyhow::Ok(())
            })
        })
        .buffer_unordered(arguments.slots)
        .map(|joined| joined.map_err(anyhow::Error::from).and_then(|outcome| outcome))
        .try_collect::<Vec<()>>()
        .await?;
    let adapted = Assemble::new(registry).handle(resolved, &context(Phase::Adapt, None)).await?;
    for file in adapted.files {
        let (records, plain) = (file.records.unwrap_or(0), file.plain_bytes.unwrap_or(0));
        writeln!(
            std::io::stdout(),
            "{} {} bytes={} plain={plain} records={records}",
            file.artefact.digest,
            file.path,
            file.artefact.bytes
        )?;
    }
    Ok(())
}
