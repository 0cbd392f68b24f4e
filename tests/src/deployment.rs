//! A whole deployment: broker, stores and roles.

mod settings;
mod setup;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use export_blobs::s3::S3Settings;
use export_blobs::seaweed::SeaweedFs;
use export_client::{Client, Credentials};
use export_mongo::ferretdb::FerretDb;
use export_targets::liar::Liar;
use export_targets::registries::{LocalRegistry, Rules};
use futures::future::try_join_all;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::api::Api;
use crate::broker::Broker;
use crate::bundle::Bundle;
use crate::certificates::Certificates;
use crate::curtain::Curtain;
use crate::process::{Process, tail};
use crate::programs::{output, programs, tool};
use crate::runs::{self, Finished};

pub use setup::{Roles, Setup, Staging, Store, Surroundings};

/// The tenant that every deployment has a client for.
pub const LOCAL_TENANT: &str = "demo";
/// When all evidence of tests was observed, so that bundles of two imports are the same.
pub const OBSERVED_AT: &str = "2026-01-01T00:00:00Z";

/// The roles that are started on their own, adapt aside.
const ROLES: [&str; 7] = ["gateway", "orchestrator", "plan", "resolve", "manifest", "sign", "distribute"];

/// A running deployment in a folder of its own. Dropping it ends every process and removes the folder.
#[derive(Debug)]
pub struct Deployment {
    setup: Setup,
    /// Settings beside those of the setup: keys without a section, and sections.
    extra: (String, String),
    processes: BTreeMap<String, Process>,
    /// The address that the gateway keeps when it is started again.
    gateway: Option<String>,
    broker: Option<Broker>,
    ferret: Option<FerretDb>,
    /// The server of object storage and the bucket there.
    bucket: Option<(SeaweedFs, S3Settings)>,
    /// The registry that bundles are pushed to, and the proxy before it through which they are.
    pushed: Option<(LocalRegistry, Liar)>,
    /// The certificates of an encrypted deployment, and what speaks TLS before run ledger and bucket.
    certificates: Option<Certificates>,
    curtains: BTreeMap<&'static str, Curtain>,
    downloads: usize,
    folder: TempDir,
}

