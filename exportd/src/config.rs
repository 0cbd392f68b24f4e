//! Every setting, typed and documented. Precedence: flag, environment (`EXPORT_<SECTION>_<KEY>`), file, default.
//!
//! An empty text means "not set". Secrets are never settings: a setting names the file that holds one.

mod authority;
mod console;
mod cors;
mod cross_tenant;
mod encryption;
mod kept;
mod limits;
pub(crate) mod locality;
mod oci;
mod peer;
mod policy;
mod retention;
mod schedules;
mod sections;
mod signing;
mod targets;
mod telemetry;
mod tls;
mod webhooks;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use export_contract::profile::DistributionKind;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

pub(crate) use self::authority::Authority;
pub(crate) use self::console::Console;
pub(crate) use self::cors::Cors;
pub(crate) use self::cross_tenant::{Approver, CrossTenant};
pub(crate) use self::encryption::Encryption;
pub(crate) use self::limits::Limits;
pub(crate) use self::oci::Oci;
pub(crate) use self::peer::Peer;
pub(crate) use self::policy::{Policy, PolicyDriver, TokenFrom};
pub(crate) use self::retention::Retention;
pub(crate) use self::schedules::Schedules;
pub(crate) use self::sections::{
    Allow, Links, Log, LogForm, Metrics, Nats, Registry, Staging, StagingDriver, Store, StoreDriver, Workers,
};
#[cfg(test)]
pub(crate) use self::signing::FormerKey;
pub(crate) use self::signing::{Signing, SigningDriver, SigningKey};
pub(crate) use self::targets::{Directory, Object, Sse};
pub(crate) use self::telemetry::Telemetry;
pub(crate) use self::tls::Tls;
pub(crate) use self::webhooks::Webhooks;

/// The settings of every role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Folder of the embedded stores, keys and the local authority.
    pub(crate) data_dir: PathBuf,
    /// Address of the gateway; port 0 takes a free one.
    pub(crate) listen: SocketAddr,
    /// Address of health and metrics; port 0 takes a free one.
    pub(crate) admin_listen: SocketAddr,
    /// TLS of the gateway.
    pub(crate) tls: Tls,
    /// Where clients reach the gateway, such as `https://export.example`; not set: what `registry.public_url` says, or the host that they
    /// name, over what the gateway speaks.
    pub(crate) public_url: String,
    /// Whether runs speak to local hosts only, and to no OCI registry.
    pub(crate) offline: bool,
    /// Hosts that are local although they do not look like it.
    pub(crate) local_hosts: BTreeSet<String>,
    /// The broker.
    pub(crate) nats: Nats,
    /// Run ledger and evidence ledger.
    pub(crate) store: Store,
    /// The ledger of others that `exportd evidence pull` reads.
    pub(crate) peer: Peer,
    /// Where runs read policy snapshots and findings.
    pub(crate) policy: Policy,
    /// Staging.
    pub(crate) staging: Staging,
    /// The signing keys.
    pub(crate) signing: Signing,
    /// Keepers and recipients of keys that encrypt.
    pub(crate) encryption: Encryption,
    /// Who issues tokens.
    pub(crate) authority: Authority,
    /// Runs over the evidence of other tenants.
    pub(crate) cross_tenant: CrossTenant,
    /// What may be made and handed over.
    pub(crate) allow: Allow,
    /// How much at once.
    pub(crate) limits: Limits,
    /// Stage workers.
    pub(crate) workers: Workers,
    /// Logs.
    pub(crate) log: Log,
    /// Traces.
    pub(crate) telemetry: Telemetry,
    /// Metrics.
    pub(crate) metrics: Metrics,
    /// Signed links to downloads.
    pub(crate) links: Links,
    /// The gateway as a registry.
    pub(crate) registry: Registry,
    /// The bucket of distribution `object`.
    pub(crate) object: Object,
    /// The folder of distribution `directory`.
    pub(crate) directory: Directory,
    /// How long runs are kept beside what their profiles say.
    pub(crate) retention: Retention,
    /// The registries that bundles are pushed to.
    pub(crate) oci: Oci,
    /// Recurring runs.
    pub(crate) schedules: Schedules,
    /// Who is told of the ends of runs.
    pub(crate) webhooks: Webhooks,
    /// The pages for people.
    pub(crate) console: Console,
    /// Which pages may call from a browser.
    pub(crate) cors: Cors,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("export-data"),
            listen: SocketAddr::from(([127, 0, 0, 1], 8480)),
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: Tls::default(),
            public_url: String::new(),
            offline: false,
            local_hosts: BTreeSet::new(),
            nats: Nats::default(),
            store: Store::default(),
            peer: Peer::default(),
            policy: Policy::default(),
            staging: Staging::default(),
            signing: Signing::default(),
            encryption: Encryption::default(),
            authority: Authority::default(),
            cross_tenant: CrossTenant::default(),
            allow: Allow::default(),
            limits: Limits::default(),
            workers: Workers::default(),
            log: Log::default(),
            telemetry: Telemetry::default(),
            metrics: Metrics::default(),
            links: Links::default(),
            registry: Registry::default(),
            object: Object::default(),
            directory: Directory::default(),
            retention: Retention::default(),
            oci: Oci::default(),
            schedules: Schedules::default(),
            webhooks: Webhooks::default(),
            console: Console::default(),
            cors: Cors::default(),
        }
    }
}

