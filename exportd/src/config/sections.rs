//! What each section of the configuration holds.

use std::collections::BTreeSet;
use std::path::PathBuf;

use export_contract::TenantId;
use export_contract::profile::{DistributionKind, ProfileKind};
use serde::{Deserialize, Serialize};

/// The broker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Nats {
    /// Address such as `nats://host:4222`; not set: `exportd all` starts a server of its own.
    pub(crate) url: String,
    /// File with the user name, where the server wants one.
    pub(crate) user: String,
    /// File with the password that goes with it.
    pub(crate) password_file: PathBuf,
    /// A `.creds` file with a user's JWT and its key, in the place of user and password.
    pub(crate) credentials_file: PathBuf,
    /// PEM file with the certificates that the servers' own must come from; not set: those that the system trusts. Whoever sets it speaks TLS only.
    pub(crate) ca_file: PathBuf,
    /// PEM file with our own certificate, where the servers ask for one.
    pub(crate) certificate_file: PathBuf,
    /// PEM file with its key.
    pub(crate) key_file: PathBuf,
    /// The `nats-server` program for `exportd all`; not set: it is looked for.
    pub(crate) server_program: PathBuf,
    /// Copies of the log: 1, or 3 with three servers.
    pub(crate) replicas: usize,
    /// Largest size of the log, bytes. A log that is full heals once there is room; a disk that is full does not (docs/operations.md).
    pub(crate) log_max_bytes: i64,
}

impl Default for Nats {
    fn default() -> Self {
        Self {
            url: String::new(),
            user: String::new(),
            password_file: PathBuf::new(),
            credentials_file: PathBuf::new(),
            ca_file: PathBuf::new(),
            certificate_file: PathBuf::new(),
            key_file: PathBuf::new(),
            server_program: PathBuf::new(),
            replicas: 1,
            log_max_bytes: 4 << 30,
        }
    }
}

/// Which driver a store has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StoreDriver {
    /// SQLite files in `data_dir`.
    #[default]
    Sqlite,
    /// A MongoDB server.
    Mongodb,
}

/// Run ledger and evidence ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Store {
    /// `sqlite` or `mongodb`.
    pub(crate) driver: StoreDriver,
    /// File with the connection string, for MongoDB; it holds the password.
    pub(crate) uri_file: PathBuf,
    /// Name of the database, for MongoDB.
    pub(crate) database: String,
}

impl Default for Store {
    fn default() -> Self {
        Self { driver: StoreDriver::Sqlite, uri_file: PathBuf::new(), database: "export_center".to_owned() }
    }
}

/// Which driver staging has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StagingDriver {
    /// A folder that every role sees.
    #[default]
    Folder,
    /// An S3 bucket.
    S3,
}

/// Staging.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Staging {
    /// `folder` or `s3`.
    pub(crate) driver: StagingDriver,
    /// The folder; not set: `staging` in `data_dir`.
    pub(crate) folder: PathBuf,
    /// Address of the S3 server; not set: Amazon's.
    pub(crate) endpoint: String,
    /// Bucket.
    pub(crate) bucket: String,
    /// Region.
    pub(crate) region: String,
    /// Prefix of every key in the bucket.
    pub(crate) prefix: String,
    /// Access key id.
    pub(crate) access_key_id: String,
    /// File with the secret access key.
    pub(crate) secret_access_key_file: PathBuf,
    /// PEM file with the certificates that the S3 server's own must come from; not set: those that the system trusts.
    pub(crate) ca_file: PathBuf,
}

/// What may be made and handed over. Read at start; nothing loads later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Allow {
    /// Profile kinds; those without an adapter in this build are not offered.
    pub(crate) profiles: BTreeSet<ProfileKind>,
    /// Distribution drivers.
    pub(crate) distribution: BTreeSet<DistributionKind>,
}

impl Default for Allow {
    fn default() -> Self {
        Self {
            profiles: ProfileKind::ALL.into_iter().collect(),
            distribution: BTreeSet::from([DistributionKind::Http]),
        }
    }
}

/// Stage workers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Workers {
    /// Deliveries that one process handles at once, per stage other than adapt; 1 to 64.
    pub(crate) slots: usize,
    /// Parts that one process adapts at once, 1 to 64.
    pub(crate) adapt_slots: usize,
    /// Threads that compress, per part; 0: one per core.
    pub(crate) adapt_threads: usize,
    /// Where databases grow before they are packed; not set: `scratch` in `data_dir`. Room for three times the largest database.
    pub(crate) scratch_dir: PathBuf,
    /// Seconds without a heartbeat after which a delivery goes to another worker, 1 to 600.
    pub(crate) ack_wait_seconds: u64,
    /// How often a command is tried, 1 to 100.
    pub(crate) max_deliver: i64,
    /// Seconds without progress after which heartbeats stop, 1 to 3600.
    pub(crate) stuck_seconds: u64,
    /// Seconds between two rounds of the reconciler, 1 to 3600.
    pub(crate) reconcile_seconds: u64,
    /// Seconds of silence after which the reconciler looks at a run, 1 to 86400.
    pub(crate) silent_seconds: u64,
}

impl Default for Workers {
    fn default() -> Self {
        Self {
            slots: 4,
            adapt_slots: 2,
            adapt_threads: 0,
            scratch_dir: PathBuf::new(),
            ack_wait_seconds: 30,
            max_deliver: 6,
            stuck_seconds: 120,
            reconcile_seconds: 60,
            silent_seconds: 120,
        }
    }
}

/// Form of the logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogForm {
    /// For people on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// One JSON document a line.
    Json,
    /// For people.
    Pretty,
}

/// Metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Metrics {
    /// Tenants that have a label of their own; the others are summed.
    pub(crate) tenants: usize,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { tenants: 100 }
    }
}

/// Logs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    /// `auto`, `json` or `pretty`.
    pub(crate) form: LogForm,
    /// A filter such as `info` or `info,export_jetstream=debug`.
    pub(crate) filter: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { form: LogForm::Auto, filter: "info".to_owned() }
    }
}

/// Signed links to downloads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Links {
    /// File with the key that signs them, 64 hex digits, the same for every gateway; not set: `keys/links.key` in `data_dir`, made on
    /// first use.
    pub(crate) key_file: PathBuf,
}

/// The registry at `/v2/` of the gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Registry {
    /// Tenants whose bundles anybody may pull.
    pub(crate) anonymous: BTreeSet<TenantId>,
    /// Where clients reach the gateway, such as `https://export.example`; not set: the host that they name, over what the gateway speaks.
    pub(crate) public_url: String,
}

impl Registry {
    pub(super) fn faults(&self) -> Vec<String> {
        url_faults("registry.public_url", &self.public_url)
    }
}

/// What is wrong with an address at which clients reach the gateway.
pub(super) fn url_faults(setting: &str, url: &str) -> Vec<String> {
    let good = url.is_empty()
        || ["https://", "http://"].iter().any(|scheme| url.starts_with(scheme) && url.len() > scheme.len())
            && url.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\?#".contains(&byte));
    if good { Vec::new() } else { vec![format!("{setting}: use an address such as https://export.example")] }
}
