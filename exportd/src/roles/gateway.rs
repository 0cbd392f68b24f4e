//! The gateway.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use export_adapt::Registry;
use export_adapt::adapter::{FAN_IN, Tools};
use export_authority::{LinkKey, LocalAuthority};
use export_evidence::policy::NoPolicy;
use export_gateway::admin::{Health, Probe};
use export_gateway::{Gateway, Limits, routes, server};
use export_jetstream::{NatsFeed, NatsQueue};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::{Parts, Process};
use crate::probes::Dependency;
use crate::stores;

/// Adds the gateway to the process and gives its address.
pub(super) async fn add(process: &mut Process) -> anyhow::Result<(Parts, SocketAddr)> {
    let config = &process.config;
    let runs = stores::runs(config).await?;
    let staging = stores::staging(config).await?;
    let signers = stores::signers(config)
        .await
        .context("cannot reach the signing keys, whose public halves the gateway shows")?;
    let authority = Arc::new(LocalAuthority::open(
        &config.path_or(&config.authority.folder, "authority"),
        &config.authority.issuer,
    )?);
    // It only says which adapters there are.
    let tools = Tools {
        ledger: stores::evidence(config).await?,
        threads: std::num::NonZeroUsize::MIN,
        scratch: std::path::PathBuf::new(),
        fan_in: FAN_IN,
        policy: Arc::new(NoPolicy),
    };
    let registry = Registry::new(&tools, &config.allow.profiles);
    let dependencies = || {
        vec![
            Dependency::Broker(process.nats.clone()),
            Dependency::RunLedger(runs.clone()),
            Dependency::EvidenceLedger(tools.ledger.clone()),
            Dependency::Staging(staging.clone()),
            Dependency::Signers(signers.clone()),
        ]
    };
    let adapters = Some(registry.digest().to_string());
    let probes = dependencies().into_iter().map(|probe| Arc::new(probe) as Arc<dyn Probe>).collect();
    let gateway = Gateway {
        queue: Arc::new(NatsQueue::new(process.nats.clone(), process.metrics.clone())),
        feed: Arc::new(NatsFeed::new(process.nats.clone())),
        issuer: Some(authority.clone()),
        authority,
        supported: registry.kinds(),
        keys: stores::public_keys(config, &signers)?,
        health: Arc::new(Health::new("gateway", adapters.clone(), probes)),
        limits: Limits { body_bytes: config.limits.body_bytes, event_streams: config.limits.event_streams },
        event_places: Arc::new(Semaphore::new(config.limits.event_streams)),
        runs: runs.clone(),
        schedules: stores::schedules(config).await?,
        webhooks: export_gateway::Webhooks {
            store: stores::webhooks(config).await?,
            secrets: stores::webhook_secrets(config)?,
            rules: config.webhooks.rules(config.offline),
        },
        blobs: staging.clone(),
        links: LinkKey::open(&config.path_or(&config.links.key_file, "keys/links.key"))?,
        registry: Arc::new(export_gateway::Registry::new(
            config.registry.anonymous.clone(),
            &config.registry.public_url,
        )),
        vex: Arc::default(),
        idempotency: stores::idempotency(config).await?,
        cors: Arc::new(config.cors.origins.clone()),
    };
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {} (listen)", config.listen))?;
    let address = listener.local_addr().context("the gateway has no address")?;
    let parts = Parts { adapters, probes: dependencies() };
    tracing::info!(%address, adapters = %registry.digest(), "the gateway listens");
    process.tasks.spawn(server::serve(listener, routes(&gateway), process.stop.clone()));
    Ok((parts, address))
}