/// Why the settings cannot be used: every fault at once.
#[derive(Debug, thiserror::Error)]
#[error("the configuration is not valid:\n  {}", faults.join("\n  "))]
pub(crate) struct ConfigError {
    faults: Vec<String>,
}

impl Config {
    /// Reads the file, where there is one, and lays the environment over it.
    pub(crate) fn load(file: Option<&Path>, environment: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let fault = |text: String| ConfigError { faults: vec![text] };
        let mut table = match file {
            None => Table::new(),
            Some(path) => std::fs::read_to_string(path)
                .map_err(|error| fault(format!("{}: {error}", path.display())))?
                .parse::<Table>()
                .map_err(|error| fault(format!("{}: {error}", path.display())))?,
        };
        let mut faults = overlay(&mut table, environment);
        match Value::Table(table).try_into::<Self>() {
            Ok(config) => {
                faults.extend(config.faults());
                if faults.is_empty() { Ok(config) } else { Err(ConfigError { faults }) }
            }
            Err(error) => {
                faults.push(error.to_string().trim().to_owned());
                Err(ConfigError { faults })
            }
        }
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut expect = |good: bool, text: &str| {
            if !good {
                faults.push(text.to_owned());
            }
        };
        let set = |path: &Path| !path.as_os_str().is_empty();
        if self.store.driver == StoreDriver::Mongodb {
            expect(
                set(&self.store.uri_file),
                "store.uri_file: the mongodb driver needs the file with the connection string",
            );
        }
        if self.staging.driver == StagingDriver::S3 {
            expect(!self.staging.bucket.is_empty(), "staging.bucket: the s3 driver needs one");
            expect(
                self.staging.access_key_id.is_empty() || set(&self.staging.secret_access_key_file),
                "staging.secret_access_key_file: an access key id needs the file with its secret",
            );
        }
        expect(
            self.nats.user.is_empty() || set(&self.nats.password_file),
            "nats.password_file: a user needs the file with the password",
        );
        expect(matches!(self.nats.replicas, 1 | 3 | 5), "nats.replicas: use 1, 3 or 5");
        expect(self.nats.log_max_bytes >= 1 << 20, "nats.log_max_bytes: use 1048576 or more");
        expect(!self.allow.profiles.is_empty(), "allow.profiles: name at least one");
        expect(!self.allow.distribution.is_empty(), "allow.distribution: name at least one");
        expect(self.metrics.tenants <= 10_000, "metrics.tenants: use 0 to 10000");
        let workers = &self.workers;
        expect((1..=64).contains(&workers.slots), "workers.slots: use 1 to 64");
        expect((1..=64).contains(&workers.adapt_slots), "workers.adapt_slots: use 1 to 64");
        expect(workers.adapt_threads <= 64, "workers.adapt_threads: use 0 to 64");
        expect((1..=600).contains(&workers.ack_wait_seconds), "workers.ack_wait_seconds: use 1 to 600");
        expect((1..=100).contains(&workers.max_deliver), "workers.max_deliver: use 1 to 100");
        expect((1..=3_600).contains(&workers.stuck_seconds), "workers.stuck_seconds: use 1 to 3600");
        expect((1..=3_600).contains(&workers.reconcile_seconds), "workers.reconcile_seconds: use 1 to 3600");
        expect((1..=86_400).contains(&workers.silent_seconds), "workers.silent_seconds: use 1 to 86400");
        expect(
            set(&self.nats.certificate_file) == set(&self.nats.key_file),
            "nats.certificate_file, nats.key_file: a client certificate needs both",
        );
        expect(
            !set(&self.nats.credentials_file) || self.nats.user.is_empty(),
            "nats.credentials_file: it names the user, leave out nats.user",
        );
        faults.extend(self.kept_faults());
        faults.extend(self.tls.faults());
        faults.extend(self.cross_tenant.faults());
        faults.extend(self.limits.faults());
        faults.extend(self.peer.faults());
        faults.extend(self.policy.faults());
        faults.extend(self.signing.faults());
        faults.extend(self.encryption.faults());
        faults.extend(self.authority.faults(&self.local_hosts));
        let takers = [("policy", self.policy.token), ("peer", self.peer.token)];
        for (section, _) in takers.iter().filter(|(_, token)| *token == TokenFrom::Authority) {
            if self.authority.token_url.is_empty() {
                faults.push(format!(
                    "{section}.token: `authority` needs authority.token_url and the system's client there"
                ));
            }
        }
        faults.extend(sections::url_faults("public_url", &self.public_url));
        faults.extend(self.registry.faults());
        let allowed = |kind| self.allow.distribution.contains(&kind);
        faults.extend(self.object.faults(allowed(DistributionKind::Object)));
        faults.extend(self.directory.faults(allowed(DistributionKind::Directory)));
        faults.extend(self.retention.faults());
        faults.extend(self.oci.faults(self.allow.distribution.contains(&DistributionKind::Oci)));
        faults.extend(self.schedules.faults());
        faults.extend(self.webhooks.faults());
        faults.extend(self.console.faults(self.offline, &self.local_hosts));
        faults.extend(self.cors.faults());
        faults.extend(self.telemetry.faults(self.offline, &self.local_hosts));
        faults
    }

