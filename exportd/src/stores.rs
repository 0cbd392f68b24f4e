//! Which driver stands behind which port.

mod bearer;
mod kept;
mod keys;
mod sealing;
mod targets;
mod ways;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use export_authority::{Approvers, LocalAuthority};
use export_blobs::folder::FolderBlobs;
use export_blobs::s3::{S3Blobs, S3Settings};
use export_blobs::{AccessKeySource, BlobStore};
use export_contract::RecordKind;
use export_evidence::policy::{HttpPolicyEngine, MongoPolicyStore, PolicySource, PolicyStore, SqlitePolicyStore};
use export_evidence::pull::{HttpPeer, Peer, PeerCollection};
use export_evidence::{EvidenceLedger, LedgerError, MongoLedger, SqliteLedger};
use export_jetstream::{Credentials, Nats, Security, connect_securely};
use export_runs::{
    AuditStore, IdempotencyStore, MongoRuns, RetentionStore, RunStore, RunStoreError, ScheduleStore, SqliteRuns,
    WebhookStore,
};
use export_signing::PublicKey;
use export_webhooks::SecretKeeper;
use tokio::time::{Duration, Instant, sleep};

use self::bearer::bearer;
pub(crate) use self::keys::{builder, failure_counter, make_key, public_keys, signers};
pub(crate) use self::sealing::sealing;
pub(crate) use self::targets::targets;
pub(crate) use self::ways::ways;
use crate::config::{Approver, Config, PolicyDriver, StagingDriver, StoreDriver};
use crate::secrets;

/// The database of the served choice.
async fn mongo(config: &Config) -> anyhow::Result<export_mongo::mongodb::Database> {
    let uri = secrets::read(&config.store.uri_file)?;
    Ok(export_mongo::connect(&uri, &config.store.database).await?)
}

/// How long a start waits for a served store.
const OPEN_WITHIN: Duration = Duration::from_secs(30);

/// Opens a served store. Roles and servers start together: one that does not answer yet is asked again.
async fn opened<T, E: std::error::Error + 'static>(
    open: impl AsyncFn() -> Result<T, E>,
    is_transient: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let until = Instant::now() + OPEN_WITHIN;
    loop {
        match open().await {
            Err(error) if is_transient(&error) && Instant::now() < until => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the store is not ready, trying again");
                sleep(Duration::from_millis(500)).await;
            }
            outcome => return outcome,
        }
    }
}

fn data_dir(config: &Config) -> anyhow::Result<&Path> {
    std::fs::create_dir_all(&config.data_dir)
        .with_context(|| format!("cannot create the data folder `{}`", config.data_dir.display()))?;
    Ok(&config.data_dir)
}

/// The run ledger.
pub(crate) async fn runs(config: &Config) -> anyhow::Result<Arc<dyn RunStore>> {
    Ok(run_ledger(config).await?)
}

/// The run ledger as retention sees it.
pub(crate) async fn run_ledger(config: &Config) -> anyhow::Result<Arc<dyn RetentionStore>> {
    Ok(match config.store.driver {
        StoreDriver::Sqlite => Arc::new(sqlite_runs(config)?),
        StoreDriver::Mongodb => Arc::new(mongo_runs(config).await?),
    })
}

/// The schedules, which lie where the run ledger lies.
pub(crate) async fn schedules(config: &Config) -> anyhow::Result<Arc<dyn ScheduleStore>> {
    Ok(match config.store.driver {
        StoreDriver::Sqlite => Arc::new(sqlite_runs(config)?),
        StoreDriver::Mongodb => Arc::new(mongo_runs(config).await?),
    })
}

/// The audit log, which lies there, too.
pub(crate) async fn audit(config: &Config) -> anyhow::Result<Arc<dyn AuditStore>> {
    Ok(match config.store.driver {
        StoreDriver::Sqlite => Arc::new(sqlite_runs(config)?),
        StoreDriver::Mongodb => Arc::new(mongo_runs(config).await?),
    })
}

