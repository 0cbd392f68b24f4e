//! A deployment in which everything can go wrong: each role twice, each process with a way of its own to each server.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use export_blobs::BlobStore;
use export_blobs::folder::FolderBlobs;
use export_blobs::s3::{S3Blobs, S3Settings};
use export_blobs::seaweed::SeaweedFs;
use export_client::{Client, Credentials};
use export_mongo::ferretdb::FerretDb;
use export_tests::{Cluster, OBSERVED_AT, Passage, Process, Weather, free_port, output, programs, resume, suspend};
use futures::future::try_join_all;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::sleep;

use crate::disk::Mounted;
use crate::fault::{Disk, Fault, Server, Targets};
use crate::history::{Survivor, Vitals};

/// The roles, in the order of a run.
const ROLES: [&str; 8] = ["gateway", "orchestrator", "plan", "resolve", "adapt", "manifest", "sign", "distribute"];
/// Processes of each role.
const EACH: usize = 2;
/// How often a process is started before it is given up.
const STARTS: u32 = 8;
/// What a fleet is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Brokers: 1, or 3 that keep the log three times.
    pub(crate) brokers: usize,
    /// Running runs that a tenant may have.
    pub(crate) cap: usize,
    /// Running runs that the second orchestrator believes a tenant may have.
    pub(crate) believed_cap: usize,
    /// Whether runs and evidence are kept by a server that speaks MongoDB's protocol, and not in SQLite files.
    pub(crate) served: bool,
    /// Whether staging is a folder, and not a bucket.
    pub(crate) in_folder: bool,
}

/// A running deployment. Dropping it ends every process.
pub(crate) struct Fleet {
    shape: Shape,
    members: BTreeMap<String, Member>,
    broker: Cluster,
    store: Option<FerretDb>,
    staging: SeaweedFs,
    bucket: S3Settings,
    disks: BTreeMap<Disk, Mounted>,
    frozen: Vec<u32>,
    folder: TempDir,
}

/// A process and its ways to the servers.
struct Member {
    role: &'static str,
    /// Where a gateway listens.
    listen: Option<u16>,
    ways: BTreeMap<Server, Vec<Passage>>,
    process: Option<Process>,
    /// What it took when it had started.
    before: Vitals,
}

impl Fleet {
    /// Starts everything.
    pub(crate) async fn start(shape: Shape) -> anyhow::Result<Self> {
        tokio::task::spawn_blocking(programs).await.context("building was interrupted")??;
        let folder = tempfile::Builder::new().prefix("export-chaos-").tempdir().context("cannot make a folder")?;
        let store = if shape.served {
            Some(FerretDb::start().await.context("cannot start ferretdb")?.context("ferretdb is left out")?)
        } else {
            None
        };
        let staging = SeaweedFs::start().await.context("cannot start seaweedfs")?.context("seaweedfs is left out")?;
        let bucket = staging.bucket("staging").await.context("cannot make a bucket")?;
        let disks = Mounted::all(folder.path())?;
        let broker = Cluster::start(folder.path().join("nats"), shape.brokers).await?;
        let members = BTreeMap::new();
        let frozen = Vec::new();
        let mut fleet = Self { shape, members, broker, store, staging, bucket, disks, frozen, folder };
        fleet.write_settings()?;
        for role in ROLES {
            for number in 1..=EACH {
                fleet.add(role, number).await?;
            }
        }
        fleet.exportd(&["key", "generate"])?;
        // FerretDB 1 breaks a collection that two clients make at once; later they only find it there.
        fleet.start_member("gateway-1").await?;
        fleet.start_missing().await?;
        Ok(fleet)
    }

    async fn add(&mut self, role: &'static str, number: usize) -> anyhow::Result<()> {
        let behind = |address: &str| {
            let address = address.trim_start_matches("http://").trim_start_matches("mongodb://");
            address.split('/').next().unwrap_or_default().to_owned()
        };
        let store: Vec<String> = self.store.iter().map(|store| behind(store.uri())).collect();
        let mut ways = BTreeMap::new();
        for (server, addresses) in [
            (Server::Broker, self.broker.addresses()),
            (Server::Store, store),
            (Server::Staging, vec![behind(&self.bucket.endpoint)]),
        ] {
            ways.insert(server, try_join_all(addresses.into_iter().map(Passage::to)).await?);
        }
        let listen = if role == "gateway" { Some(free_port()?) } else { None };
        let member = Member { role, listen, ways, process: None, before: Vitals::default() };
        self.members.insert(format!("{role}-{number}"), member);
        Ok(())
    }