    /// Where clients reach the gateway, where that is set.
    pub(crate) fn public_url(&self) -> Option<&str> {
        let urls = [self.public_url.as_str(), self.registry.public_url.as_str()];
        urls.into_iter().map(|url| url.trim_end_matches('/')).find(|url| !url.is_empty())
    }

    /// The path of a setting, or `name` in the data folder where it is not set.
    pub(crate) fn path_or(&self, path: &Path, name: &str) -> PathBuf {
        if path.as_os_str().is_empty() { self.data_dir.join(name) } else { path.to_owned() }
    }
}

/// The settings by path, such as `nats.url`, with their defaults.
fn leaves() -> BTreeMap<String, Value> {
    let mut leaves = BTreeMap::new();
    if let Ok(Value::Table(table)) = Value::try_from(Config::default()) {
        for (name, value) in table {
            match value {
                Value::Table(section) => {
                    leaves.extend(section.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)));
                }
                value => _ = leaves.insert(name, value),
            }
        }
    }
    leaves
}

/// Lays `EXPORT_*` variables over the file's settings; returns what does not fit.
fn overlay(table: &mut Table, environment: &BTreeMap<String, String>) -> Vec<String> {
    let mut faults = Vec::new();
    let known: BTreeMap<String, (String, Value)> = leaves()
        .into_iter()
        .map(|(path, default)| (format!("EXPORT_{}", path.replace('.', "_").to_uppercase()), (path, default)))
        .collect();
    for (variable, text) in environment.iter().filter(|(name, _)| name.starts_with("EXPORT_")) {
        // Read by exportctl, the tests or the demo; not settings of the server.
        if ["EXPORT_CREDENTIALS", "EXPORT_TENANT", "EXPORT_CONFIG"].contains(&variable.as_str())
            || variable.starts_with("EXPORT_TESTS_")
            || variable == "EXPORT_EVIDENCE"
        {
            continue;
        }
        let Some((path, default)) = known.get(variable) else {
            faults.push(format!("environment: `{variable}` is not a setting"));
            continue;
        };
        let value = match default {
            Value::Integer(_) => text.parse().map(Value::Integer).ok(),
            Value::Boolean(_) => text.parse().map(Value::Boolean).ok(),
            Value::Array(_) => {
                Some(Value::Array(text.split(',').map(|entry| Value::String(entry.trim().to_owned())).collect()))
            }
            _ => Some(Value::String(text.clone())),
        };
        let Some(value) = value else {
            faults.push(format!("environment: `{variable}` must be of the kind of its default `{default}`"));
            continue;
        };
        match path.split_once('.') {
            None => _ = table.insert(path.clone(), value),
            Some((section, key)) => {
                let entry = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
                if let Value::Table(section) = entry {
                    section.insert(key.to_owned(), value);
                }
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Config, leaves};

    pub(in crate::config) fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("export.toml");
        std::fs::write(&path, text).unwrap();
        let environment: BTreeMap<String, String> =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Config::load(Some(&path), &environment).map_err(|error| error.to_string())
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let config = load("[limits]\nactive_runs = 2\n", &[("EXPORT_LIMITS_ACTIVE_RUNS", "7")]).unwrap();
        assert_eq!(config.limits.active_runs, 7);
        let config = load("", &[("EXPORT_ALLOW_PROFILES", "json:raw, trivy:db")]).unwrap();
        assert_eq!(config.allow.profiles.len(), 2);
    }

    #[test]
    fn a_section_given_in_part_keeps_the_other_defaults() {
        let defaults = load("", &[]).unwrap();
        for section in [
            "tls",
            "nats",
            "telemetry",
            "store",
            "peer",
            "policy",
            "staging",
            "signing",
            "encryption",
            "authority",
            "cross_tenant",
            "allow",
            "limits",
            "workers",
            "log",
            "metrics",
            "links",
            "registry",
            "object",
            "directory",
            "retention",
            "oci",
            "schedules",
            "webhooks",
            "console",
            "cors",
        ] {
            assert_eq!(load(&format!("[{section}]\n"), &[]).unwrap(), defaults, "{section}");
        }
    }

    #[test]
    fn an_unknown_setting_is_an_error_that_names_it() {
        assert!(load("[limits]\nactive_rums = 2\n", &[]).unwrap_err().contains("active_rums"));
        assert!(load("", &[("EXPORT_LIMITS_ACTIVE_RUMS", "2")]).unwrap_err().contains("EXPORT_LIMITS_ACTIVE_RUMS"));
    }

    #[test]
    fn every_fault_is_reported_at_once() {
        let error = load("[limits]\nactive_runs = 0\n[workers]\nslots = 0\n", &[]).unwrap_err();
        assert!(error.contains("limits.active_runs") && error.contains("workers.slots"), "{error}");
    }

    #[test]
    fn every_setting_is_on_the_configuration_page() {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md")).unwrap();
        for path in leaves().keys() {
            assert!(page.contains(&format!("`{path}`")), "docs/configuration.md does not name `{path}`");
        }
    }
}
