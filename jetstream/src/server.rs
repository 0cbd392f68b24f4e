//! A `nats-server` as a supervised child, for one machine and no set-up (design D12).
//!
//! It listens on a free port of the loopback interface, takes only clients that know a password made at start, and
//! syncs every write to disk before it answers. When it dies it is started again on the same port, so that every
//! connection mends itself. It ends with its parent: at [`NatsServer::stop`] politely, when the value is dropped too,
//! and after a `kill -9` of the parent the next start finds it by its pid file and ends it.

mod binary;
mod orphan;

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use export_contract::LogEvent;
use serde_json::json;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::connect::{Credentials, Nats, connect};
use crate::report::Backoff;

/// The oldest server that has everything we use: 2.13 does not exist, older ones lack fixes (pipeline.md section 1.9).
pub const OLDEST: (u32, u32) = (2, 14);

/// A large store takes its time to be read.
const READY_WITHIN: Duration = Duration::from_mins(2);
const STOPPED_WITHIN: Duration = Duration::from_secs(10);
const USER: &str = "export";

/// Where and how the child runs.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Its folder: store, settings with the password, log and pid file. Made if missing.
    pub dir: PathBuf,
    /// The program; otherwise it is looked for on the search path and in `.tools/bin` above our own program.
    pub binary: Option<PathBuf>,
    /// Limit of the store in bytes. Must lie below the disk, because a full disk stops the server for good, and above
    /// what [`crate::Topology`] reserves: the log's `log_max_bytes` and 320 MiB.
    pub max_file_store: u64,
    /// Limit of streams in memory in bytes.
    pub max_memory_store: u64,
}

impl ServerConfig {
    /// The usual settings in `dir`: 8 GiB on disk, 256 MiB in memory.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), binary: None, max_file_store: 8 << 30, max_memory_store: 256 << 20 }
    }
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// No program.
    #[error(
        "no nats-server found: `make tools` installs one in .tools/bin, or name one of at least 2.14 in the configuration"
    )]
    NotFound,
    /// The program does not say which version it is.
    #[error("`{}` does not say which version of nats-server it is", .0.display())]
    UnknownVersion(PathBuf),
    /// The program is too old.
    #[error("`{}` is nats-server {found}, at least 2.14 is needed: `make tools` installs one", .path.display())]
    TooOld {
        /// Which program.
        path: PathBuf,
        /// Its version.
        found: String,
    },
    /// The folder cannot be used.
    #[error("cannot use folder `{}` for nats-server", .0.display())]
    Folder(PathBuf, #[source] std::io::Error),
    /// Another process uses the folder.
    #[error("another process runs a nats-server in `{}`", .0.display())]
    InUse(PathBuf),
    /// A server of an earlier life does not end.
    #[error("nats-server {0}, left over from an earlier start, does not end")]
    Leftover(u32),
    /// The program cannot be started.
    #[error("cannot start `{}`", .0.display())]
    Start(PathBuf, #[source] std::io::Error),
    /// It ran, but took no client.
    #[error("nats-server does not come up: {0}")]
    NotReady(String),
}

/// A server at work.
#[derive(Debug)]
pub struct NatsServer {
    port: u16,
    password: Password,
    pid: Arc<AtomicU32>,
    supervisor: JoinHandle<()>,
    /// Dropping it tells the supervisor to end the child.
    stop: DropGuard,
}

#[derive(Clone)]
struct Password(String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(..)")
    }
}

/// What a child is started from.
struct Plan {
    binary: PathBuf,
    dir: PathBuf,
    settings: PathBuf,
    /// Held for as long as we run a child here; the kernel frees it however we end.
    _lock: File,
}

impl NatsServer {
    /// Starts a server and waits until it takes clients.
    ///
    /// # Errors
    /// When there is no program of a fitting version, the folder is in use or cannot be used, or the server does not
    /// come up.
    pub async fn start(config: ServerConfig) -> Result<Self, ServerError> {
        let binary = binary::find(config.binary.as_deref()).await?;
        let folder = |cause| ServerError::Folder(config.dir.clone(), cause);
        fs::create_dir_all(&config.dir).map_err(folder)?;
        let dir = fs::canonicalize(&config.dir).map_err(folder)?;
        let lock = File::create(dir.join("lock")).map_err(folder)?;
        lock.try_lock().map_err(|_| ServerError::InUse(dir.clone()))?;
        let settings = dir.join("nats-server.conf");
        let plan = Plan { binary, settings, dir, _lock: lock };
        orphan::end(&plan.binary, &pid_file(&plan.dir), &plan.settings).await?;

        let password = Password(format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>()));
        let mut tries = 0;
        let (port, child) = loop {
            let port = free_port().map_err(folder)?;
            write_private(&plan.settings, &settings_text(&config, &plan.dir, port, &password)).map_err(folder)?;
            let mut child = plan.spawn()?;
            match ready(port, &password, &mut child).await {
                Ok(()) => break (port, child),
                // Somebody may have taken the port between our look and the server's.
                Err(Unready::Ended(status)) if tries < 4 => {
                    tracing::debug!(status, "nats-server ended at once; trying another port");
                }
                Err(why) => {
                    if let Err(error) = child.kill().await {
                        tracing::debug!(%error, "nats-server ended by itself");
                    }
                    return Err(ServerError::NotReady(format!("{why}; {}", plan.end_of_log())));
                }
            }
            tries += 1;
        };
        let pid = Arc::new(AtomicU32::new(child.id().unwrap_or(0)));
        tracing::info!(event = %LogEvent::BrokerStarted, port, pid = child.id(), dir = %plan.dir.display(), "nats-server runs");
        let stop = CancellationToken::new();
        let supervisor = tokio::spawn(supervise(plan, child, Arc::clone(&pid), stop.clone()));
        Ok(Self { port, password, pid, supervisor, stop: stop.drop_guard() })
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// What it asks clients for.
    pub fn credentials(&self) -> Credentials {
        Credentials::Password { user: USER.to_owned(), password: self.password.0.clone() }
    }