    fn write_settings(&self) -> anyhow::Result<()> {
        let at = |name: &str| self.folder.path().join(name);
        std::fs::write(at("s3.secret"), &self.bucket.secret_access_key).context("cannot write a secret")?;
        let mut store = "driver = \"sqlite\"".to_owned();
        if let Some(server) = &self.store {
            let uri = format!("{}&connectTimeoutMS=2000", server.uri());
            std::fs::write(at("mongodb.uri"), uri).context("cannot write the connection string")?;
            let uri = at("mongodb.uri");
            store = format!("driver = \"mongodb\"\nuri_file = \"{}\"\ndatabase = \"chaos\"", uri.display());
        }
        let mut staging = "driver = \"folder\"".to_owned();
        if !self.shape.in_folder {
            staging = format!(
                "driver = \"s3\"\nendpoint = \"{}\"\nbucket = \"{}\"\naccess_key_id = \"{}\"\nsecret_access_key_file = \"{}\"",
                self.bucket.endpoint,
                self.bucket.bucket,
                self.bucket.access_key_id,
                at("s3.secret").display(),
            );
        }
        // Short times, so that what waits for a dead process waits seconds.
        let text = format!(
            "data_dir = \"{data}\"\nlisten = \"127.0.0.1:0\"\n\n[nats]\nurl = \"{nats}\"\nreplicas = {replicas}\n\n\
             [store]\n{store}\n\n\
             [staging]\n{staging}\n\n\
             [workers]\nack_wait_seconds = 5\nreconcile_seconds = 2\nsilent_seconds = 6\nscratch_dir = \"{scratch}\"\n\n\
             [limits]\nactive_runs = {cap}\n\n[retention]\nenabled = false\n\n[log]\nform = \"json\"\n",
            data = at("data").display(),
            nats = self.broker.addresses().iter().map(|at| format!("nats://{at}")).collect::<Vec<_>>().join(","),
            replicas = self.shape.brokers,
            scratch = at("scratch").display(),
            cap = self.shape.cap,
        );
        std::fs::write(at("export.toml"), text).context("cannot write the configuration")
    }

    /// What may go wrong here.
    pub(crate) fn targets(&self) -> Targets {
        let is_there = |server: &Server| match server {
            Server::Broker => true,
            Server::Store => self.shape.served,
            Server::Staging => !self.shape.in_folder,
        };
        let servers = Server::ALL.into_iter().filter(is_there).collect();
        Targets {
            members: self.members.keys().cloned().collect(),
            servers,
            disks: self.disks.keys().copied().collect(),
        }
    }

    /// Starts every process that is not there.
    pub(crate) async fn start_missing(&mut self) -> anyhow::Result<()> {
        let missing: Vec<String> =
            self.members.iter().filter(|(_, member)| member.process.is_none()).map(|(name, _)| name.clone()).collect();
        // A few at a time: the machine is small, and each reads its whole program.
        for names in missing.chunks(4) {
            let starting = names.iter().map(|name| {
                let command = || self.command(name);
                let log = self.log(name);
                async move { anyhow::Ok((name.clone(), supervised(command, &log).await?)) }
            });
            for (name, process) in try_join_all(starting).await? {
                self.take(&name, process)?;
            }
        }
        Ok(())
    }

    async fn start_member(&mut self, name: &str) -> anyhow::Result<()> {
        let process = supervised(|| self.command(name), &self.log(name)).await?;
        self.take(name, process)
    }

    fn take(&mut self, name: &str, process: Process) -> anyhow::Result<()> {
        let member = self.members.get_mut(name).context("no such process")?;
        member.before = Vitals::of(process.pid().context("it has ended")?)?;
        member.process = Some(process);
        Ok(())
    }

    fn command(&self, name: &str) -> anyhow::Result<Command> {
        let member = self.members.get(name).context("no such process")?;
        let addresses = |server| -> Vec<String> { member.ways[&server].iter().map(Passage::address).collect() };
        let mut command = Command::new(&programs()?.exportd);
        command.arg(member.role).arg("--config").arg(self.folder.path().join("export.toml"));
        let nats = addresses(Server::Broker).iter().map(|at| format!("nats://{at}")).collect::<Vec<_>>().join(",");
        command.env("EXPORT_NATS_URL", nats);
        command.env("EXPORT_STAGING_ENDPOINT", format!("http://{}", addresses(Server::Staging).join("")));
        if let Some(way) = addresses(Server::Store).first() {
            let uri = self.folder.path().join(format!("{name}.uri"));
            std::fs::write(&uri, format!("mongodb://{way}/?serverSelectionTimeoutMS=1000&connectTimeoutMS=2000"))?;
            command.env("EXPORT_STORE_URI_FILE", &uri);
        }
        if let Some(port) = member.listen {
            command.env("EXPORT_LISTEN", format!("127.0.0.1:{port}"));
        }
        if name == "orchestrator-2" {
            command.env("EXPORT_LIMITS_ACTIVE_RUNS", self.shape.believed_cap.to_string());
        }
        Ok(command)
    }