impl Deployment {
    /// `exportd all` on SQLite.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn all() -> anyhow::Result<Self> {
        Self::start(Setup::together()).await
    }

    /// Every role a process.
    ///
    /// # Errors
    /// When one does not start.
    pub async fn apart(store: Store, adapt: usize) -> anyhow::Result<Self> {
        Self::start(Setup::apart(store, adapt)).await
    }

    /// Starts a deployment.
    ///
    /// # Errors
    /// When a process of it does not start.
    pub async fn start(setup: Setup) -> anyhow::Result<Self> {
        Self::start_with(setup, "", "").await
    }

    /// The same with settings beside those of the setup, in TOML: `keys` without a section, and `sections` that the setup does not write.
    ///
    /// # Errors
    /// When a process of it does not start.
    pub async fn start_with(setup: Setup, keys: &str, sections: &str) -> anyhow::Result<Self> {
        tokio::task::spawn_blocking(programs).await.context("building was interrupted")??;
        let folder = tempfile::Builder::new().prefix("export-tests-").tempdir().context("cannot make a folder")?;
        std::fs::create_dir_all(folder.path().join("logs")).context("cannot make a folder for logs")?;
        let mut deployment = Self {
            setup,
            extra: (keys.to_owned(), sections.to_owned()),
            processes: BTreeMap::new(),
            gateway: None,
            broker: None,
            ferret: None,
            bucket: None,
            pushed: None,
            certificates: None,
            curtains: BTreeMap::new(),
            downloads: 0,
            folder,
        };
        if setup.encrypted {
            deployment.certificates = Some(Certificates::make(&deployment.folder.path().join("certificates"))?);
        }
        if setup.store == Store::Ferret {
            let ferret = FerretDb::start().await.context("cannot start ferretdb")?;
            deployment.ferret = Some(ferret.context("EXPORT_TESTS_WITHOUT names ferretdb, which this test needs")?);
        }
        if setup.staging == Staging::S3 {
            let server = SeaweedFs::start().await.context("cannot start seaweedfs")?;
            let server = server.context("EXPORT_TESTS_WITHOUT names seaweedfs, which this test needs")?;
            let settings = server.bucket("staging").await.context("cannot make a bucket")?;
            deployment.bucket = Some((server, settings));
        }
        if let Some(program) = setup.pushes_to {
            let rules = Rules { asks_who: true, ..Rules::default() };
            let registry = LocalRegistry::start(program, rules).await.context("cannot start a registry")?;
            let name = program.name();
            let registry =
                registry.with_context(|| format!("EXPORT_TESTS_WITHOUT names {name}, which this test needs"))?;
            let proxy = Liar::before(registry.address()).await;
            deployment.pushed = Some((registry, proxy));
        }
        deployment.draw_curtains().await?;
        if matches!(setup.roles, Roles::Apart { .. }) {
            let folder = deployment.folder.path().join("nats");
            deployment.broker =
                Some(Broker::start(folder, deployment.log("nats"), deployment.certificates.clone()).await?);
        }
        deployment.write_settings()?;
        if matches!(setup.roles, Roles::Apart { .. }) {
            deployment.exportd(&["key", "generate"])?;
        }
        if setup.store == Store::Ferret {
            // FerretDB 1 breaks a collection that two clients make at once; later they only find it there.
            deployment.start_missing(vec!["gateway".to_owned()]).await?;
        }
        deployment.start_all().await?;
        if setup.roles != Roles::Together {
            deployment.put_client("local", LOCAL_TENANT, &[])?;
        }
        Ok(deployment)
    }

    async fn draw_curtains(&mut self) -> anyhow::Result<()> {
        let Some(certificates) = &self.certificates else {
            return Ok(());
        };
        if let Some(ferret) = &self.ferret {
            let curtain = Curtain::before(host(ferret.uri()), certificates).await?;
            self.curtains.insert("store", curtain);
        }
        if let Some((_, bucket)) = &self.bucket {
            let curtain = Curtain::before(host(&bucket.endpoint), certificates).await?;
            self.curtains.insert("staging", curtain);
        }
        Ok(())
    }

    /// The certificates of an encrypted deployment.
    ///
    /// # Errors
    /// When it is none.
    pub fn certificates(&self) -> anyhow::Result<&Certificates> {
        self.certificates.as_ref().context("the deployment is not encrypted")
    }

    /// Starts every process that is not there.
    ///
    /// # Errors
    /// When one does not come up.
    pub async fn start_all(&mut self) -> anyhow::Result<()> {
        let wanted: Vec<String> = match self.setup.roles {
            Roles::Together => vec!["all".to_owned()],
            Roles::Apart { adapt } => {
                let adapts = (1..=adapt).map(|number| format!("adapt-{number}"));
                ROLES.iter().map(|role| (*role).to_owned()).chain(adapts).collect()
            }
        };
        self.start_missing(wanted).await
    }

    async fn start_missing(&mut self, wanted: Vec<String>) -> anyhow::Result<()> {
        let missing = wanted.into_iter().filter(|name| !self.processes.contains_key(name));
        let starting = missing.map(|name| {
            let command = self.role(&name);
            let log = self.log(&name);
            async move {
                let process = Process::start_ready(command?, &log).await.with_context(|| format!("`{name}`"))?;
                anyhow::Ok((name, process))
            }
        });
        for (name, process) in try_join_all(starting).await? {
            if let Some(server) = process.ready().get("server").and_then(Value::as_str) {
                self.gateway = Some(server.to_owned());
            }
            self.processes.insert(name, process);
        }
        Ok(())
    }

    /// Starts one more gateway beside the roles that are there, and gives its address.
    ///
    /// # Errors
    /// When it does not come up, or the broker belongs to `exportd all`.
    pub async fn another_gateway(&mut self) -> anyhow::Result<String> {
        anyhow::ensure!(self.broker.is_some(), "the broker belongs to `exportd all`");
        let name = "gateway-2";
        let process = Process::start_ready(self.role(name)?, &self.log(name)).await.with_context(|| name)?;
        let server = process.ready().get("server").and_then(Value::as_str).context("it has no address")?.to_owned();
        self.processes.insert(name.to_owned(), process);
        Ok(server)
    }

    /// Stops every role politely. Broker and stores stay where they are of their own.
    ///
    /// # Errors
    /// When one does not stop.
    pub async fn stop_all(&mut self) -> anyhow::Result<()> {
        while let Some((name, mut process)) = self.processes.pop_first() {
            process.stop().await.with_context(|| format!("`{name}`"))?;
        }
        Ok(())
    }

    /// `kill -9` of a role (`gateway`, `adapt-1`, `all`, …).
    ///
    /// # Errors
    /// When there is none.
    pub async fn kill(&mut self, name: &str) -> anyhow::Result<()> {
        let mut process = self.processes.remove(name).with_context(|| format!("no `{name}` runs"))?;
        process.kill().await
    }

    /// Stops a role politely and starts it again, as an upgrade does.
    ///
    /// # Errors
    /// When there is none, or it does not end or come up.
    pub async fn roll(&mut self, name: &str) -> anyhow::Result<()> {
        let mut process = self.processes.remove(name).with_context(|| format!("no `{name}` runs"))?;
        process.stop().await.with_context(|| format!("`{name}`"))?;
        let process = Process::start_ready(self.role(name)?, &self.log(name)).await.with_context(|| name.to_owned())?;
        self.processes.insert(name.to_owned(), process);
        Ok(())
    }

    /// Address of the broker.
    ///
    /// # Errors
    /// When it belongs to `exportd all`.
    pub fn broker_url(&self) -> anyhow::Result<String> {
        self.broker.as_ref().map(Broker::url).context("the broker belongs to `exportd all`")
    }

    /// `kill -9` of every role.
    ///
    /// # Errors
    /// When one cannot be killed.
    pub async fn kill_all(&mut self) -> anyhow::Result<()> {
        while let Some((_, mut process)) = self.processes.pop_first() {
            process.kill().await?;
        }
        Ok(())
    }

    /// Starts what was killed.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.start_all().await
    }

    /// `kill -9` of the broker; then it starts again on its store, or on none.
    ///
    /// # Errors
    /// When it does not come up, or belongs to `exportd all`.
    pub async fn kill_and_restart_broker(&mut self, wiped: bool) -> anyhow::Result<()> {
        let broker = self.broker.as_mut().context("the broker belongs to `exportd all`")?;
        broker.kill().await?;
        broker.restart(wiped).await
    }

    /// Process id of the broker.
    ///
    /// # Errors
    /// When it belongs to `exportd all`.
    pub fn broker_pid(&self) -> anyhow::Result<u32> {
        let broker = self.broker.as_ref().context("the broker belongs to `exportd all`")?;
        broker.pid().context("the broker has ended")
    }

    /// `kill -9` of the broker, which stays away until [`Self::restart_broker`].
    ///
    /// # Errors
    /// When it cannot be killed, or belongs to `exportd all`.
    pub async fn kill_broker(&mut self) -> anyhow::Result<()> {
        self.broker.as_mut().context("the broker belongs to `exportd all`")?.kill().await
    }

    /// Starts the broker on its store after [`Self::kill_broker`].
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn restart_broker(&mut self) -> anyhow::Result<()> {
        self.broker.as_mut().context("the broker belongs to `exportd all`")?.restart(false).await
    }

    /// Process id of a role.
    ///
    /// # Errors
    /// When there is none.
    pub fn pid(&self, name: &str) -> anyhow::Result<u32> {
        self.processes.get(name).and_then(Process::pid).with_context(|| format!("no `{name}` runs"))
    }

    /// Address of health and metrics of a process.
    ///
    /// # Errors
    /// When there is none.
    pub fn admin(&self, name: &str) -> anyhow::Result<&str> {
        let process = self.processes.get(name).with_context(|| format!("no `{name}` runs"))?;
        process.ready().get("admin").and_then(Value::as_str).context("the process did not say where it can be asked")
    }

    /// Address of the gateway.
    pub fn server(&self) -> &str {
        self.gateway.as_deref().unwrap_or_default()
    }

    /// The proxy through which bundles are pushed to the registry of the setup.
    ///
    /// # Panics
    /// When the setup has none.
    pub fn pushes(&self) -> &Liar {
        match &self.pushed {
            Some((_, proxy)) => proxy,
            None => panic!("the setup names no registry to push to"),
        }
    }

    /// The bucket of staging.
    ///
    /// # Panics
    /// When the setup has none.
    pub fn bucket(&self) -> &S3Settings {
        match &self.bucket {
            Some((_, settings)) => settings,
            None => panic!("the setup stages in no bucket"),
        }
    }

    /// Folder of everything that this deployment writes; tests may use it too.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Folder of stores and keys.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Runs a command of `exportd` and gives what it printed.
    ///
    /// # Errors
    /// When it fails.
    pub fn exportd(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = self.setup.surroundings.command(&programs()?.exportd);
        // What it writes without being told where lies in its working folder.
        output(command.args(arguments).arg("--config").arg(self.settings()).current_dir(self.folder()))
    }

    /// Imports files and folders for the local tenant; gives the summary.
    ///
    /// # Errors
    /// When the import fails as a whole.
    pub fn import(&self, paths: &[&Path]) -> anyhow::Result<Value> {
        let rejects = self.rejects();
        let mut arguments =
            vec!["evidence", "import", "--json", "--tenant", LOCAL_TENANT, "--observed-at", OBSERVED_AT];
        arguments.push("--reject-file");
        arguments.push(rejects.to_str().context("the folder has no name")?);
        for path in paths {
            arguments.push(path.to_str().context("the path is no text")?);
        }
        serde_json::from_str(&self.exportd(&arguments)?).context("the summary is no JSON")
    }

    /// The file in which the last import named what it refused.
    pub fn rejects(&self) -> PathBuf {
        self.folder.path().join("rejects.jsonl")
    }

    /// Puts synthetic evidence into the ledger of a tenant.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn generate(&self, tenant: &str, seed: u64, records: u64) -> anyhow::Result<()> {
        let (seed, records) = (seed.to_string(), records.to_string());
        let mut arguments = vec!["evidence", "generate", "--tenant", tenant, "--observed-at", OBSERVED_AT];
        arguments.extend(["--seed", &seed, "--records", &records]);
        self.exportd(&arguments).map(|_| ())
    }

    /// Makes a client of the authority, with all scopes if none is named, and gives its credentials file.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn put_client(&self, id: &str, tenant: &str, scopes: &[&str]) -> anyhow::Result<PathBuf> {
        let file = self.credentials(id);
        let out = file.to_str().context("the folder has no name")?;
        let mut arguments = vec!["client", "put", id, "--tenant", tenant, "--server", self.server(), "--out", out];
        for scope in scopes {
            arguments.extend(["--scope", scope]);
        }
        let ca = self.certificates.as_ref().map(|certificates| certificates.ca().display().to_string());
        if let Some(ca) = &ca {
            arguments.extend(["--ca-file", ca]);
        }
        self.exportd(&arguments)?;
        Ok(file)
    }

    /// The local client.
    ///
    /// # Errors
    /// When its credentials cannot be read.
    pub fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::new(Credentials::read(&self.credentials("local"))?)?)
    }

    /// The local client in plain HTTP.
    ///
    /// # Errors
    /// When the authority gives it no token.
    pub async fn api(&self) -> anyhow::Result<Api> {
        Api::login(&self.credentials("local")).await
    }

    /// Runs `profile` for everything and waits for its end.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn run(&self, profile: &str) -> anyhow::Result<Finished> {
        let client = self.client()?;
        let run = runs::start(&client, profile).await?;
        runs::finish(&client, run.id.as_str()).await
    }

    /// Downloads what a run made.
    ///
    /// # Errors
    /// When it cannot be downloaded.
    pub async fn download(&mut self, finished: &Finished) -> anyhow::Result<Bundle> {
        self.downloads += 1;
        let folder = self.folder.path().join(format!("download-{}", self.downloads));
        Bundle::download(&self.client()?, &finished.run, folder).await
    }

    /// The credentials file of a client.
    pub fn credentials(&self, id: &str) -> PathBuf {
        match (self.setup.roles, id) {
            (Roles::Together, "local") => self.data().join("credentials.json"),
            _ => self.folder.path().join(format!("{id}.credentials.json")),
        }
    }

    fn role(&self, name: &str) -> anyhow::Result<Command> {
        let role = name.split('-').next().unwrap_or(name);
        let mut command = Command::from(self.setup.surroundings.command(&programs()?.exportd));
        command.arg(role).arg("--config").arg(self.settings());
        // Clients of a gateway that comes back find it where it was.
        if name == "gateway"
            && let Some(server) = &self.gateway
        {
            command.env("EXPORT_LISTEN", host(server));
        }
        Ok(command)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join("logs").join(name)
    }

    /// The nats-server that `exportd all` is to start.
    fn broker_program() -> PathBuf {
        tool("nats-server")
    }

    #[expect(clippy::print_stderr, reason = "the logs are gone with the folder")]
    fn print_logs(&self) {
        let Ok(entries) = std::fs::read_dir(self.folder.path().join("logs")) else { return };
        for entry in entries.flatten() {
            eprintln!("--- {}\n{}", entry.file_name().display(), tail(&entry.path()));
        }
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_logs();
        }
        // `exportd all` must end its own broker; the others are not waited for.
        if let Some(all) = self.processes.get_mut("all") {
            all.end();
        }
        self.processes.clear();
        if let Some(broker) = &mut self.broker {
            broker.end();
        }
    }
}

/// `HOST:PORT` of an address.
fn host(address: &str) -> String {
    let behind = address.split_once("://").map_or(address, |(_, behind)| behind);
    behind.split(['/', '?']).next().unwrap_or_default().to_owned()
}