    /// Process id of the child now.
    pub fn pid(&self) -> u32 {
        self.pid.load(Ordering::Relaxed)
    }

    /// Ends the child: it writes what it has to and goes. One that does not within ten seconds is killed.
    pub async fn stop(self) {
        drop(self.stop);
        if let Err(error) = self.supervisor.await {
            tracing::warn!(%error, "the supervisor of nats-server ended early");
        }
    }
}

impl Plan {
    fn spawn(&self) -> Result<Child, ServerError> {
        Command::new(&self.binary)
            .arg("--config")
            .arg(&self.settings)
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|cause| ServerError::Start(self.binary.clone(), cause))
    }

    fn end_of_log(&self) -> String {
        let text = fs::read_to_string(log_file(&self.dir)).unwrap_or_default();
        let mut lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.reverse();
        lines.join(" | ")
    }
}

/// Waits for the end of the child, and starts it again unless we are to stop.
async fn supervise(plan: Plan, mut child: Child, pid: Arc<AtomicU32>, stop: CancellationToken) {
    let mut backoff = Backoff::up_to(Duration::from_secs(5));
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            ended = child.wait() => {
                let status = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
                tracing::error!(status, end_of_log = plan.end_of_log(), "nats-server ended; starting it again");
            }
        }
        loop {
            if stop.run_until_cancelled(backoff.wait()).await.is_none() {
                return;
            }
            match plan.spawn() {
                Ok(again) => {
                    child = again;
                    pid.store(child.id().unwrap_or(0), Ordering::Relaxed);
                    break;
                }
                Err(error) => tracing::error!(%error, "nats-server cannot be started again"),
            }
        }
    }
    if let Some(id) = child.id() {
        binary::signal(&plan.binary, "quit", id).await;
    }
    if tokio::time::timeout(STOPPED_WITHIN, child.wait()).await.is_err()
        && let Err(error) = child.kill().await
    {
        tracing::warn!(%error, "nats-server could not be killed");
    }
}

/// Why a server is of no use yet.
#[derive(Debug, thiserror::Error)]
enum Unready {
    #[error("it ended: {0}")]
    Ended(String),
    #[error("it takes no clients")]
    Silent,
}

/// Waits until the server takes clients and its store is read.
async fn ready(port: u16, password: &Password, child: &mut Child) -> Result<(), Unready> {
    let url = format!("nats://127.0.0.1:{port}");
    let credentials = Credentials::Password { user: USER.to_owned(), password: password.0.clone() };
    let up = async {
        loop {
            if let Ok(nats) = connect(&url, credentials.clone()).await {
                let up = has_jetstream(&nats).await;
                nats.close().await;
                if up {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        biased;
        status = child.wait() => {
            Err(Unready::Ended(status.map_or_else(|error| error.to_string(), |status| status.to_string())))
        }
        up = tokio::time::timeout(READY_WITHIN, up) => up.map_err(|_| Unready::Silent),
    }
}

async fn has_jetstream(nats: &Nats) -> bool {
    nats.jetstream().query_account().await.is_ok()
}

fn settings_text(config: &ServerConfig, dir: &Path, port: u16, password: &Password) -> String {
    json!({
        "host": Ipv4Addr::LOCALHOST.to_string(),
        "port": port,
        "server_name": "export-center",
        "pid_file": pid_file(dir),
        "log_file": log_file(dir),
        "logfile_size_limit": 16 << 20,
        "logfile_max_num": 3,
        "authorization": { "user": USER, "password": password.0 },
        "jetstream": {
            "store_dir": dir.join("store"),
            "sync_interval": "always",
            "max_file_store": config.max_file_store,
            "max_memory_store": config.max_memory_store,
        },
    })
    .to_string()
}

fn pid_file(dir: &Path) -> PathBuf {
    dir.join("nats-server.pid")
}

fn log_file(dir: &Path) -> PathBuf {
    dir.join("nats-server.log")
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Writes a file that nobody but us can read, from its first byte on.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}