    /// Lets a fault happen.
    pub(crate) async fn begin(&mut self, fault: &Fault) -> anyhow::Result<()> {
        match fault {
            Fault::Kill { member } => {
                let process = self.members.get_mut(member).and_then(|member| member.process.take());
                process.context("it runs not")?.kill().await
            }
            Fault::Freeze { member } => {
                let pid = self.members.get(member).and_then(|member| member.process.as_ref()).and_then(Process::pid);
                self.freeze(pid.context("it runs not")?)
            }
            Fault::Way { member, server, weather } => {
                self.set(member.as_deref(), *server, *weather);
                Ok(())
            }
            Fault::KillServer { server: Server::Broker } => self.broker.kill(Some(0)).await,
            Fault::KillServer { server: Server::Store } => self.served()?.kill().context("cannot kill ferretdb"),
            Fault::KillServer { server: Server::Staging } => self.staging.kill().context("cannot kill seaweedfs"),
            Fault::FreezeServer { server } => {
                let pid = match server {
                    Server::Broker => *self.broker.pids().first().context("no broker runs")?,
                    Server::Store => self.served()?.pid(),
                    Server::Staging => self.staging.pid(),
                };
                self.freeze(pid)
            }
            Fault::Wipe => {
                self.broker.kill(None).await?;
                self.broker.wipe()
            }
            Fault::DiskFull { disk } => self.disks.get(disk).context("nothing is mounted")?.fill(),
        }
    }

    /// Mends it.
    pub(crate) async fn end(&mut self, fault: &Fault) -> anyhow::Result<()> {
        match fault {
            Fault::Kill { .. } => self.start_missing().await,
            Fault::Freeze { .. } | Fault::FreezeServer { .. } => self.thaw(),
            Fault::Way { member, server, .. } => {
                self.set(member.as_deref(), *server, Weather::Clear);
                Ok(())
            }
            Fault::KillServer { server: Server::Broker } | Fault::Wipe => self.broker.restart().await,
            Fault::KillServer { server: Server::Store } => {
                self.served()?.restart().await.context("ferretdb stays away")
            }
            Fault::KillServer { server: Server::Staging } => {
                self.staging.restart().await.context("seaweedfs stays away")
            }
            Fault::DiskFull { disk } => {
                self.disks.get(disk).context("nothing is mounted")?.empty()?;
                if *disk == Disk::Broker {
                    self.broker.kill(Some(0)).await?;
                    self.broker.restart().await?;
                }
                Ok(())
            }
        }
    }

    fn served(&mut self) -> anyhow::Result<&mut FerretDb> {
        self.store.as_mut().context("the store is no server")
    }

    fn freeze(&mut self, pid: u32) -> anyhow::Result<()> {
        self.frozen.push(pid);
        suspend(pid)
    }

    fn thaw(&mut self) -> anyhow::Result<()> {
        self.frozen.drain(..).try_for_each(resume)
    }

    fn set(&self, member: Option<&str>, server: Server, weather: Weather) {
        let concerned = self.members.iter().filter(|(name, _)| member.is_none_or(|member| member == *name));
        for passage in concerned.filter_map(|(_, member)| member.ways.get(&server)).flatten() {
            passage.set(weather);
        }
    }

    /// Processes that ended although nobody ended them.
    pub(crate) fn fallen(&mut self) -> Vec<String> {
        let ended = |member: &mut Member| member.process.as_mut().is_some_and(Process::has_ended);
        self.members.iter_mut().filter_map(|(name, member)| ended(member).then(|| name.clone())).collect()
    }

    /// Takes what the processes take now as their beginning: they have done everything once.
    pub(crate) fn settle(&mut self) -> anyhow::Result<()> {
        for member in self.members.values_mut() {
            if let Some(pid) = member.process.as_ref().and_then(Process::pid) {
                member.before = Vitals::of(pid)?;
            }
        }
        Ok(())
    }

