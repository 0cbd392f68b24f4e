//! The gateway.

use std::sync::Arc;

use anyhow::Context as _;
use export_adapt::Registry;
use export_adapt::adapter::{FAN_IN, Tools};
use export_authority::{Authority, KeyTiming, LinkKey, ProofChecker, RemoteKeys, TokenRules, TokenVerifier};
use export_contract::LogEvent;
use export_evidence::policy::NoPolicy;
use export_gateway::admin::{Health, Probe};
use export_gateway::server::{self, Certificates};
use export_gateway::{Audit, Console, Gateway, HttpMetrics, Limits, Rates};
use export_jetstream::{NatsDeadLetters, NatsFeed, NatsQueue, NatsRegister};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::{Parts, Process};
use crate::config::Config;
use crate::probes::Dependency;
use crate::stores;

/// Who checks tokens, where that is not the gateway's own authority.
fn elsewhere(config: &Config) -> anyhow::Result<TokenVerifier> {
    let settings = &config.authority;
    let ca_file = Some(settings.ca_file.as_path()).filter(|path| !path.as_os_str().is_empty());
    let keys = RemoteKeys::new(&settings.jwks_url, ca_file, KeyTiming::default())
        .context("cannot reach the authority of authority.jwks_url")?;
    let rules = TokenRules {
        issuer: settings.issuer.clone(),
        audience: settings.audience.clone(),
        tenant_claim: settings.tenant_claim.clone(),
    };
    Ok(TokenVerifier::new(rules, Arc::new(keys)))
}

/// Adds the gateway to the process and gives its address, such as `http://127.0.0.1:8480`.
pub(super) async fn add(process: &mut Process) -> anyhow::Result<(Parts, String)> {
    let config = &process.config;
    let runs = stores::runs(config).await?;
    let staging = stores::staging(config).await?;
    let signers = stores::signers(config)
        .await
        .context("cannot reach the signing keys, whose public halves the gateway shows")?;
    let local = config.authority.is_local().then(|| stores::local_authority(config)).transpose()?;
    let issuer = local.map(Arc::new);
    let authority: Arc<dyn Authority> = match &issuer {
        Some(local) => local.clone(),
        None => Arc::new(elsewhere(config)?),
    };
    let links = LinkKey::open(&config.path_or(&config.links.key_file, "keys/links.key"))?;
    let register = NatsRegister::open(process.nats.clone(), process.topology.clone())
        .await
        .context("cannot open the register of proofs")?;
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
            Dependency::Adapters(registry.clone(), registry.digest()),
            Dependency::Clock(process.nats.clone()),
        ]
    };
    let console = if config.console.enabled {
        Some(Console::new(&config.console.authorities).context("console.authorities names what is no origin")?)
    } else {
        None
    };
    let adapters = Some(registry.digest().to_string());
    let probes = dependencies().into_iter().map(|probe| Arc::new(probe) as Arc<dyn Probe>).collect();
    let gateway = Gateway {
        queue: Arc::new(NatsQueue::new(process.nats.clone(), process.metrics.clone())),
        letters: Arc::new(NatsDeadLetters::new(process.nats.clone())),
        feed: Arc::new(NatsFeed::new(process.nats.clone())),
        issuer,
        authority,
        proofs: ProofChecker::new(links.nonce_key(), config.authority.require_nonce, Arc::new(register)),
        public_url: config.public_url().map(str::to_owned),
        brake: Arc::default(),
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
        approvers: stores::approvers(config)?,
        links,
        registry: Arc::new(export_gateway::Registry::new(
            config.registry.anonymous.clone(),
            if config.registry.public_url.is_empty() { &config.public_url } else { &config.registry.public_url },
            config.tls.pair().is_some(),
        )),
        vex: Arc::default(),
        quotas: Arc::new(config.limits.quotas()),
        rates: Arc::new(Rates::new(config.limits.requests(), config.limits.failures())),
        audit: Audit::new(stores::audit(config).await?),
        metrics: HttpMetrics::register(&process.registry).context("cannot register metrics")?,
        idempotency: stores::idempotency(config).await?,
        console,
        cors: Arc::new(config.cors.origins.clone()),
    };
    let certificates = config.tls.pair().map(|(certificate, key)| Certificates::open(certificate, key));
    let certificates = certificates.transpose().context("tls.certificate_file, tls.key_file")?;
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {} (listen)", config.listen))?;
    let address = listener.local_addr().context("the gateway has no address")?;
    let parts = Parts { adapters, probes: dependencies() };
    let scheme = if certificates.is_some() { "https" } else { "http" };
    tracing::info!(event = %LogEvent::GatewayListens, %address, scheme, adapters = %registry.digest(), "the gateway listens");
    if let Some(certificates) = certificates.clone() {
        process.tasks.spawn(certificates.follow(process.stop.clone()));
    }
    process.tasks.spawn(server::serve_api(listener, certificates, gateway, process.stop.clone()));
    Ok((parts, format!("{scheme}://{address}")))
}