/// The webhooks, which lie there too.
pub(crate) async fn webhooks(config: &Config) -> anyhow::Result<Arc<dyn WebhookStore>> {
    Ok(match config.store.driver {
        StoreDriver::Sqlite => Arc::new(sqlite_runs(config)?),
        StoreDriver::Mongodb => Arc::new(mongo_runs(config).await?),
    })
}

/// The authority of this deployment's own.
pub(crate) fn local_authority(config: &Config) -> anyhow::Result<LocalAuthority> {
    let folder = config.path_or(&config.authority.folder, "authority");
    Ok(LocalAuthority::open(&folder, &config.authority.issuer, &config.authority.audience)?)
}

/// The keys of requests, which lie there too.
pub(crate) async fn idempotency(config: &Config) -> anyhow::Result<Arc<dyn IdempotencyStore>> {
    Ok(match config.store.driver {
        StoreDriver::Sqlite => Arc::new(sqlite_runs(config)?),
        StoreDriver::Mongodb => Arc::new(mongo_runs(config).await?),
    })
}

/// What encrypts the secrets of webhooks: the same key for gateway and orchestrator, made on first use where no
/// setting names it.
pub(crate) fn webhook_secrets(config: &Config) -> anyhow::Result<Arc<SecretKeeper>> {
    let path = config.path_or(&config.webhooks.key_file, "keys/webhooks.key");
    if config.webhooks.key_file.as_os_str().is_empty() {
        secrets::make_key(&path)?;
    }
    let keeper = SecretKeeper::new(&secrets::read(&path)?);
    Ok(Arc::new(keeper.with_context(|| format!("webhooks.key_file: `{}` cannot be used", path.display()))?))
}

fn sqlite_runs(config: &Config) -> anyhow::Result<SqliteRuns> {
    Ok(SqliteRuns::open(&data_dir(config)?.join("runs.db"))?)
}

async fn mongo_runs(config: &Config) -> anyhow::Result<MongoRuns> {
    let database = mongo(config).await?;
    let is_transient = |error: &RunStoreError| matches!(error, RunStoreError::Unavailable { .. });
    Ok(opened(async || MongoRuns::open(database.clone()).await, is_transient).await?)
}

/// The evidence ledger.
pub(crate) async fn evidence(config: &Config) -> anyhow::Result<Arc<dyn EvidenceLedger>> {
    Ok(match config.store.driver {
        StoreDriver::Sqlite => Arc::new(SqliteLedger::open(&data_dir(config)?.join("evidence.db"))?),
        StoreDriver::Mongodb => {
            let database = mongo(config).await?;
            Arc::new(opened(async || MongoLedger::open(database.clone()).await, LedgerError::is_transient).await?)
        }
    })
}

/// The ledger of others that is configured. Does not wait for it: the pull tries again by itself.
pub(crate) async fn peer(config: &Config) -> anyhow::Result<Peer> {
    let peer = &config.peer;
    anyhow::ensure!(
        !peer.uri_file.as_os_str().is_empty(),
        "neither peer.uri_file nor peer.base_url is set: there is no ledger to pull from (docs/configuration.md)"
    );
    let uri = secrets::read(&peer.uri_file)?;
    let collection = |(kind, name): (RecordKind, &str)| PeerCollection { name: name.to_owned(), kind };
    Ok(Peer {
        database: export_mongo::connect(&uri, &peer.database).await?,
        servers: export_mongo::servers(&uri).await?,
        collections: peer.collections().map(collection).collect(),
    })
}

/// The Findings Ledger that a pull reads.
pub(crate) fn http_peer(config: &Config) -> anyhow::Result<HttpPeer> {
    let mut peer = config.peer.http();
    peer.server.bearer = bearer(config, config.peer.token)?;
    Ok(peer)
}

/// The folder in which pulls keep what they have read.
pub(crate) fn spool_folder(config: &Config) -> PathBuf {
    config.data_dir.join("pull")
}

/// Where imports put policy snapshots, findings and enrichment.
pub(crate) async fn policy(config: &Config) -> anyhow::Result<Arc<dyn PolicyStore>> {
    Ok(match config.store.driver {
        StoreDriver::Sqlite => Arc::new(sqlite_policy(config)?),
        StoreDriver::Mongodb => Arc::new(mongo_policy(config).await?),
    })
}