    /// What lives, at its beginning and now.
    pub(crate) fn survivors(&self) -> anyhow::Result<Vec<Survivor>> {
        let living =
            self.members.iter().filter_map(|(name, member)| Some((name, member, member.process.as_ref()?.pid()?)));
        living
            .map(|(name, member, pid)| {
                Ok(Survivor { name: name.clone(), before: member.before, after: Vitals::of(pid)? })
            })
            .collect()
    }

    /// Runs a command of `exportd`, past all weather.
    pub(crate) fn exportd(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = std::process::Command::new(&programs()?.exportd);
        command.env("EXPORT_RETENTION_REMOVE_ORPHANS", "true").env("EXPORT_RETENTION_GRACE_MINUTES", "0");
        output(command.args(arguments).arg("--config").arg(self.folder.path().join("export.toml")))
    }

    /// Evidence of a tenant: synthetic documents of a seed.
    pub(crate) fn generate(&self, tenant: &str, seed: u64, records: u64) -> anyhow::Result<()> {
        let (seed, records) = (seed.to_string(), records.to_string());
        let mut arguments = vec!["evidence", "generate", "--tenant", tenant, "--observed-at", OBSERVED_AT];
        arguments.extend(["--seed", &seed, "--records", &records]);
        self.exportd(&arguments).map(|_| ())
    }

    /// Evidence of a tenant from a folder.
    pub(crate) fn import(&self, tenant: &str, folder: &Path) -> anyhow::Result<()> {
        let folder = folder.to_str().context("the path is no text")?;
        let rejects = self.folder.path().join("rejects.jsonl");
        let rejects = rejects.to_str().context("the path is no text")?;
        let mut arguments = vec!["evidence", "import", "--json", "--tenant", tenant, "--observed-at", OBSERVED_AT];
        arguments.extend(["--reject-file", rejects, folder]);
        self.exportd(&arguments).map(|_| ())
    }

    /// A client of a tenant at each gateway.
    pub(crate) fn clients(&self, tenant: &str) -> anyhow::Result<Vec<Client>> {
        let servers: Vec<String> =
            self.members.values().filter_map(|member| Some(format!("http://127.0.0.1:{}", member.listen?))).collect();
        let first = servers.first().context("no gateway")?;
        let file = self.folder.path().join(format!("{tenant}.credentials.json"));
        let out = file.to_str().context("the path is no text")?;
        self.exportd(&["client", "put", tenant, "--tenant", tenant, "--server", first, "--out", out])?;
        let text = std::fs::read_to_string(&file).context("no credentials")?;
        let mut clients = Vec::new();
        for (number, server) in servers.iter().enumerate() {
            let mut credentials: Value = serde_json::from_str(&text).context("the credentials are no JSON")?;
            credentials["server"] = Value::from(server.as_str());
            let at = self.folder.path().join(format!("{tenant}-{number}.credentials.json"));
            std::fs::write(&at, credentials.to_string()).context("cannot write credentials")?;
            clients.push(Client::new(Credentials::read(&at)?)?);
        }
        Ok(clients)
    }

    /// Where artefacts are staged.
    pub(crate) async fn staging(&self) -> anyhow::Result<Box<dyn BlobStore>> {
        if self.shape.in_folder {
            return Ok(Box::new(FolderBlobs::open(&self.folder.path().join("data/staging")).await?));
        }
        Ok(Box::new(S3Blobs::open(&self.bucket)?))
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    /// Lines of all logs that say that something failed for good.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let logs = self.members.keys().filter_map(|name| Some((name, std::fs::read_to_string(self.log(name)).ok()?)));
        logs.flat_map(|(name, text)| {
            let lines = text.lines().filter(|line| line.contains("\"ERROR\"") || line.contains("panicked"));
            lines.map(|line| format!("{name}: {line}")).collect::<Vec<_>>()
        })
        .collect()
    }

    /// Keeps logs and settings beyond the end of the test; says where they are.
    pub(crate) fn keep(mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.folder.path().to_owned()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // A stopped process is killed all the same, but a stopped server would hold its port until then.
        drop(self.thaw());
    }
}

/// Starts a process as a supervisor does: one that ends because brokers have not found each other yet is started again.
async fn supervised(command: impl Fn() -> anyhow::Result<Command>, log: &Path) -> anyhow::Result<Process> {
    let mut left = STARTS;
    loop {
        left -= 1;
        match Process::start_ready(command()?, log).await {
            Err(_) if left > 0 => sleep(CALM).await,
            outcome => return outcome,
        }
    }
}

/// How long servers get to find each other again before anything is asked of them.
pub(crate) const CALM: Duration = Duration::from_secs(2);
