//! The six stages as workers.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::SystemTime;

use anyhow::Context as _;
use export_adapt::adapter::{FAN_IN, Tools};
use export_adapt::{AdaptPart, Assemble, Registry};
use export_contract::Timestamp;
use export_contract::event::WaitReason;
use export_distribute::Distribute;
use export_evidence::EvidenceLedger;
use export_evidence::policy::PolicySource;
use export_jetstream::{Check, Step, Worker};
use export_manifest::Manifest;
use export_pipeline::Stage;
use export_plan::Plan;
use export_resolve::Resolve;
use export_sign::Sign;
use futures::FutureExt as _;

use super::{Parts, Process, Role};
use crate::config::Config;
use crate::probes::Dependency;
use crate::stores;
use crate::target_metrics::TargetMetrics;

/// Adds the workers of a stage to the process.
pub(super) async fn add(process: &mut Process, role: Role) -> anyhow::Result<Parts> {
    let deps = process.deps().await?;
    let mut parts = Parts {
        adapters: None,
        probes: vec![Dependency::Broker(process.nats.clone()), Dependency::Staging(deps.store.clone())],
    };
    let slots = process.config.workers.slots;
    match role {
        Role::Plan => {
            let registry = registry(&process.config, &mut parts).await?;
            let ledger = stores::evidence(&process.config).await?;
            let policy = stores::policy_source(&process.config).await?;
            let ways = stores::ways(&process.config)?;
            let plan = Plan::new(ledger.clone(), policy, registry.references(), ways);
            work_on(process, plan, Step::Plan, slots, ledger).await
        }
        Role::Resolve => {
            let ledger = stores::evidence(&process.config).await?;
            parts.probes.push(Dependency::EvidenceLedger(ledger.clone()));
            work_on(process, Resolve::new(ledger.clone()), Step::Resolve, slots, ledger).await
        }
        Role::Adapt => {
            let registry = registry(&process.config, &mut parts).await?;
            let adapt_slots = process.config.workers.adapt_slots;
            let ledger = stores::evidence(&process.config).await?;
            work_on(process, AdaptPart::new(registry.clone()), Step::AdaptPart, adapt_slots, ledger).await?;
            work(process, Assemble::new(registry), Step::Assemble, adapt_slots).await
        }
        Role::Manifest => {
            let manifest = Manifest::new(stores::sealing(&process.config)?);
            work(process, manifest, Step::Manifest, slots).await
        }
        Role::Sign => {
            let signers = stores::signers(&process.config).await?;
            let on_failure = stores::failure_counter(&process.registry).context("cannot register metrics")?;
            parts.probes.push(Dependency::Signers(signers.clone()));
            let mut sign = Sign::new(signers, Arc::new(clock), on_failure);
            if let Some(builder) = stores::builder(&process.config).await? {
                sign = sign.built_by(builder);
            }
            work(process, sign, Step::Sign, slots).await
        }
        Role::Distribute => {
            let metrics = TargetMetrics::register(&process.registry).context("cannot register metrics")?;
            let targets = stores::targets(&process.config).await?;
            let targets = targets.into_iter().map(|target| metrics.measured(target)).collect();
            let distribute = Distribute::new(targets).keeping(process.config.retention.default_days());
            work(process, distribute, Step::Distribute, slots).await
        }
        Role::Gateway | Role::Orchestrator => Ok(()),
    }?;
    Ok(parts)
}

async fn work<S: Stage>(process: &mut Process, stage: S, step: Step, slots: usize) -> anyhow::Result<()> {
    let worker = Worker::new(stage, step, process.deps().await?, process.settings(slots));
    process.tasks.spawn(worker.run(process.stop.clone()));
    Ok(())
}

/// The same of a stage that reads the evidence ledger, and waits while that is away.
async fn work_on<S: Stage>(
    process: &mut Process,
    stage: S,
    step: Step,
    slots: usize,
    ledger: Arc<dyn EvidenceLedger>,
) -> anyhow::Result<()> {
    let check: Check = Arc::new(move || {
        let ledger = Arc::clone(&ledger);
        async move { ledger.check().await.map_err(Into::into) }.boxed()
    });
    let worker = Worker::new(stage, step, process.deps().await?, process.settings(slots));
    process.tasks.spawn(worker.waiting_for(WaitReason::Evidence, check).run(process.stop.clone()));
    Ok(())
}

/// The adapters of this deployment; its digest goes to the log and to readiness.
async fn registry(config: &Config, parts: &mut Parts) -> anyhow::Result<Registry> {
    let ledger = stores::evidence(config).await?;
    parts.probes.push(Dependency::EvidenceLedger(ledger.clone()));
    let registry = adapters(config, ledger, stores::policy_source(config).await?)?;
    parts.adapters = Some(registry.digest().to_string());
    Ok(registry)
}

/// The adapters that the configuration allows, over `ledger` and `policy`.
pub(crate) fn adapters(
    config: &Config,
    ledger: Arc<dyn EvidenceLedger>,
    policy: Arc<dyn PolicySource>,
) -> anyhow::Result<Registry> {
    let cores = available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let threads = NonZeroUsize::new(config.workers.adapt_threads).unwrap_or(cores);
    let scratch = config.path_or(&config.workers.scratch_dir, "scratch");
    std::fs::create_dir_all(&scratch).with_context(|| format!("cannot create `{}`", scratch.display()))?;
    let tools = Tools { ledger, threads, scratch, fan_in: FAN_IN, policy };
    let registry = Registry::new(&tools, &config.allow.profiles);
    tracing::info!(adapters = %registry.digest(), kinds = ?registry.kinds(), "adapters are registered");
    Ok(registry)
}

fn clock() -> Timestamp {
    SystemTime::now().into()
}
