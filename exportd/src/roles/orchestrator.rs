//! Admission, recorder, join and reconciler.

use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context as _;
use export_contract::LogEvent;
use export_jetstream::{Exhaustion, Join, NatsQueue, Tail};
use export_orchestrator::{Orchestrator, Pace, Patience, Ports, Reconciled, system_clock};
use tokio::time::Duration;

use super::{Parts, Process, gauges, schedules, webhooks};
use crate::config::StagingDriver;
use crate::log_handler::Recording;
use crate::probes::Dependency;
use crate::reconciler_metrics::ReconcilerMetrics;
use crate::retention_metrics::RetentionMetrics;
use crate::run_metrics::RunMetrics;
use crate::{retention, stores};

/// Adds the orchestrator to the process.
pub(super) async fn add(process: &mut Process) -> anyhow::Result<Parts> {
    let config = &process.config;
    let audit = stores::audit(config).await?;
    let ports = Ports {
        ledger: stores::runs(config).await?,
        queue: Arc::new(NatsQueue::new(process.nats.clone(), process.metrics.clone())),
        staging: stores::staging(config).await?,
        clock: system_clock(),
        audit: Some(audit.clone()),
    };
    let probes = vec![
        Dependency::Broker(process.nats.clone()),
        Dependency::RunLedger(ports.ledger.clone()),
        Dependency::Staging(ports.staging.clone()),
        Dependency::Clock(process.nats.clone()),
    ];
    let caps = config.limits.caps();
    let patience = Patience { silence: Duration::from_secs(config.workers.silent_seconds), ..Patience::default() };
    let pace = Pace { reconcile: Duration::from_secs(config.workers.reconcile_seconds), ..Pace::default() };
    schedules::add(config, ports.clone(), &process.registry, process.stop.clone(), &mut process.tasks).await?;
    let runs = RunMetrics::register(&process.registry, config.metrics.tenants).context("cannot register metrics")?;
    let (clock, stop) = (ports.clock.clone(), process.stop.clone());
    webhooks::add(config, clock, &process.registry, runs.clone(), stop, &mut process.tasks).await?;
    if config.staging.driver == StagingDriver::Folder {
        let folder = config.path_or(&config.staging.folder, "staging");
        process.tasks.spawn(gauges::measure(runs.clone(), folder, process.stop.clone()));
    }
    process.tasks.spawn(gauges::keep(runs, ports.ledger.clone(), process.nats.clone(), process.stop.clone()));
    let orchestrator = Orchestrator::new(ports, caps, patience);
    let metrics = ReconcilerMetrics::register(&process.registry).context("cannot register metrics")?;
    let stop = process.stop.clone();
    let tail = Tail::new(process.nats.clone(), process.topology.clone(), process.metrics.clone());
    let recording = Recording(orchestrator.clone());
    process.tasks.spawn(tail.run(recording, stop.clone()));
    process.tasks.spawn(Exhaustion::new(process.nats.clone(), process.metrics.clone()).run(stop.clone()));
    process.tasks.spawn(Join::new(process.nats.clone(), process.metrics.clone()).run(stop.clone()));
    process.tasks.spawn(async move {
        orchestrator
            .run(pace, stop, |pass| {
                metrics.count(pass);
                if pass != Reconciled::default() {
                    tracing::info!(event = %LogEvent::ReconcilerPassed, ?pass, "the reconciler looked after silent runs");
                }
            })
            .await;
    });
    if process.config.retention.enabled {
        let retention = retention::pruner(&process.config).await?;
        let metrics = RetentionMetrics::register(&process.registry).context("cannot register metrics")?;
        let (interval, dry_run) = (process.config.retention.interval(), process.config.retention.dry_run);
        let stop = process.stop.clone();
        process.tasks.spawn(async move {
            retention
                .run(interval, dry_run, stop, |pass| {
                    metrics.count(&pass, SystemTime::now().into());
                    tracing::info!(event = %LogEvent::RetentionPassed, ?pass, "retention looked through the runs");
                })
                .await;
        });
        let (rules, stop) = (process.config.retention.clone(), process.stop.clone());
        process.tasks.spawn(async move { retention::keep_log(&rules, &*audit, stop).await });
    }
    Ok(Parts { adapters: None, probes })
}
