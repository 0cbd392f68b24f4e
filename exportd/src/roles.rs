//! The roles, each built from its parts, and how they start and stop.

mod all;
mod gateway;
mod gauges;
mod orchestrator;
mod schedules;
mod stages;
mod webhooks;

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use export_gateway::admin::{self, Health, Probe};
use export_jetstream::{Cancellations, Deps, Metrics, Nats, Settings, Topology, topology};
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::Duration;
use tokio_util::sync::CancellationToken;

pub(crate) use self::all::all;
pub(crate) use self::stages::adapters;
use crate::config::Config;
use crate::probes::Dependency;
use crate::stores;

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Gateway,
    Orchestrator,
    Plan,
    Resolve,
    Adapt,
    Manifest,
    Sign,
    Distribute,
}

impl Role {
    /// Every role.
    const ALL: [Self; 8] = [
        Self::Gateway,
        Self::Orchestrator,
        Self::Plan,
        Self::Resolve,
        Self::Adapt,
        Self::Manifest,
        Self::Sign,
        Self::Distribute,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Orchestrator => "orchestrator",
            Self::Plan => "plan",
            Self::Resolve => "resolve",
            Self::Adapt => "adapt",
            Self::Manifest => "manifest",
            Self::Sign => "sign",
            Self::Distribute => "distribute",
        }
    }
}

/// What the roles of a process have in common.
struct Process {
    config: Config,
    nats: Nats,
    topology: Topology,
    metrics: Metrics,
    registry: Registry,
    cancellations: Cancellations,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

/// How the broker is laid out for this deployment.
pub(crate) fn layout(config: &Config) -> Topology {
    Topology {
        replicas: config.nats.replicas,
        log_max_bytes: config.nats.log_max_bytes,
        ack_wait: Duration::from_secs(config.workers.ack_wait_seconds),
        max_deliver: config.workers.max_deliver,
        ..Topology::default()
    }
}

impl Process {
    async fn start(config: Config, nats: Nats) -> anyhow::Result<Self> {
        let topology = layout(&config);
        topology::ensure(&nats, &topology).await.context("cannot lay out the broker")?;
        let registry = Registry::new();
        Ok(Self {
            metrics: Metrics::register(&registry).context("cannot register metrics")?,
            cancellations: Cancellations::watch(&nats),
            config,
            nats,
            topology,
            registry,
            stop: CancellationToken::new(),
            tasks: JoinSet::new(),
        })
    }

    async fn deps(&self) -> anyhow::Result<Deps> {
        Ok(Deps {
            nats: self.nats.clone(),
            topology: self.topology.clone(),
            store: stores::staging(&self.config).await?,
            cancellations: self.cancellations.clone(),
            metrics: self.metrics.clone(),
        })
    }

    fn settings(&self, slots: usize) -> Settings {
        Settings { slots, stall_limit: Duration::from_secs(self.config.workers.stuck_seconds), ..Settings::default() }
    }

    /// Health and metrics of the process; gives their address.
    async fn admin(
        &mut self,
        role: &'static str,
        adapters: Option<String>,
        probes: Vec<Dependency>,
    ) -> anyhow::Result<SocketAddr> {
        let probes: Vec<Arc<dyn Probe>> = probes.into_iter().map(|probe| Arc::new(probe) as Arc<dyn Probe>).collect();
        let health = Arc::new(Health::new(role, adapters, probes));
        let listener = TcpListener::bind(self.config.admin_listen)
            .await
            .with_context(|| format!("cannot listen on {} (admin_listen)", self.config.admin_listen))?;
        let address = listener.local_addr().context("the admin listener has no address")?;
        let routes = admin::routes(health, self.registry.clone());
        self.tasks.spawn(export_gateway::server::serve(listener, None, routes, self.stop.clone()));
        Ok(address)
    }

    /// Waits for a signal, stops every task, and gives them time to end.
    async fn until_stopped(mut self) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
        let mut ended_early = false;
        tokio::select! {
            _ = terminate.recv() => tracing::info!("asked to stop"),
            interrupt = tokio::signal::ctrl_c() => {
                interrupt.context("cannot wait for signals")?;
                tracing::info!("interrupted");
            }
            Some(_) = self.tasks.join_next() => ended_early = true,
        }
        self.stop.cancel();
        let drained = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(Duration::from_secs(30), drained).await.is_err() {
            tracing::warn!("some work did not end in time; it goes to another worker");
        }
        self.nats.close().await;
        anyhow::ensure!(!ended_early, "a part of this process ended by itself; see the log");
        Ok(())
    }
}

/// Runs one role on the broker that the configuration names, until it is told to stop.
pub(crate) async fn one(config: Config, role: Role) -> anyhow::Result<()> {
    let nats = stores::broker(&config).await?;
    let mut process = Process::start(config, nats).await?;
    let (parts, server) = match role {
        Role::Gateway => Box::pin(gateway::add(&mut process)).await.map(|(parts, address)| (parts, Some(address)))?,
        role => (Box::pin(add(&mut process, role)).await?, None),
    };
    let admin = process.admin(role.as_str(), parts.adapters, parts.probes).await?;
    say_ready(&serde_json::json!({
        "ready": true,
        "role": role.as_str(),
        "admin": format!("http://{admin}"),
        "server": server,
    }))?;
    process.until_stopped().await
}

/// The one line on standard output: whoever started the process may go on.
fn say_ready(line: &serde_json::Value) -> anyhow::Result<()> {
    tracing::info!(%line, "ready");
    writeln!(std::io::stdout(), "{line}").context("cannot write to standard output")
}

/// What a role tells the admin side.
#[derive(Default)]
struct Parts {
    adapters: Option<String>,
    probes: Vec<Dependency>,
}

/// Builds a role and lets it work.
async fn add(process: &mut Process, role: Role) -> anyhow::Result<Parts> {
    match role {
        Role::Gateway => Box::pin(gateway::add(process)).await.map(|(parts, _)| parts),
        Role::Orchestrator => orchestrator::add(process).await,
        stage => stages::add(process, stage).await,
    }
}
