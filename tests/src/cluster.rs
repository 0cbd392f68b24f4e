//! One `nats-server` or several that keep one log together, each of which may be killed, stopped and robbed of its store.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::process::{Process, tail};
use crate::programs::tool;

const READY_WITHIN: Duration = Duration::from_secs(30);

/// Servers that keep their ports for life.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    servers: Vec<Server>,
}

#[derive(Debug)]
struct Server {
    name: String,
    port: u16,
    /// Where the others of the cluster reach it.
    route: u16,
    process: Option<Process>,
}

impl Cluster {
    /// Starts so many servers, whose stores and logs are in `folder`.
    ///
    /// # Errors
    /// When one does not come up.
    pub async fn start(folder: PathBuf, count: usize) -> anyhow::Result<Self> {
        let mut servers = Vec::new();
        for number in 1..=count {
            let (port, route) = (free_port()?, free_port()?);
            servers.push(Server { name: format!("nats-{number}"), port, route, process: None });
        }
        std::fs::create_dir_all(&folder).context("no folder for the broker")?;
        let mut cluster = Self { folder, servers };
        cluster.write_settings()?;
        for number in 0..count {
            cluster.spawn(number)?;
        }
        cluster.listening().await?;
        Ok(cluster)
    }

    /// `HOST:PORT` of each server.
    pub fn addresses(&self) -> Vec<String> {
        self.servers.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect()
    }

    /// Process ids of the servers that run.
    pub fn pids(&self) -> Vec<u32> {
        self.servers.iter().filter_map(|server| server.process.as_ref().and_then(Process::pid)).collect()
    }

    /// Folder of a server's store.
    pub fn store(&self, number: usize) -> PathBuf {
        self.folder.join(self.servers.get(number).map_or("", |server| &server.name))
    }

    /// `kill -9` of one server, or of all.
    ///
    /// # Errors
    /// When one cannot be killed.
    pub async fn kill(&mut self, which: Option<usize>) -> anyhow::Result<()> {
        for (number, server) in self.servers.iter_mut().enumerate() {
            if which.is_none_or(|which| which == number)
                && let Some(mut process) = server.process.take()
            {
                process.kill().await?;
            }
        }
        Ok(())
    }

    /// Removes what every server stored. None may run.
    ///
    /// # Errors
    /// When a folder cannot be emptied.
    pub fn wipe(&self) -> anyhow::Result<()> {
        for number in 0..self.servers.len() {
            let store = self.store(number);
            anyhow::ensure!(self.servers.get(number).is_none_or(|server| server.process.is_none()), "it still runs");
            // The folder itself may be where a file system is mounted.
            for entry in std::fs::read_dir(&store).context("cannot list the broker's store")? {
                let path = entry.context("cannot list the broker's store")?.path();
                let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
                removed.context("cannot wipe the broker's store")?;
            }
        }
        Ok(())
    }

    /// Starts every server that is not there, and waits until they listen.
    ///
    /// # Errors
    /// When one does not come up.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        for number in 0..self.servers.len() {
            if self.servers.get(number).is_some_and(|server| server.process.is_none()) {
                self.spawn(number)?;
            }
        }
        self.listening().await
    }

    fn spawn(&mut self, number: usize) -> anyhow::Result<()> {
        let folder = self.folder.clone();
        let server = self.servers.get_mut(number).context("no such server")?;
        let mut command = Command::new(tool("nats-server"));
        command.arg("--config").arg(folder.join(format!("{}.conf", server.name)));
        server.process = Some(Process::start(command, &log(&folder, &server.name), Stdio::null())?);
        Ok(())
    }

    async fn listening(&mut self) -> anyhow::Result<()> {
        let until = Instant::now() + READY_WITHIN;
        for server in &mut self.servers {
            while TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).await.is_err() {
                let ended = server.process.as_mut().is_none_or(Process::has_ended);
                if ended || Instant::now() > until {
                    bail!("{} does not come up:\n{}", server.name, tail(&log(&self.folder, &server.name)));
                }
                sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    fn write_settings(&self) -> anyhow::Result<()> {
        let routes: Vec<String> =
            self.servers.iter().map(|server| format!("\"nats://127.0.0.1:{}\"", server.route)).collect();
        for server in &self.servers {
            let store = self.folder.join(&server.name);
            std::fs::create_dir_all(&store).context("no folder for the broker's store")?;
            // Clients must not learn of ways that lead around what is put before the servers.
            let cluster = format!(
                "cluster {{ name: chaos, listen: \"127.0.0.1:{}\", no_advertise: true, routes: [{}] }}\n",
                server.route,
                routes.join(", ")
            );
            let text = format!(
                "server_name: {}\nlisten: \"127.0.0.1:{}\"\n\
                 jetstream {{ store_dir: \"{}\", sync_interval: always, max_file_store: 8589934592 }}\n{}",
                server.name,
                server.port,
                store.display(),
                if self.servers.len() > 1 { cluster.as_str() } else { "" },
            );
            std::fs::write(self.folder.join(format!("{}.conf", server.name)), text)
                .context("cannot write the broker's settings")?;
        }
        Ok(())
    }
}

fn log(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.log"))
}

/// A port below those that the system gives out for connections, so that it stays free while its server is away.
///
/// # Errors
/// When there is none.
pub fn free_port() -> anyhow::Result<u16> {
    for _ in 0..100 {
        let mut random = [0_u8; 2];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| anyhow::anyhow!("no randomness"))?;
        let port = 22_500 + u16::from_le_bytes(random) % 9_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port")
}