/// Where runs read policy snapshots and findings.
pub(crate) async fn policy_source(config: &Config) -> anyhow::Result<Arc<dyn PolicySource>> {
    if config.policy.driver == PolicyDriver::Http {
        let mut server = config.policy.server();
        server.bearer = bearer(config, config.policy.token)?;
        let engine = HttpPolicyEngine::new(&server);
        return Ok(Arc::new(engine.context("cannot use the policy engine of `[policy]`")?));
    }
    Ok(match config.store.driver {
        StoreDriver::Sqlite => Arc::new(sqlite_policy(config)?),
        StoreDriver::Mongodb => Arc::new(mongo_policy(config).await?),
    })
}

fn sqlite_policy(config: &Config) -> anyhow::Result<SqlitePolicyStore> {
    Ok(SqlitePolicyStore::open(&data_dir(config)?.join("policy.db"))?)
}

async fn mongo_policy(config: &Config) -> anyhow::Result<MongoPolicyStore> {
    let database = mongo(config).await?;
    Ok(opened(async || MongoPolicyStore::open(database.clone()).await, LedgerError::is_transient).await?)
}

/// Staging.
pub(crate) async fn staging(config: &Config) -> anyhow::Result<Arc<dyn BlobStore>> {
    let staging = &config.staging;
    Ok(match staging.driver {
        StagingDriver::Folder => Arc::new(FolderBlobs::open(&config.path_or(&staging.folder, "staging")).await?),
        StagingDriver::S3 => {
            let secret_access_key = if staging.access_key_id.is_empty() {
                String::new()
            } else {
                secrets::read(&staging.secret_access_key_file)?
            };
            let access = kept::kept(config, &staging.secret).context("staging.secret")?;
            Arc::new(S3Blobs::open(&S3Settings {
                access: access.map(|kept| kept as Arc<dyn AccessKeySource>),
                endpoint: staging.endpoint.clone(),
                bucket: staging.bucket.clone(),
                region: staging.region.clone(),
                prefix: staging.prefix.clone(),
                access_key_id: staging.access_key_id.clone(),
                secret_access_key,
                ca_pem: ca_pem(&staging.ca_file)?,
            })?)
        }
    })
}

/// Who may let runs read the evidence of other tenants; nobody, where the feature is off.
pub(crate) fn approvers(config: &Config) -> anyhow::Result<Approvers> {
    let listed = if config.cross_tenant.enabled { config.cross_tenant.approvers.as_slice() } else { &[] };
    let key = |approver: &Approver| {
        let file = &approver.public_key_file;
        let told = || format!("cross_tenant.approvers: `{}` of `{}`", file.display(), approver.name);
        let pem = std::fs::read_to_string(file).with_context(told)?;
        anyhow::Ok((approver.name.clone(), PublicKey::from_pem(&pem).with_context(told)?))
    };
    Ok(Approvers::new(listed.iter().map(key).collect::<anyhow::Result<_>>()?))
}

/// The certificates of a file, where a setting names one.
pub(crate) fn ca_pem(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    std::fs::read(path).map(Some).with_context(|| format!("cannot read the certificates in `{}`", path.display()))
}

/// The broker that the configuration names.
pub(crate) async fn broker(config: &Config) -> anyhow::Result<Nats> {
    let nats = &config.nats;
    anyhow::ensure!(
        !nats.url.is_empty(),
        "nats.url is not set: a role of its own needs the broker that all roles share (only `exportd all` starts one)"
    );
    let file = |path: &Path| Some(path.to_owned()).filter(|path| !path.as_os_str().is_empty());
    let credentials = if let Some(path) = file(&nats.credentials_file) {
        Credentials::File(path)
    } else if nats.user.is_empty() {
        Credentials::None
    } else {
        Credentials::Password { user: nats.user.clone(), password: secrets::read(&nats.password_file)? }
    };
    let security =
        Security { ca_file: file(&nats.ca_file), client: file(&nats.certificate_file).zip(file(&nats.key_file)) };
    Ok(connect_securely(&nats.url, credentials, security).await?)
}
