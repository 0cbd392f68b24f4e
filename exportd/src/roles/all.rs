//! Every role in one process, on a broker of its own: `exportd all`.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use anyhow::Context as _;
use export_authority::Scope;
use export_client::Credentials;
use export_contract::TenantId;
use export_jetstream::server::ServerConfig;
use export_jetstream::{NatsServer, connect};

use super::{Parts, Process, Role, add, gateway, say_ready};
use crate::config::Config;
use crate::stores;
use crate::telemetry::Telemetry;

/// The tenant that `exportd all` makes a client for.
const LOCAL_TENANT: &str = "demo";
/// That client.
const LOCAL_CLIENT: &str = "local";

/// Runs everything until it is told to stop; starts and stops a broker of its own if none is configured.
pub(crate) async fn all(config: Config, told: &Telemetry) -> anyhow::Result<()> {
    std::fs::create_dir_all(&config.data_dir)
        .with_context(|| format!("cannot create the data folder `{}`", config.data_dir.display()))?;
    stores::make_key(&config).context("cannot make the signing key")?;
    let (server, nats) = if config.nats.url.is_empty() {
        let mut server_config = ServerConfig::new(config.data_dir.join("nats"));
        let program = &config.nats.server_program;
        server_config.binary = Some(program.clone()).filter(|program| !program.as_os_str().is_empty());
        let server = NatsServer::start(server_config).await.context("cannot start the broker")?;
        let nats = connect(&server.url(), server.credentials()).await?;
        (Some(server), nats)
    } else {
        (None, stores::broker(&config).await?)
    };
    let outcome = Box::pin(work(config, nats, told)).await;
    if let Some(server) = server {
        server.stop().await;
    }
    outcome
}

async fn work(config: Config, nats: export_jetstream::Nats, told: &Telemetry) -> anyhow::Result<()> {
    let mut process = Process::start(config, nats, told).await?;
    let mut parts = Parts::default();
    for role in Role::ALL.into_iter().filter(|role| *role != Role::Gateway) {
        let more = Box::pin(add(&mut process, role)).await?;
        parts.adapters = parts.adapters.or(more.adapters);
        for probe in more.probes {
            use export_gateway::admin::Probe as _;
            if parts.probes.iter().all(|known| known.name() != probe.name()) {
                parts.probes.push(probe);
            }
        }
    }
    let admin = process.admin("all", parts.adapters, parts.probes).await?;
    // The gateway comes last: whoever can reach it finds everything behind it at work.
    let (_, server) = Box::pin(gateway::add(&mut process)).await?;
    announce(&process.config, &server, admin)?;
    process.until_stopped().await
}

/// Writes the credentials of the local client, and says on standard output where everything is.
fn announce(config: &Config, server: &str, admin: SocketAddr) -> anyhow::Result<()> {
    // Where people go with a browser; `null` where there are no pages for them.
    let console = config.console.enabled.then(|| format!("{}/", config.public_url().unwrap_or(server)));
    if !config.authority.is_local() {
        // Clients and tenants are the authority's.
        return say_ready(&serde_json::json!({
            "ready": true,
            "role": "all",
            "server": server,
            "console": console,
            "admin": format!("http://{admin}"),
            "publicKey": config.data_dir.join("keys/cosign.pub"),
        }));
    }
    let path = config.data_dir.join("credentials.json");
    let credentials = if let Ok(mut kept) = Credentials::read(&path) {
        // The client of an earlier start is still known: only the address may be another.
        server.clone_into(&mut kept.server);
        kept
    } else {
        let authority = stores::local_authority(config)?;
        let tenant: TenantId = LOCAL_TENANT.parse()?;
        let scopes: BTreeSet<Scope> = Scope::ALL.into_iter().collect();
        let client = authority.put_client(LOCAL_CLIENT, vec![tenant], &scopes)?;
        Credentials::new(server.to_owned(), None, client.client_id, client.client_secret)
    };
    credentials.write(&path)?;
    say_ready(&serde_json::json!({
        "ready": true,
        "role": "all",
        "server": server,
        "console": console,
        "admin": format!("http://{admin}"),
        "credentials": path,
        "publicKey": config.data_dir.join("keys/cosign.pub"),
        "tenant": LOCAL_TENANT,
    }))
}
